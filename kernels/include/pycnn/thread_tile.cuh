// pycnn/thread_tile.cuh: a tile of a product of floats, one by one (FFMA): each thread has 16x8 outputs
// of 128 rows, 8x8 of 64. Stands in for WarpTile of gemm_mma.cuh, and reads the same tiles in shared memory.
#pragma once

#include <pycnn/gemm_mma.cuh>

// Where the elements of a tile lie: in rows of k, four neighbours along mn in a chunk, whose order
// differs so that no bank is asked twice by lanes that copy. Chunks of k come element by element.
template <int BLK_MN, bool K_MAJOR>
struct ThreadLayout {
    static constexpr int ROWS = K_MAJOR ? BLK_MN : BLK_K;  // that are copied, of so many chunks
    static constexpr int CHUNKS = (K_MAJOR ? BLK_K : BLK_MN) / CHUNK;
    static constexpr int SIZE = BLK_MN * BLK_K;
    static constexpr int TOGETHER = 1, ORDERS = K_MAJOR ? 1 : 4;

    static __device__ __forceinline__ int at(int k, int chunk) {
        // Bits of their own in one operation: of the rows of four k, and of the order of chunks.
        if (K_MAJOR)
            return (chunk * CHUNK ^ k / CHUNK * (CHUNK * BLK_MN + 2 * CHUNK)) + k % CHUNK * BLK_MN;
        return k * BLK_MN + (chunk ^ k % ORDERS * 2) * CHUNK;
    }

    // Where the first of four neighbours along k lies, of row mn + step; the next a row of k further.
    static __device__ __forceinline__ float* first(float* tile, int mn, int step, int chunk) {
        return tile + at(chunk * CHUNK, (mn + step) / CHUNK) + mn % CHUNK;
    }

    // All four, of any alignment.
    static __device__ __forceinline__ void copy(float* tile, int mn, int step, int chunk,
                                                const float* from, bool exists, bool) {
        float* const to = first(tile, mn, step, chunk);
#pragma unroll
        for (int e = 0; e < CHUNK; ++e) copy_async<4>(to + e * BLK_MN, from + e, exists);
    }
};

// A warp has 64 x 64 or 32 x 64 outputs, its lanes 4 x 8 of four neighbours by four, and as many again:
// rows a part of the tile further, columns 32. Lanes i and i ^ 1 share a column and i and i ^ 2 a row, so
// of 16 bytes each the requests of 16 lanes are met at once.
template <int BLK_M, int BLK_N, bool A_K_MAJOR, bool B_K_MAJOR = A_K_MAJOR>
struct ThreadTile {
    static constexpr int OWN_M = BLK_M / 8, OWN_N = 8, LANES_M = 4, LANES_N = 8;
    static constexpr int WARP_M = LANES_M * OWN_M, WARP_N = LANES_N * OWN_N;
    static constexpr int WARPS_M = BLK_M / WARP_M, WARPS_N = BLK_N / WARP_N;
    // Of a thread's neighbours.
    static constexpr int APART_M = BLK_M * CHUNK / OWN_M, APART_N = WARP_N * CHUNK / OWN_N;
    static constexpr int THREADS = WARPS_M * WARPS_N * 32;
    using LayoutA = ThreadLayout<BLK_M, A_K_MAJOR>;
    using LayoutB = ThreadLayout<BLK_N, B_K_MAJOR>;

    const int m, n;  // a thread's first chunk of rows, and of columns
    float acc[OWN_M][OWN_N];

    __device__ __forceinline__ ThreadTile()
        : m(threadIdx.x / 32 / WARPS_N * LANES_M + threadIdx.x % 2 + threadIdx.x % 32 / 16 * 2),
          n(threadIdx.x / 32 % WARPS_N * (WARP_N / CHUNK) + threadIdx.x / 2 % LANES_N),
          acc{} {}

    // Nothing is left out, so no block begins again.
    __device__ __forceinline__ bool any_nan() const { return false; }
    __device__ __forceinline__ void clear() {}

    // Adds the product of two tiles.
    template <bool FINITE>
    __device__ __forceinline__ void multiply(const float* sA, const float* sB) {
#pragma unroll
        for (int k = 0; k < BLK_K; ++k) add_row_of_k(sA, sB, k);
    }

    __device__ __forceinline__ void add_row_of_k(const float* sA, const float* sB, int k) {
        float rA[OWN_M], rB[OWN_N];
        load_row<APART_M>(rA, sA + LayoutA::at(k, m));
        load_row<APART_N>(rB, sB + LayoutB::at(k, n));
#pragma unroll
        for (int i = 0; i < OWN_M; ++i)
#pragma unroll
            for (int at = 0; at < OWN_N; ++at) {
                // Back and forth, so that the operand that stays is asked of the registers once.
                const int j = i % 2 ? OWN_N - 1 - at : at;
                acc[i][j] += rA[i] * rB[j];
            }
    }

    template <int APART, int OWN>
    static __device__ __forceinline__ void load_row(float (&to)[OWN], const float* from) {
#pragma unroll
        for (int i = 0; i < OWN; i += CHUNK) {
            float four[CHUNK];
            load_vector(four, from + i / CHUNK * APART);
#pragma unroll
            for (int e = 0; e < CHUNK; ++e) to[i + e] = four[e];
        }
    }

    // As WarpTile has them: rows of the tile that pass through shared memory at a time.
    static constexpr int ROWS = WARPS_M * LANES_M, PITCH = BLK_N + 16;
    static constexpr bool OWN_ROWS = false;

    static __device__ __forceinline__ int tile_row(int r, int pass) {
        return pass / CHUNK * APART_M + r * CHUNK + pass % CHUNK;
    }
    static __device__ __forceinline__ int column(int n) { return n; }

    static __device__ __forceinline__ void load_sums(float (&sum)[CHUNK], const float* from) {
        load_vector(sum, from);
    }

    template <typename Write>
    __device__ __forceinline__ void store_through_shared(float* sC, Write write) const {
        float* const row = sC + m * PITCH;
#pragma unroll 1
        for (int pass = 0; pass < OWN_M; ++pass) {
            __syncthreads();  // nobody needs what sC has held so far
#pragma unroll
            for (int i = 0; i < OWN_M; ++i) {
                if (i != pass) continue;  // registers have no addresses
#pragma unroll
                for (int j = 0; j < OWN_N; j += CHUNK) {
                    const float four[] = {acc[i][j], acc[i][j + 1], acc[i][j + 2], acc[i][j + 3]};
                    store_vector(nth_vector<CHUNK>(row, n + j / CHUNK * APART_N / CHUNK), four);
                }
            }
            __syncthreads();  // all sums of these rows are there
            write(pass);
        }
    }
};
