// pycnn/gemm_mma.cuh: how the warps of a block share a tile of a product on tensor cores: tiles of
// 16-bit elements in shared memory, the fragments that a warp reads from them, and its sums.
#pragma once

#ifndef SCALAR
#define SCALAR __half
#endif
#include <pycnn/async_copy.cuh>
#include <pycnn/gemm_thread.cuh>
#include <pycnn/mma.cuh>

constexpr int CHUNK = 8;               // elements in 16 bytes: a copy, or a row of an 8x8 matrix
constexpr int MMA_M = 16, MMA_N = 8, MMA_K = 16;

// Where the elements of a tile lie in shared memory: rows of k where K_MAJOR, else of mn. Chunks are
// permuted within a row so that eight threads that store a row, and the eight rows that `ldmatrix`
// reads of an 8x8 matrix, meet every bank once.
template <int BLK_MN, int BLK_K, bool K_MAJOR>
struct MmaLayout {
    static constexpr int ROWS = K_MAJOR ? BLK_MN : BLK_K;
    static constexpr int CHUNKS = (K_MAJOR ? BLK_K : BLK_MN) / CHUNK;  // of a row
    static constexpr int SIZE = BLK_MN * BLK_K;
    // Rows that share the 128 bytes of all banks, and how many orders of chunks there are.
    static constexpr int TOGETHER = CHUNKS < 8 ? 8 / CHUNKS : 1, ORDERS = CHUNKS < 8 ? CHUNKS : 8;

    static __device__ __forceinline__ int at(int row, int chunk) {
        return (row * CHUNKS + (chunk ^ (row / TOGETHER % ORDERS))) * CHUNK;
    }

    // The four 8x8 matrices at (mn + mn_step, k), 16 x 16 elements, as registers of `mma`: mn runs
    // faster than k in those of A, slower in those of B. Steps and k are constants, multiples of 16,
    // that share no bit with mn: so an address is one of few, and a constant.
    template <bool OF_A>
    static __device__ __forceinline__ void load(unsigned (&fragment)[4], const scalar_t* tile,
                                                int mn, int mn_step, int k) {
        static_assert(16 % (TOGETHER * ORDERS) == 0, "16 rows further the order is the same");
        const int lane = threadIdx.x % 32, first = lane / 8 % 2, second = lane / 16;
        const int of_mn = OF_A ? first : second, of_k = OF_A ? second : first;
        if constexpr (K_MAJOR) {
            const int row = mn + of_mn * 8 + lane % 8;
            ldmatrix<4>(fragment, tile + at(row, of_k ^ k / CHUNK) + mn_step * CHUNKS * CHUNK);
        } else {
            const int row = of_k * 8 + lane % 8, chunk = mn / CHUNK ^ of_mn;
            ldmatrix<4, true>(fragment,
                              tile + at(row, chunk ^ mn_step / CHUNK) + k * CHUNKS * CHUNK);
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

// Loads eight sums that lie side by side in sC. Of eight threads four begin with the second half: no
// bank is asked twice.
__device__ __forceinline__ void load_sums(float (&sum)[CHUNK], const float* from) {
    constexpr int HALF = CHUNK / 2;
    const bool turned = threadIdx.x / 4 % 2;
    float halves[2][HALF];
    load_vector(halves[0], from + (turned ? HALF : 0));
    load_vector(halves[1], from + (turned ? 0 : HALF));
#pragma unroll
    for (int e = 0; e < CHUNK; ++e)
        sum[e] = turned == (e < HALF) ? halves[1][e % HALF] : halves[0][e % HALF];
}

// D += A B on fragments of the 16-bit type.
__device__ __forceinline__ void mma(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#if PYCNN_JOIN(PYCNN_IS_, SCALAR) == 1
    mma_f16(d, a, b);
#else
    mma_bf16(d, a, b);
#endif
}

// The warps of a block are 2 x 4, each with WARP_M x WARP_N outputs of a tile.
template <int BLK_M, int BLK_N>
struct WarpTile {
    static constexpr int WARPS_M = 2, WARPS_N = 4;
    static constexpr int WARP_M = BLK_M / WARPS_M, WARP_N = BLK_N / WARPS_N;
    static constexpr int COUNT_M = WARP_M / MMA_M, COUNT_N = WARP_N / MMA_N;
    static_assert(WARPS_M * WARPS_N * 32 == THREADS && COUNT_N % 2 == 0, "B comes in pairs");

    const int m, n;  // the first output
    float acc[COUNT_M][COUNT_N][4];

    __device__ __forceinline__ WarpTile()
        : m(threadIdx.x / 32 / WARPS_N * WARP_M), n(threadIdx.x / 32 % WARPS_N * WARP_N), acc{} {}

    // Adds the product of two tiles.
    template <int BLK_K, bool A_K_MAJOR, bool B_K_MAJOR>
    __device__ __forceinline__ void multiply(const scalar_t* sA, const scalar_t* sB) {
#pragma unroll
        for (int k = 0; k < BLK_K; k += MMA_K) {
            unsigned rA[COUNT_M][4], rB[COUNT_N / 2][4];
#pragma unroll
            for (int i = 0; i < COUNT_M; ++i)
                MmaLayout<BLK_M, BLK_K, A_K_MAJOR>::template load<true>(rA[i], sA, m, i * MMA_M,
                                                                        k);
#pragma unroll
            for (int j = 0; j < COUNT_N / 2; ++j)
                MmaLayout<BLK_N, BLK_K, B_K_MAJOR>::template load<false>(rB[j], sB, n,
                                                                         2 * j * MMA_N, k);
#pragma unroll
            for (int i = 0; i < COUNT_M; ++i)
#pragma unroll
                for (int j = 0; j < COUNT_N; ++j) {
                    const unsigned of_j[2] = {rB[j / 2][j % 2 * 2], rB[j / 2][j % 2 * 2 + 1]};
                    mma(acc[i][j], rA[i], of_j);
                }
        }
    }

    // Hands over the sums in the order of memory: ROWS of the tile at a time pass through sC in
    // shared memory; then write(pass) finds row `tile_row(r, pass)` of the tile in row r of sC.
    static constexpr int ROWS = WARPS_M * MMA_M, PITCH = BLK_N + 8;

    static __device__ __forceinline__ int tile_row(int r, int pass) {
        return r / MMA_M * WARP_M + pass * MMA_M + r % MMA_M;
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
            for (int constant = 0; constant < COUNT_M; ++constant) {
                if (constant != pass) continue;  // registers have no addresses
#pragma unroll
                for (int j = 0; j < COUNT_N; ++j) {
                    const float(&d)[4] = acc[constant][j];
                    const float upper[2] = {d[0], d[1]}, lower[2] = {d[2], d[3]};
                    store_vector(reinterpret_cast<float*>(own + j * MMA_N / 2), upper);
                    store_vector(reinterpret_cast<float*>(own + (8 * PITCH + j * MMA_N) / 2), lower);
                }
            }
            __syncthreads();
            write(pass);
        }
    }
};
