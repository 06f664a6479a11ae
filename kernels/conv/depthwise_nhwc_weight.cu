// conv/depthwise_nhwc_weight.cu: gradient of a depthwise convolution with respect to w, where the
// channels are neighbours in memory.
//
// Computes   part[i,c,r,s] = sum of dy[n,c,p,q] x[n,c, p*STRIDE - top + r, q*STRIDE - left + s] over
//            the (n,p,q) of block i; conv_add_parts of sums.cu adds the parts
// Layout     x (N,C,H,W), dy (N,C,P,Q): any strides; part (parts,C,KSIZE,KSIZE) contiguous, in the
//            type of sums
// Launch     block 128: `lanes` threads have 2 channels (float64: 1) each, of a strip of rows of 7, 4
//            or 2 columns of outputs after the other; 4 such teams and more add up in shared memory.
//            Grid of all parts, teams of channels fastest
// Traffic    |x| + |dy|, and as depthwise_nhwc.cu; KSIZE rows of x in registers, the next ones on
//            their way
// Range      as depthwise_nhwc.cu. Sums in an order that depends on the shape alone: deterministic
// Siblings   depthwise_weight where pixels are neighbours in memory
// Source     as depthwise.cu
//
// entry depthwise_nhwc_weight    sums over strips of rows, by channel and tap
// variant SCALAR = floating
// variant KSIZE = 3, 5
// variant STRIDE = 1, 2
#include <pycnn/depthwise_channels.cuh>

// Columns of outputs of a thread and of x under them, and blocks of a multiprocessor.
constexpr int OUTS_OF[] = {7, 4, 2, 2, 4, 4, 2, 1, 2, 2, 1, 1};
constexpr int RESIDENT_OF[] = {3, 3, 2, 2, 3, 3, 2, 2, 3, 3, 2, 2};
constexpr int OUTS = OUTS_OF[KIND], RESIDENT = RESIDENT_OF[KIND];
#if !defined(PYCNN_EMULATOR) && __CUDA_ARCH__ >= 1000
constexpr int FEWER = KIND == 5;  // whose registers spill there
#else
constexpr int FEWER = 0;
#endif
constexpr int INS = OUTS * STRIDE + KSIZE - STRIDE;

// A strip of rows of outputs: the same for all threads of a team.
struct Unit {
    int n, p, p_end, q;

    __device__ __forceinline__ Unit(unsigned number, const StripParams& v) {
        q = next_tile(number, static_cast<unsigned>(v.q), static_cast<unsigned>(OUTS));
        p = next_tile(number, static_cast<unsigned>(v.p), static_cast<unsigned>(v.rows));
        n = number;
        p_end = p + v.rows < v.p ? p + v.rows : v.p;
    }
};

using Sums = acc_t[TAPS][VEC];

__device__ __forceinline__ void add_vectors(Sums& sum, const scalar_t* __restrict__ x,
                                            const scalar_t* __restrict__ dy, const StripParams& v,
                                            const Unit& at, int c) {
    const int left = at.q * STRIDE - v.left;
    const unsigned there = columns_inside<INS>(left, v.w);
    const unsigned outs = columns_inside<OUTS>(at.q, v.q);
    int h = at.p * STRIDE - v.top, p = at.p;
    const scalar_t* row = x + at.n * v.x_n + c * v.x_c + h * v.x_h +
                          static_cast<index_t>(left - AHEAD) * v.x_w;
    const scalar_t* above = dy + at.n * v.y_n + c * v.y_c + p * v.y_p +
                            static_cast<index_t>(at.q - AHEAD) * v.y_q;
    const auto load = [&](Words (&to)[INS], bool wanted) {
        load_row(to, row, wanted && inside(h, v.h) ? there : 0, v.x_w);
        ++h;
        row += v.x_h;
    };
    // Rows under the windows of a row of outputs, in turn.
    acc_t window[KSIZE][INS * VEC];
    const auto take = [&](acc_t (&to)[INS * VEC], const Words (&from)[INS]) {
#pragma unroll
        for (int u = 0; u < INS; ++u) {
            acc_t value[VEC];
            widen(from[u], value);
#pragma unroll
            for (int i = 0; i < VEC; ++i) to[u * VEC + i] = value[i];
        }
    };
    Words next[STRIDE][INS], gradient[OUTS];
#pragma unroll
    for (int r = 0; r < KSIZE - STRIDE; ++r) {
        Words first[INS];
        load(first, true);
        take(window[r], first);
    }
#pragma unroll
    for (int t = 0; t < STRIDE; ++t) load(next[t], true);
    load_row(gradient, above, outs, v.y_q);
    const auto step = [&](auto turn_) {
        constexpr int turn = decltype(turn_)::value;  // row r is at (turn * STRIDE + r) % KSIZE
        const bool more = p + 1 < at.p_end;
        Words now[OUTS];
        memcpy(now, gradient, sizeof(now));
#pragma unroll
        for (int t = 0; t < STRIDE; ++t)
            take(window[(turn * STRIDE + KSIZE - STRIDE + t) % KSIZE], next[t]);
        above += v.y_p;
        load_row(gradient, above, more ? outs : 0, v.y_q);
#pragma unroll
        for (int t = 0; t < STRIDE; ++t) load(next[t], more);
#pragma unroll
        for (int j = 0; j < OUTS; ++j) {
            if (!(outs >> j & 1)) break;  // nor does 0 * infinity count
            acc_t of_y[VEC];
            widen(now[j], of_y);
#pragma unroll
            for (int r = 0; r < KSIZE; ++r)
#pragma unroll
                for (int s = 0; s < KSIZE; ++s)
#pragma unroll
                    for (int i = 0; i < VEC; ++i)
                        sum[r * KSIZE + s][i] +=
                            of_y[i] *
                            window[(turn * STRIDE + r) % KSIZE][(j * STRIDE + s) * VEC + i];
        }
        ++p;
        return more;
    };
    while (in_turn<KSIZE>(step)) {
    }
}

