// conv/depthwise_maps.cu: convolution with one filter for each channel, of small maps.
//
// Computes   as depthwise.cu with STRIDE 1, and a padding of KSIZE / 2 on all sides
// Layout     x, y (N,C,SIDE,SIDE) contiguous, w (C,1,KSIZE,KSIZE): any strides
// Launch     one thread for 7 rows of a map; block 64 (of 14x14 in 32 bits: 32), whose maps lie one
//            behind the other: they come and go by 16 bytes through shared memory (25 kB at most).
//            Grid flat
// Traffic    |x| + |w| + |y|
// Range      as depthwise.cu; no residual. Where an address is no multiple of 16 bytes, elements come
//            and go one by one. Rows of threads begin an odd number of words or halves apart, and so
//            meet no bank more than twice
// Siblings   depthwise for larger maps
// Source     as depthwise.cu
//
// entry depthwise_maps           convolution of small maps, a thread for 7 rows
// variant SCALAR = halves, single
// variant SIDE = 7, 14
// variant KSIZE = 3, 5
#include <pycnn/depthwise_strips.cuh>

#ifndef SIDE
#define SIDE 7  // H, W, P and Q
#endif

constexpr int ROWS = 7, PARTS = SIDE / ROWS;  // of outputs of a thread; of a map
constexpr int LENGTH = ROWS * SIDE;
constexpr int BLOCK = LENGTH * sizeof(scalar_t) > 256 ? 32 : 64;
constexpr int PAD = KSIZE / 2, VEC = SIDE % 2 ? 1 : 2, VECTOR = 16 / sizeof(scalar_t);
constexpr int AT_ONCE = 8;  // requests of a thread

// Consecutive elements, which begin where vectors do or else come one by one.
__device__ __forceinline__ void move(scalar_t* to, const scalar_t* from, int count, bool vectors) {
    using Vector = Block<scalar_t, VECTOR>;
    const int whole = vectors ? count / VECTOR : 0;
    for (int first = threadIdx.x; first < whole; first += AT_ONCE * BLOCK) {
        Vector vector[AT_ONCE];
#pragma unroll
        for (int k = 0; k < AT_ONCE; ++k)
            if (first + k * BLOCK < whole)
                vector[k] = reinterpret_cast<const Vector*>(from)[first + k * BLOCK];
#pragma unroll
        for (int k = 0; k < AT_ONCE; ++k)
            if (first + k * BLOCK < whole)
                reinterpret_cast<Vector*>(to)[first + k * BLOCK] = vector[k];
    }
    for (int i = whole * VECTOR + threadIdx.x; i < count; i += BLOCK) to[i] = from[i];
}

__device__ __forceinline__ void take_row(acc_t (&to)[SIDE], const scalar_t* from) {
#pragma unroll
    for (int i = 0; i < SIDE; i += VEC) {
        const auto block = *reinterpret_cast<const Block<scalar_t, VEC>*>(from + i);
        acc_t value[VEC];
        if constexpr (VEC > 1)
            unpack(block.at, value);
        else
            value[0] = to_acc(block.at[0]);
#pragma unroll
        for (int k = 0; k < VEC; ++k) to[i + k] = value[k];
    }
}

__device__ __forceinline__ void put_row(scalar_t* to, const acc_t (&from)[SIDE]) {
#pragma unroll
    for (int i = 0; i < SIDE; i += VEC) {
        Block<scalar_t, VEC> block;
#pragma unroll
        for (int k = 0; k < VEC; ++k) block.at[k] = from_acc(from[i + k]);
        *reinterpret_cast<Block<scalar_t, VEC>*>(to + i) = block;
    }
}

// Of the rows from `first` on of a map that begins at sX.
__device__ __forceinline__ void convolve(const acc_t (&taps)[TAPS], const Finish<1>& finish,
                                         const scalar_t* sX, scalar_t* sY, int first) {
    acc_t sum[KSIZE][SIDE];  // of the outputs that the row at hand reaches, in turn
#pragma unroll
    for (int i = 0; i < ROWS + KSIZE - 1; ++i) {
        const int h = first + i - PAD;
        acc_t value[SIDE] = {};
        if (inside(h, SIDE)) take_row(value, sX + h * SIDE);
#pragma unroll
        for (int r = 0; r < KSIZE; ++r) {
            const int p = i - r;
            if (p < 0 || p >= ROWS) continue;
#pragma unroll
            for (int q = 0; q < SIDE; ++q)
#pragma unroll
                for (int s = 0; s < KSIZE; ++s) {
                    if (s == 0 && r == 0) sum[p % KSIZE][q] = 0;
                    const int w = q + s - PAD;
                    // Zeros count, too: with an infinite filter they make no number. Their product on
                    // its own would be kept in a register for all rows.
                    const acc_t factor = w >= 0 && w < SIDE ? value[w] : acc_t(0);
                    sum[p % KSIZE][q] = fma(factor, taps[r * KSIZE + s], sum[p % KSIZE][q]);
                }
        }
        const int p = i - (KSIZE - 1);
        if (p < 0) continue;
        finish(sum[p % KSIZE], [] {});
        put_row(sY + (first + p) * SIDE, sum[p % KSIZE]);
    }
}

extern "C" __global__ void __launch_bounds__(BLOCK)
depthwise_maps(const scalar_t* __restrict__ x, const scalar_t* __restrict__ weight,
               const scalar_t* __restrict__ bias, const scalar_t* __restrict__ scale,
               const scalar_t* __restrict__ shift, const scalar_t* __restrict__ residual,
               scalar_t* __restrict__ y, StripParams v, EpilogueParams e) {
    __shared__ __align__(16) scalar_t sX[BLOCK * LENGTH];
    __shared__ __align__(16) scalar_t sY[BLOCK * LENGTH];
    constexpr int MAPS = BLOCK / PARTS;
    const index_t first = static_cast<index_t>(blockIdx.x) * MAPS;
    const index_t left = static_cast<index_t>(v.n) * v.channels - first;
    const int maps = left < MAPS ? static_cast<int>(left) : MAPS;
    const int count = maps * PARTS * LENGTH;
    x += first * (PARTS * LENGTH);
    y += first * (PARTS * LENGTH);
    const int map = threadIdx.x / PARTS, part = threadIdx.x % PARTS;
    const int c = static_cast<int>((first + map) % v.channels);
    acc_t taps[TAPS];
#pragma unroll
    for (int i = 0; i < TAPS; ++i)
        taps[i] = to_acc(ldg(weight + c * v.w_c + i / KSIZE * v.w_r + i % KSIZE * v.w_s));
    const Epilogue epilogue{bias, scale, shift, residual, e};
    const Finish<1> finish(epilogue, c);
    move(sX, x, count, aligned_to<scalar_t, VECTOR>(x));
    __syncthreads();
    const int at = map * PARTS * LENGTH;
    if (map < maps) convolve(taps, finish, sX + at, sY + at, part * ROWS);
    __syncthreads();
    move(y, sY, count, aligned_to<scalar_t, VECTOR>(y));
}
