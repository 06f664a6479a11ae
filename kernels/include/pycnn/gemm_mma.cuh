// pycnn/gemm_mma.cuh: how the warps of a block share a tile of a product on tensor cores: tiles of
// 16-bit or float elements in shared memory, the fragments that a warp reads from them, and its sums.
//
// Floats are multiplied as TF32. With PRODUCTS = 1 each is rounded to it, to 10 bits of fraction.
// With 3 it is the sum of two of them, high + low, and a product is high high + (high low + low
// high): what is left out, low low, is below 2^-22 of it, and the low parts lose no more than 2^-23
// of an element. Sums of high high are rounded to nearest every MMA_K terms, as the tensor cores cut
// off; those of the others are so small that it does not matter. Infinity leaves a NaN in them, and
// they are then left out.
#pragma once

#ifndef SCALAR
#define SCALAR __half
#endif
#ifndef PRODUCTS
#define PRODUCTS 1
#endif
#include <pycnn/async_copy.cuh>
#include <pycnn/gemm_thread.cuh>
#include <pycnn/mma.cuh>

constexpr int CHUNK = 16 / sizeof(scalar_t);  // elements in 16 bytes: a copy, or a row of a matrix
constexpr int MMA_M = 16, MMA_N = 8, MMA_K = 2 * CHUNK;
constexpr int BLK_K = 4 * CHUNK;  // of a tile: rows of 64 bytes
constexpr bool IS_TF32 = sizeof(scalar_t) == 4, IS_SPLIT = IS_TF32 && PRODUCTS == 3;

// Where the elements of a tile lie in shared memory: rows of k where K_MAJOR, else of mn. Chunks are
// permuted within a row so that no bank is asked twice: not by eight threads that store a row, nor
// by the eight rows that `ldmatrix` reads of an 8x8 matrix, nor by a warp that reads 4 rows of k by
// 8 floats.
template <int BLK_MN, bool K_MAJOR>
struct MmaLayout {
    static constexpr int ROWS = K_MAJOR ? BLK_MN : BLK_K;
    static constexpr int CHUNKS = (K_MAJOR ? BLK_K : BLK_MN) / CHUNK;  // of a row
    static constexpr int SIZE = BLK_MN * BLK_K;
    static constexpr bool BY_ELEMENTS = !K_MAJOR && IS_TF32;  // ldmatrix turns pairs of bytes only
    // Rows that share the 128 bytes of all banks, and how many orders of chunks there are.
    static constexpr int TOGETHER = CHUNKS < 8 ? 8 / CHUNKS : 1, ORDERS = CHUNKS < 8 ? CHUNKS : 8;

    static __device__ __forceinline__ int at(int row, int chunk) {
        const int order = BY_ELEMENTS ? row % 4 * 2 : row / TOGETHER % ORDERS;
        return (row * CHUNKS + (chunk ^ order)) * CHUNK;
    }

    // Four matrices of 8 x 16 bytes at (mn + mn_step, k), as registers of `mma`: mn runs faster than
    // k in those of A, slower in those of B. Steps and k are constants, multiples of 16 and of MMA_K,
    // that share no bit with mn: so an address is one of few, and a constant.
    template <bool OF_A>
    static __device__ __forceinline__ void load(unsigned (&fragment)[4], const scalar_t* tile,
                                                int mn, int mn_step, int k) {
        static_assert(BY_ELEMENTS || 16 % (TOGETHER * ORDERS) == 0, "the order 16 rows further");
        const int lane = threadIdx.x % 32, first = lane / 8 % 2, second = lane / 16;
        const int of_mn = OF_A ? first : second, of_k = OF_A ? second : first;
        if constexpr (K_MAJOR) {
            const int row = mn + of_mn * 8 + lane % 8;
            ldmatrix<4>(fragment, tile + at(row, of_k ^ k / CHUNK) + mn_step * CHUNKS * CHUNK);
        } else if constexpr (!BY_ELEMENTS) {
            const int row = of_k * 8 + lane % 8, chunk = mn / CHUNK ^ of_mn;
            ldmatrix<4, true>(fragment,
                              tile + at(row, chunk ^ mn_step / CHUNK) + k * CHUNKS * CHUNK);
        } else {
            const int group = lane / 4, pair = lane % 4, chunk = mn / CHUNK ^ group / CHUNK;
#pragma unroll
            for (int r = 0; r < 4; ++r) {
                const int mn_of_r = mn_step + (OF_A ? r % 2 : r / 2) * 8;
                const int k_of_r = k + (OF_A ? r / 2 : r % 2) * 4;
                const scalar_t* const from = tile + at(pair, chunk ^ mn_of_r / CHUNK) +
                                             group % CHUNK + k_of_r * CHUNKS * CHUNK;
                fragment[r] = *reinterpret_cast<const unsigned*>(from);
            }
        }
    }
};

