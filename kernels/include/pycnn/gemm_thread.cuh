// pycnn/gemm_thread.cuh: how 256 threads share the outputs of a tile, of a matrix product or of a
// convolution that is one: what each of them multiplies, and how the sums leave the block.
#pragma once

#include <pycnn/kernel.cuh>

constexpr int ACC_VEC = 16 / sizeof(acc_t);  // elements in 16 bytes of shared memory

// N elements between memory and registers in one access of 8 or 16 bytes.
template <int BYTES>
struct Vec;
template <>
struct Vec<8> {
    using type = uint2;
};
template <>
struct Vec<16> {
    using type = uint4;
};

template <typename T, int N>
__device__ __forceinline__ void load_vector(T (&x)[N], const T* from) {
    using V = typename Vec<sizeof(x)>::type;
    const V whole = *reinterpret_cast<const V*>(from);
    memcpy(x, &whole, sizeof(x));
}

// Where the i-th of neighbouring vectors of N elements lies. Said as the address of an element, NVRTC
// splits a store to it into four.
template <int N, typename T>
__device__ __forceinline__ T* nth_vector(T* first, int i) {
    return reinterpret_cast<T*>(reinterpret_cast<typename Vec<N * sizeof(T)>::type*>(first) + i);
}

template <typename T, int N>
__device__ __forceinline__ void store_vector(T* to, const T (&x)[N]) {
    typename Vec<sizeof(x)>::type whole;
    memcpy(&whole, x, sizeof(x));
    *reinterpret_cast<decltype(whole)*>(to) = whole;
}

// The block has 256 threads as 16 x 16, each warp 4 x 8 of them, and a thread's outputs come in
// vectors 16 vectors apart. So the 8 threads of which a 16-byte shared access is served at a time
// read 128 consecutive bytes: every bank once.
constexpr int THREADS = 256, THREADS_MN = 16;
constexpr int WARP_M = 4, WARP_N = 8;

struct ThreadCoord {
    int m, n;  // in 0 .. 15

    __device__ explicit ThreadCoord(int thread) {
        const int warp = thread / 32, lane = thread % 32;
        m = warp / 2 * WARP_M + lane / WARP_N;
        n = warp % 2 * WARP_N + lane % WARP_N;
    }
};

// Where in the tile the i-th row lies of the threads at m (or the i-th column of those at n).
__device__ __forceinline__ int thread_to_tile(int mn, int i) {
    return (i / ACC_VEC * THREADS_MN + mn) * ACC_VEC + i % ACC_VEC;
}

// Row length of a shared tile: with 4 elements to spare, storing elements that run along k column
// by column is free of conflicts too.
__host__ __device__ constexpr int pitch(int blk_mn) { return blk_mn + 4; }

// A thread's elements of a row of a shared tile.
template <int COUNT>
__device__ __forceinline__ void load_fragment(acc_t (&fragment)[COUNT], const acc_t* tile_row,
                                              int mn) {
#pragma unroll
    for (int i = 0; i < COUNT; i += ACC_VEC) {
        acc_t v[ACC_VEC];
        load_vector(v, tile_row + thread_to_tile(mn, i));
#pragma unroll
        for (int e = 0; e < ACC_VEC; ++e) fragment[i + e] = v[e];
    }
}

// Adds the products of two shared tiles, sA[k][m] and sB[k][n], to a thread's sums.
template <int BLK_K, int THR_M, int THR_N>
__device__ __forceinline__ void multiply(acc_t (&acc)[THR_M][THR_N],
                                         const acc_t (&sA)[BLK_K][pitch(THR_M * THREADS_MN)],
                                         const acc_t (&sB)[BLK_K][pitch(THR_N * THREADS_MN)],
                                         ThreadCoord thr) {
#if defined(__CUDA_ARCH__) && (__CUDA_ARCH__ < 800 || __CUDA_ARCH__ >= 1000)
#pragma unroll 2  // there, and of other types, more would spill
#else
#pragma unroll(sizeof(scalar_t) == 4 ? 8 : 2)
#endif
    for (int k = 0; k < BLK_K; ++k) {
        acc_t rA[THR_M], rB[THR_N];
        load_fragment(rA, sA[k], thr.m);
        load_fragment(rB, sB[k], thr.n);
#pragma unroll
        for (int i = 0; i < THR_M; ++i)
#pragma unroll
            for (int at = 0; at < THR_N; ++at) {
                // Back and forth, so that the operand that stays is asked of the registers once.
                const int j = i % 2 ? THR_N - 1 - at : at;
                acc[i][j] += rA[i] * rB[j];
            }
    }
}

// Row length of sC below: rows begin 4 banks after each other.
__host__ __device__ constexpr int pitch_c(int length) { return length + ACC_VEC; }

// Hands over the sums of a block in the order of memory, and in one place of the code, however
// many a thread has: THREADS_MN rows of the tile at a time (columns, unless ROW_MAJOR) pass through
// sC in shared memory; then write(pass) finds row thread_to_tile(i, pass) in row i of sC.
template <bool ROW_MAJOR, int THR_M, int THR_N, typename Write>
__device__ __forceinline__ void store_through_shared(const acc_t (&acc)[THR_M][THR_N], acc_t* sC,
                                                     ThreadCoord thr, Write write) {
    constexpr int PASSES = ROW_MAJOR ? THR_M : THR_N, OWN = ROW_MAJOR ? THR_N : THR_M;
    const int across = ROW_MAJOR ? thr.m : thr.n, along = ROW_MAJOR ? thr.n : thr.m;
    acc_t* const row = sC + across * pitch_c(OWN * THREADS_MN);
#pragma unroll 1
    for (int pass = 0; pass < PASSES; ++pass) {
        __syncthreads();  // nobody needs what sC has held so far
#pragma unroll
        for (int constant = 0; constant < PASSES; ++constant) {
            if (constant != pass) continue;  // registers have no addresses
#pragma unroll
            for (int i = 0; i < OWN; i += ACC_VEC) {
                acc_t v[ACC_VEC];
#pragma unroll
                for (int e = 0; e < ACC_VEC; ++e)
                    v[e] = ROW_MAJOR ? acc[constant][i + e] : acc[i + e][constant];
                store_vector(nth_vector<ACC_VEC>(row, thread_to_tile(along, i) / ACC_VEC), v);
            }
        }
        __syncthreads();
        write(pass);
    }
}
