// conv/int8_mma.cu: convolution of 8-bit integers as a matrix product on tensor cores.
//
// Computes   what int8.cu does: sums modulo 2^32 of (x - x_zero) (w - w_zero[k]), as they are, or
//            with a bias, scaled, rounded and saturated to 8 bits, with the same bits
// Layout     x and the weight with channels innermost, a multiple of 16 of them in a group; y any
//            strides, fastest with channels innermost
// Launch     block 128, warps 2 x 2 with a quarter of the tile each; grid of all tiles of all
//            groups, flat, m fastest; shared memory 48 KiB
// Traffic    x is requested R S times for every TILE filters of a group, w once for every TILE
//            pixels, mostly from L1 and L2; 2 N K P Q (C/G) R S operations
// Range      as implicit_gemm_mma.cu; sums wrap around
// Siblings   int8 has a thread an output, any layout, and words of four channels; implicit_gemm_mma
//            is the same of floating point. Beyond the edges lies x_zero, not zero: where no chunk is
//            copied a thread stores that. Zero points ask for the sums of rows and columns, which
//            __dp4a makes beside the tensor cores
// Banks      none is asked twice: see MmaLayout
// Source     B. Jacob et al., "Quantization and Training of Neural Networks for Efficient
//            Integer-Arithmetic-Only Inference", 2018, section 2; PTX ISA, "Warp-level matrix
//            instructions"
//
// entry int8_mma_forward         sums as they are, 32 bits
// entry int8_mma_requantised     sums with a bias, scaled, rounded and saturated to 8 bits
// variant X_TYPE = quantised
// variant W_TYPE = quantised
// variant TILE = 64, 128
#define SCALAR byte
#define ALONG_K 1
#include <pycnn/int8.cuh>
#include <pycnn/implicit_gemm_tiles.cuh>

// Of rows of sC that threads read in turn, where eight of them take two rows of 64 sums: those that
// meet other banks.
__device__ __forceinline__ int apart(int row) {
    return BLK_M == 64 ? row & ~3 | row % 2 * 2 | row / 2 % 2 : row;
}

// Where the sums of a block go: offsets of its rows, behind sC.
struct Outputs {
    int* const sC;
    index_t* const n_in_c;
    const int extent_m, extent_n;
    const index_t channel;

    __device__ __forceinline__ Outputs(Stages& stages, const Operands& of, const BlockCoord& blk,
                                       const ImplicitParams& p)
        : sC(reinterpret_cast<int*>(stages[0])),
          n_in_c(reinterpret_cast<index_t*>(sC + Warp::ROWS * Warp::PITCH)),
          extent_m(of.extent_m),
          extent_n(of.extent_n),
          channel(blk.channel(p)) {
        constexpr int SUMS = Warp::ROWS * Warp::PITCH * sizeof(int);
        static_assert(sizeof(stages) >= SUMS + BLK_N * sizeof(index_t), "sC, and offsets behind it");
        static_assert(BLK_N <= MMA_THREADS, "each thread one at most");
        if (threadIdx.x < BLK_N)
            n_in_c[threadIdx.x] = IndexIterator(p.n, of.n + threadIdx.x).other(p.n);
    }
};

// The sums of a block, with what zero points and the bias add to them.
__device__ __forceinline__ void multiply(Warp& warp, Stages& stages, const Operands& of,
                                         const x_type* x_zero, const w_type* w_zero,
                                         const int* bias, index_t channel, const ImplicitParams& p,
                                         const Int8Params& i8) {
    // With no zero point nothing is filled or added up beside the products: in a loop of its own.
    if (of.aligned(p) && !w_zero && !x_zero) {
        multiply_all<true, false>(warp, stages, of, p);
    } else {
        warp.bytes.of_a = w_zero;
        warp.bytes.of_b = true;  // without x_zero they are multiplied by zero
        if (of.aligned(p))
            multiply_all<true>(warp, stages, of, p);
        else
            multiply_all<false>(warp, stages, of, p);
    }

    const unsigned a = x_zero ? *x_zero : 0, terms = static_cast<unsigned>(p.k.count) * CHUNK;
    const int pair = threadIdx.x % 4;
    unsigned of_x[Warp::COUNT_M][2];
#pragma unroll
    for (int i = 0; i < Warp::COUNT_M; ++i)
#pragma unroll
        for (int h = 0; h < 2; ++h) of_x[i][h] = warp.bytes.whole(warp.bytes.a[i][h]);
#pragma unroll
    for (int j = 0; j < Warp::COUNT_N; ++j) {
        const unsigned of_own = warp.bytes.whole(warp.bytes.b[j]);
#pragma unroll
        for (int e = 0; e < 2; ++e) {
            const unsigned of_w = __shfl_sync(0xffffffffu, of_own, (2 * pair + e) * 4);
            const int m = warp.n + j * MMA_N + 2 * pair + e;
            const index_t k = channel + m;
            const bool exists = m < of.extent_m;
            const unsigned b = w_zero && exists ? w_zero[k * i8.weight_zero_k] : 0;
            const unsigned more = a * (b * terms - of_w) + (bias && exists ? bias[k * i8.bias_k] : 0);
#pragma unroll
            for (int i = 0; i < Warp::COUNT_M; ++i)
#pragma unroll
                for (int h = 0; h < 2; ++h)
                    warp.acc[i][j][2 * h + e] += more - b * of_x[i][h];
        }
    }
}