// Copies a chunk to shared memory: asynchronously in one piece, or element by element where the
// address is not aligned. Zeros, and no reading, unless it exists.
__device__ __forceinline__ void copy_chunk(scalar_t* to, const scalar_t* from, bool exists,
                                           bool vector) {
    if (vector) {
        copy_async<16>(to, from, exists);
    } else {
        scalar_t one_by_one[CHUNK];
#pragma unroll
        for (int e = 0; e < CHUNK; ++e) one_by_one[e] = exists ? from[e] : from_acc(0);
        store_vector(to, one_by_one);
    }
}

// Loads the sums of a chunk that lie side by side in sC. Where they are eight, of eight threads four
// begin with the second half: no bank is asked twice.
__device__ __forceinline__ void load_sums(float (&sum)[CHUNK], const float* from) {
    if constexpr (CHUNK == 4) {
        load_vector(sum, from);
    } else {
        constexpr int HALF = CHUNK / 2;
        const bool turned = threadIdx.x / 4 % 2;
        float halves[2][HALF];
        load_vector(halves[0], from + (turned ? HALF : 0));
        load_vector(halves[1], from + (turned ? 0 : HALF));
#pragma unroll
        for (int e = 0; e < CHUNK; ++e)
            sum[e] = turned == (e < HALF) ? halves[1][e % HALF] : halves[0][e % HALF];
    }
}

// D += A B on fragments.
__device__ __forceinline__ void mma(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#if PYCNN_JOIN(PYCNN_IS_, SCALAR) == 1
    mma_f16(d, a, b);
#elif PYCNN_JOIN(PYCNN_IS_, SCALAR) == 2
    mma_bf16(d, a, b);
#else
    mma_tf32(d, a, b);
#endif
}

// Rounds the floats of a fragment to TF32. What that leaves out of them has 13 bits at most, of which
// the product takes 11 or more: the last one may be lost.
__device__ __forceinline__ void split_tf32(unsigned (&high)[4], unsigned (&low)[4]) {
#pragma unroll
    for (int r = 0; r < 4; ++r) {
        const float whole = __uint_as_float(high[r]);
        high[r] = to_tf32(whole);
        if constexpr (IS_SPLIT) low[r] = __float_as_uint(whole - tf32_value(high[r]));
    }
}

// The warps of a block are 2 x 4, or 4 x 2 where a tile is high, each with WARP_M x WARP_N outputs.
template <int BLK_M, int BLK_N>
struct WarpTile {
    static constexpr int WARPS_M = BLK_M > BLK_N ? 4 : 2, WARPS_N = THREADS / 32 / WARPS_M;
    static constexpr int WARP_M = BLK_M / WARPS_M, WARP_N = BLK_N / WARPS_N;
    static constexpr int COUNT_M = WARP_M / MMA_M, COUNT_N = WARP_N / MMA_N;
    static_assert(COUNT_M > 0 && COUNT_N % 2 == 0 && COUNT_N > 0, "B comes in pairs");

    const int m, n;  // the first output
    float acc[COUNT_M][COUNT_N][4];
    float cross[IS_SPLIT ? COUNT_M : 1][IS_SPLIT ? COUNT_N : 1][4];  // sums of high low + low high

    __device__ __forceinline__ WarpTile()
        : m(threadIdx.x / 32 / WARPS_N * WARP_M),
          n(threadIdx.x / 32 % WARPS_N * WARP_N),
          acc{},
          cross{} {}