// Without vectors, an output after the other.
__device__ __forceinline__ void add_elements(Sums& sum, const scalar_t* __restrict__ x,
                                             const scalar_t* __restrict__ dy, const StripParams& v,
                                             const Unit& at, int c) {
    const int q_end = at.q + OUTS < v.q ? at.q + OUTS : v.q;
#pragma unroll 1
    for (int p = at.p; p < at.p_end; ++p)
#pragma unroll 1
        for (int q = at.q; q < q_end; ++q)
#pragma unroll
            for (int k = 0; k < VEC; ++k) {
                if (c + k >= v.channels) break;
                const acc_t of_y = to_acc(ldg(dy + at.n * v.y_n + (c + k) * v.y_c + p * v.y_p +
                                              static_cast<index_t>(q) * v.y_q));
                const scalar_t* const image = x + at.n * v.x_n + (c + k) * v.x_c;
#pragma unroll
                for (int i = 0; i < TAPS; ++i) {
                    const int h = p * STRIDE - v.top + i / KSIZE;
                    const int w = q * STRIDE - v.left + i % KSIZE;
                    const bool there = inside(h, v.h) && inside(w, v.w);
                    const acc_t value =
                        there ? to_acc(ldg(image + h * v.x_h + static_cast<index_t>(w) * v.x_w))
                              : acc_t(0);
                    sum[i][k] += of_y * value;
                }
            }
}

extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT - FEWER)
depthwise_nhwc_weight(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
                      acc_t* __restrict__ part, TeamParams v) {
    __shared__ acc_t sums[TAPS * VEC][THREADS];
    const int lane = threadIdx.x & (v.lanes - 1);
    const int team = threadIdx.x / v.lanes, teams = THREADS / v.lanes;
    const int groups = ceil_div(v.strip.channels, v.lanes * VEC);
    const int first = blockIdx.x % groups * v.lanes * VEC, number = blockIdx.x / groups;
    const int c = first + lane * VEC;
    const bool vectors = v.strip.vectors && aligned_to<scalar_t, VEC>(x) &&
                         aligned_to<scalar_t, VEC>(dy);
    Sums sum = {};
    if (c < v.strip.channels) {
        const int step = teams * v.parts;
        if (vectors)
#pragma unroll 1
            for (int i = number * teams + team; i < v.units; i += step)
                add_vectors(sum, x, dy, v.strip, Unit(i, v.strip), c);
        else
#pragma unroll 1
            for (int i = number * teams + team; i < v.units; i += step)
                add_elements(sum, x, dy, v.strip, Unit(i, v.strip), c);
    }
#pragma unroll
    for (int i = 0; i < TAPS; ++i)
#pragma unroll
        for (int k = 0; k < VEC; ++k) sums[i * VEC + k][threadIdx.x] = sum[i][k];
    __syncthreads();
    const int rest = v.strip.channels - first, most = v.lanes * VEC;
    const int count = (rest < most ? rest : most) * TAPS;
    acc_t* const to = part + (static_cast<index_t>(number) * v.strip.channels + first) * TAPS;
    for (int i = threadIdx.x; i < count; i += THREADS) {
        const int channel = i / TAPS, tap = i % TAPS;
        const acc_t* const from = sums[tap * VEC + channel % VEC] + channel / VEC;
        acc_t total = 0;
        for (int t = 0; t < teams; ++t) total += from[t * v.lanes];
        to[i] = total;
    }
}
