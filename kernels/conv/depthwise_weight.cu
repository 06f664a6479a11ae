// conv/depthwise_weight.cu: gradient of a depthwise convolution with respect to w, where columns are
// neighbours in memory.
//
// Computes   part[i,c,r,s] = sum of dy[n,c,p,q] x[n,c, p*STRIDE - top + r, q*STRIDE - left + s] over
//            (n,p,q) of some strips of rows; conv_add_parts of sums.cu adds the parts
// Layout     dy (N,C,P,Q), x (N,C,H,W): any strides; part (parts,C,KSIZE,KSIZE) contiguous, in the
//            type of sums
// Launch     a block of 128 for a channel, whose threads have a strip of rows of a vector of columns
//            after the other; grid flat: channels, then parts; shared memory for the sums of warps
// Traffic    |x| + |dy|; KSIZE - STRIDE rows more of x for every strip, and as many columns for
//            every thread, which come from L1. A row is used while the next one is on its way
// Range      as depthwise.cu. Sums of threads, then a tree, then of warps: deterministic
// Siblings   direct_backward_weight takes any filter, and loads dy and x once for every tap row
// Source     as depthwise.cu
//
// entry depthwise_weight         sums over strips of rows, by channel and tap
// variant SCALAR BYTES = floating 0, halves 4, halves 8, halves 16, single 16
// variant KSIZE = 3, 5
// variant STRIDE = 1, 2
#include <pycnn/depthwise_planes.cuh>

// Blocks of a multiprocessor, as many as registers allow.
constexpr int RESIDENT_OF[] = {5, 5, 3, 3, 6, 6, 3, 3, 3, 3, 2, 2};
#if !defined(PYCNN_EMULATOR) && __CUDA_ARCH__ >= 1000
constexpr int FEWER = KIND == 1 || (KIND == 5 && BYTES);  // whose registers spill there
#else
constexpr int FEWER = KIND == 7 && !BYTES;  // elsewhere
#endif
constexpr int RESIDENT = RESIDENT_OF[KIND] - FEWER;
constexpr int WARP = 32, WARPS = THREADS / WARP;

__device__ __forceinline__ void add_vectors(acc_t (&sum)[TAPS], const scalar_t* __restrict__ x,
                                            const scalar_t* __restrict__ dy, const StripParams& v,
                                            const Strip& at, int c) {
    using OfRow = Row<BYTES != 0, BEFORE, COLUMNS * STRIDE, AFTER>;
    constexpr unsigned ALL = (1u << COLUMNS) - 1;
    const int left = at.q * STRIDE - (BYTES ? BEFORE : v.left);
    const unsigned there = columns_inside<IN_COLUMNS>(left, v.w);
    int h = at.p * STRIDE - v.top, p = at.p;
    const scalar_t* row = x + at.n * v.x_n + c * v.x_c + h * v.x_h +
                          static_cast<index_t>(left) * v.x_w;
    const scalar_t* above = dy + at.n * v.y_n + c * v.y_c + p * v.y_p +
                            static_cast<index_t>(at.q) * v.y_q;
    const auto load = [&](OfRow& to, bool wanted) {
        to.load(row, wanted && inside(h, v.h) ? there : 0, v.x_w);
        ++h;
        row += v.x_h;
    };
    OfRow first[KSIZE - STRIDE], next[STRIDE];
    Row<BYTES != 0, 0, COLUMNS, 0> gradient;
#pragma unroll
    for (int r = 0; r < KSIZE - STRIDE; ++r) load(first[r], true);
#pragma unroll
    for (int t = 0; t < STRIDE; ++t) load(next[t], true);
    gradient.load(above, ALL, v.y_q);
    acc_t window[KSIZE][IN_COLUMNS];  // rows under the windows of a row of outputs, in turn
#pragma unroll
    for (int r = 0; r < KSIZE - STRIDE; ++r) first[r].take(window[r]);
    const auto step = [&](auto turn_) {
        constexpr int turn = decltype(turn_)::value;  // row r is at (turn * STRIDE + r) % KSIZE
        const bool more = p + 1 < at.p_end;
        acc_t of_y[COLUMNS];
        gradient.take(of_y);
#pragma unroll
        for (int t = 0; t < STRIDE; ++t)
            next[t].take(window[(turn * STRIDE + KSIZE - STRIDE + t) % KSIZE]);
        above += v.y_p;
        gradient.load(above, more ? ALL : 0, v.y_q);
#pragma unroll
        for (int t = 0; t < STRIDE; ++t) load(next[t], more);
#pragma unroll
        for (int j = 0; j < COLUMNS; ++j)
#pragma unroll
            for (int r = 0; r < KSIZE; ++r)
#pragma unroll
                for (int s = 0; s < KSIZE; ++s)
                    sum[r * KSIZE + s] +=
                        of_y[j] * window[(turn * STRIDE + r) % KSIZE][j * STRIDE + s];
        ++p;
        return more;
    };
    while (in_turn<KSIZE>(step)) {
    }
}

// Where addresses allow no vectors, an output after the other.
__device__ __forceinline__ void add_elements(acc_t (&sum)[TAPS], const scalar_t* __restrict__ x,
                                             const scalar_t* __restrict__ dy, const StripParams& v,
                                             const Strip& at, int c) {
    const scalar_t* const image = x + at.n * v.x_n + c * v.x_c;
#pragma unroll 1
    for (int p = at.p; p < at.p_end; ++p)
#pragma unroll 1
        for (int q = at.q; q < at.q + COLUMNS; ++q) {
            const acc_t of_y = to_acc(ldg(dy + at.n * v.y_n + c * v.y_c + p * v.y_p + q));
#pragma unroll
            for (int i = 0; i < TAPS; ++i) {
                const int h = p * STRIDE - v.top + i / KSIZE, w = q * STRIDE - v.left + i % KSIZE;
                const bool there = inside(h, v.h) && inside(w, v.w);
                sum[i] += of_y * (there ? to_acc(ldg(image + h * v.x_h + w)) : acc_t(0));
            }
        }
}

extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT)
depthwise_weight(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
                 acc_t* __restrict__ part, TeamParams v) {
    __shared__ acc_t sums[TAPS][WARPS];
    const unsigned channels = v.strip.channels;
    const int c = blockIdx.x % channels, number = blockIdx.x / channels;
    const int begin = number * THREADS + threadIdx.x, step = v.parts * THREADS;
    acc_t sum[TAPS] = {};
    if (!BYTES || (aligned_to<scalar_t, COLUMNS * STRIDE>(x) && aligned_to<scalar_t, COLUMNS>(dy)))
#pragma unroll 1
        for (int i = begin; i < v.units; i += step)
            add_vectors(sum, x, dy, v.strip, Strip(i, v.strip, 1), c);
    else
#pragma unroll 1
        for (int i = begin; i < v.units; i += step)
            add_elements(sum, x, dy, v.strip, Strip(i, v.strip, 1), c);
#pragma unroll
    for (int i = 0; i < TAPS; ++i) {
#pragma unroll
        for (int distance = WARP / 2; distance > 0; distance /= 2)
            sum[i] += __shfl_xor_sync(0xffffffffu, sum[i], distance);
        if (threadIdx.x % WARP == 0) sums[i][threadIdx.x / WARP] = sum[i];
    }
    __syncthreads();
    if (threadIdx.x >= TAPS) return;
    acc_t total = 0;
#pragma unroll
    for (int i = 0; i < WARPS; ++i) total += sums[threadIdx.x][i];
    part[(static_cast<index_t>(number) * channels + c) * TAPS + threadIdx.x] = total;
}