    // Adds the product of two fragments, and of what was left out of them.
    __device__ __forceinline__ void add(int i, int j, const unsigned (&a)[4],
                                        const unsigned (&low_a)[4], const unsigned (&b)[2],
                                        const unsigned (&low_b)[2]) {
        if constexpr (!IS_SPLIT) {
            mma(acc[i][j], a, b);
        } else {
            mma(cross[i][j], a, low_b);
            mma(cross[i][j], low_a, b);
            float terms[4] = {};
            mma(terms, a, b);
#pragma unroll
            for (int e = 0; e < 4; ++e) acc[i][j][e] += terms[e];
        }
    }

    // Adds the product of two tiles.
    template <bool A_K_MAJOR, bool B_K_MAJOR>
    __device__ __forceinline__ void multiply(const scalar_t* sA, const scalar_t* sB) {
        // The registers of a second step would spill, of TF32 where single floats are read.
        constexpr int UNROLLED = IS_SPLIT || (IS_TF32 && !A_K_MAJOR && !B_K_MAJOR) ? 1 : 2;
#pragma unroll(UNROLLED)
        for (int k = 0; k < BLK_K; k += MMA_K) {
            unsigned rA[COUNT_M][4], lowA[COUNT_M][4];
#pragma unroll
            for (int i = 0; i < COUNT_M; ++i) {
                MmaLayout<BLK_M, A_K_MAJOR>::template load<true>(rA[i], sA, m, i * MMA_M, k);
                if constexpr (IS_TF32) split_tf32(rA[i], lowA[i]);
            }
#pragma unroll
            for (int j = 0; j < COUNT_N; j += 2) {
                unsigned rB[4], lowB[4];
                MmaLayout<BLK_N, B_K_MAJOR>::template load<false>(rB, sB, n, j * MMA_N, k);
                if constexpr (IS_TF32) split_tf32(rB, lowB);
#pragma unroll
                for (int i = 0; i < COUNT_M; ++i)
#pragma unroll
                    for (int of_two = 0; of_two < 2; ++of_two)
                        add(i, j + of_two, rA[i], lowA[i], {rB[2 * of_two], rB[2 * of_two + 1]},
                            {lowB[2 * of_two], lowB[2 * of_two + 1]});
            }
        }
    }

    // Hands over the sums in the order of memory: ROWS of the tile at a time pass through sC in
    // shared memory; then write(pass) finds row `tile_row(r, pass)` of the tile in row r of sC.
    static constexpr int ROWS = WARPS_M * MMA_M, PITCH = BLK_N + 8;

    static __device__ __forceinline__ int tile_row(int r, int pass) {
        return r / MMA_M * WARP_M + pass * MMA_M + r % MMA_M;
    }

    __device__ __forceinline__ float sum(int i, int j, int e) const {
        if constexpr (!IS_SPLIT) {
            return acc[i][j][e];
        } else {
            const float rest = cross[i][j][e];
            return fabsf(rest) < limits<float>::infinity() ? acc[i][j][e] + rest : acc[i][j][e];
        }
    }

    template <typename Write>
    __device__ __forceinline__ void store_through_shared(float* sC, Write write) const {
        const int lane = threadIdx.x % 32, group = lane / 4, pair = lane % 4;
        // Indexed in pairs: NVRTC splits a store at the address of an element.
        using Pair = Vec<8>::type;
        Pair* const own = reinterpret_cast<Pair*>(sC) +
                          ((m / WARP_M * MMA_M + group) * PITCH + n) / 2 + pair;
#pragma unroll 1
        for (int pass = 0; pass < COUNT_M; ++pass) {
            __syncthreads();  // nobody needs what sC has held so far
#pragma unroll
            for (int i = 0; i < COUNT_M; ++i) {
                if (i != pass) continue;  // registers have no addresses
#pragma unroll
                for (int j = 0; j < COUNT_N; ++j) {
                    const float upper[2] = {sum(i, j, 0), sum(i, j, 1)};
                    const float lower[2] = {sum(i, j, 2), sum(i, j, 3)};
                    store_vector(reinterpret_cast<float*>(own + j * MMA_N / 2), upper);
                    store_vector(reinterpret_cast<float*>(own + (8 * PITCH + j * MMA_N) / 2), lower);
                }
            }
            __syncthreads();
            write(pass);
        }
    }
};