// Four of what lies beyond the edges of x.
__device__ __forceinline__ unsigned beyond(const x_type* x_zero) {
    return x_zero ? static_cast<unsigned char>(*x_zero) * 0x01010101u : 0;
}

extern "C" __global__ void __launch_bounds__(MMA_THREADS, MIN_BLOCKS)
int8_mma_forward(const scalar_t* __restrict__ x, const scalar_t* __restrict__ weight,
                 const x_type* __restrict__ x_zero, const w_type* __restrict__ w_zero,
                 int* __restrict__ y, ImplicitParams p, Int8Params i8) {
    __shared__ alignas(128) Stages stages;
    const BlockCoord blk(p);
    const Operands of(weight, x, blk, p, beyond(x_zero));
    Warp warp;
    multiply(warp, stages, of, x_zero, w_zero, nullptr, blk.channel(p), p, i8);
    const Outputs out(stages, of, blk, p);
    int* const gC = y + blk.group * p.c_group + blk.m * p.c_m;
    const bool vector = p.vectors & C_CHUNKED && reinterpret_cast<size_t>(gC) % 16 == 0;
    // A thread's four columns are those that follow its neighbour's in sC.
    constexpr int CHUNKS = BLK_M / CHUNK, ROWS = 8 / CHUNKS, STEP = MMA_THREADS * 4 / BLK_M;
    const int chunk = threadIdx.x % CHUNKS, row = threadIdx.x / CHUNKS % ROWS;
    const int others = threadIdx.x / 8, m = chunk * CHUNK + others % Warp::FOURS * 4;
    const int first = apart(others / Warp::FOURS * ROWS + row);
    warp.store_through_shared(out.sC, [&](int pass) {
#pragma unroll 1
        for (int r = first; r < Warp::ROWS; r += STEP) {
            const int n = Warp::tile_row(r, pass);
            if (n >= out.extent_n || m >= out.extent_m) continue;
            int four[4];
            load_vector(four, out.sC + r * Warp::PITCH + Warp::column(m));
            int* const to = gC + out.n_in_c[n] + m * p.c_m;
            if (vector && m + 4 <= out.extent_m) {
                store_vector(to, four);
            } else {
#pragma unroll
                for (int e = 0; e < 4; ++e)
                    if (m + e < out.extent_m) to[e * p.c_m] = four[e];
            }
        }
    });
}

extern "C" __global__ void __launch_bounds__(MMA_THREADS, MIN_BLOCKS)
int8_mma_requantised(const scalar_t* __restrict__ x, const float* __restrict__ x_scale,
                     const x_type* __restrict__ x_zero, const scalar_t* __restrict__ weight,
                     const float* __restrict__ weight_scale, const w_type* __restrict__ w_zero,
                     const float* __restrict__ y_scale, const unsigned char* __restrict__ y_zero,
                     const int* __restrict__ bias, unsigned char* __restrict__ y,
                     ImplicitParams p, Int8Params i8) {
    __shared__ alignas(128) Stages stages;
    const BlockCoord blk(p);
    const Operands of(weight, x, blk, p, beyond(x_zero));
    Warp warp;
    multiply(warp, stages, of, x_zero, w_zero, bias, blk.channel(p), p, i8);
    const Outputs out(stages, of, blk, p);
    const Requantisation to_bytes{x_scale, weight_scale, y_scale, y_zero, i8};
    unsigned char* const gC = y + blk.group * p.c_group + blk.m * p.c_m;
    const bool vector = p.vectors & C_CHUNKED && reinterpret_cast<size_t>(gC) % 16 == 0;
    constexpr int STEP = MMA_THREADS * CHUNK / BLK_M;
    const int m = threadIdx.x * CHUNK % BLK_M, count = min(out.extent_m - m, CHUNK);
    const Rounding rounding(to_bytes);
    float factor[CHUNK];
#pragma unroll
    for (int j = 0; j < CHUNK; ++j) factor[j] = j < count ? rounding.factor(out.channel + m + j) : 0;
    warp.store_through_shared(out.sC, [&](int pass) {
#pragma unroll 1
        for (int r = apart(threadIdx.x * CHUNK / BLK_M); r < Warp::ROWS; r += STEP) {
            const int n = Warp::tile_row(r, pass);
            if (n >= out.extent_n || count <= 0) continue;
            const int* const from = out.sC + r * Warp::PITCH + Warp::column(m);
            unsigned char* const to = gC + out.n_in_c[n] + m * p.c_m;
            bool done = false;
            if (vector && count == CHUNK) {
                int sum[CHUNK];
                Warp::load_sums(sum, from);
                unsigned bytes[4];
                done = rounding(bytes, sum, factor);
                if (done) store_vector(reinterpret_cast<unsigned*>(to), bytes);
            }
#pragma unroll 1
            for (int j = done ? count : 0; j < count; ++j)
                to[j * p.c_m] =
                    to_bytes(from[Warp::column(j)], to_bytes.multiplier(out.channel + m + j));
        }
    });
}
