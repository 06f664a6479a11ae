// pycnn/gemm_tensor_core.cuh: the product of kernels/gemm/7_tensor_core.cu, 8_tf32.cu and
// 9_tf32x3.cu: tiles on their way to shared memory, several at a time, and sums on theirs to C.
#pragma once

#include <pycnn/gemm_mma.cuh>
#include <pycnn/gemm_vector.cuh>

#ifndef A_TRANSPOSED
#define A_TRANSPOSED 0  // 1: A is read down its columns, as M is contiguous in memory
#define B_TRANSPOSED 0  // 1: B is read down its columns, as K is contiguous in memory
#endif
#ifndef TILE_M
#define TILE_M 128
#define TILE_N 64
#endif

constexpr int BLK_M = TILE_M, BLK_N = TILE_N;
constexpr int STAGES = BLK_M + BLK_N > 128 ? 3 : 4;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
constexpr int MIN_BLOCKS = 1;  // copies and, of bfloat16 and TF32, products take registers there
#else
constexpr int MIN_BLOCKS = 2;
#endif
constexpr bool A_K_MAJOR = !A_TRANSPOSED, B_K_MAJOR = B_TRANSPOSED;

// A thread's chunks of the tiles of an operand on their way to shared memory, from k = 0 on: all at
// the same k where chunks run along it, else at the same mn.
template <int BLK_MN, bool K_MAJOR>
class ChunkCopy {
    using Layout = MmaLayout<BLK_MN, K_MAJOR>;
    static constexpr int COUNT = Layout::SIZE / CHUNK / THREADS;
    static constexpr int ROW_STEP = THREADS / Layout::CHUNKS;

    const scalar_t* from[COUNT];
    const index_t stride_k, stride_mn;
    const int extent_mn;  // of the tile, what is inside the matrix

    static __device__ __forceinline__ int row() { return threadIdx.x / Layout::CHUNKS; }
    static __device__ __forceinline__ int chunk() { return threadIdx.x % Layout::CHUNKS; }

    // Elements of the chunk that starts at `at` of so many.
    static __device__ __forceinline__ int inside(int at, int extent) {
        return max(0, min(CHUNK, extent - at));
    }

public:
    __device__ __forceinline__ explicit ChunkCopy(const Operand& x)
        : stride_k(x.stride_k),
          stride_mn(x.stride_mn),
          extent_mn(x.mn < BLK_MN ? x.mn : BLK_MN) {
        const index_t along = K_MAJOR ? stride_k : stride_mn, across = K_MAJOR ? stride_mn : stride_k;
#pragma unroll
        for (int c = 0; c < COUNT; ++c)
            from[c] = x.first + chunk() * CHUNK * along + (row() + c * ROW_STEP) * across;
    }

    // Begins to copy the next tile, of which `extent_k` is inside the matrix. Zeros beyond it.
    template <bool ALIGNED>
    __device__ __forceinline__ void start(scalar_t* tile, int extent_k) {
        const int along = inside(chunk() * CHUNK, K_MAJOR ? extent_k : extent_mn);
        const int rows = K_MAJOR ? extent_mn : extent_k;
#pragma unroll
        for (int c = 0; c < COUNT; ++c) {
            const int count = row() + c * ROW_STEP < rows ? along : 0;
            scalar_t* const to = tile + Layout::at(row(), chunk()) + c * ROW_STEP * Layout::CHUNKS * CHUNK;
            if constexpr (ALIGNED) {
                copy_async_partial<16>(to, from[c], count * sizeof(scalar_t));
            } else {
                scalar_t one_by_one[CHUNK];
#pragma unroll
                for (int e = 0; e < CHUNK; ++e)
                    one_by_one[e] = e < count ? from[c][e * (K_MAJOR ? stride_k : stride_mn)]
                                              : from_acc(0);
                store_vector(to, one_by_one);
            }
            from[c] += BLK_K * stride_k;
        }
    }
};

// The product of a block's tiles of A and B: of every k, into a warp's sums.
template <bool ALIGNED>
__device__ __forceinline__ void multiply_all(WarpTile<BLK_M, BLK_N>& warp,
                                             scalar_t (&sA)[STAGES][BLK_M * BLK_K],
                                             scalar_t (&sB)[STAGES][BLK_N * BLK_K],
                                             const Operand& a, const Operand& b) {
    ChunkCopy<BLK_M, A_K_MAJOR> copy_a(a);
    ChunkCopy<BLK_N, B_K_MAJOR> copy_b(b);
    index_t k_left = a.k;  // of the tile that is copied next
    const auto start = [&](int stage) {
        const int extent_k = k_left < BLK_K ? static_cast<int>(k_left) : BLK_K;
        copy_a.template start<ALIGNED>(sA[stage], extent_k);
        copy_b.template start<ALIGNED>(sB[stage], extent_k);
        copy_async_commit();
        k_left = k_left < BLK_K ? 0 : k_left - BLK_K;
    };
    for (int stage = 0; stage < STAGES - 1; ++stage) start(stage);
    int stage = 0;
    for (index_t k = 0; k < a.k; k += BLK_K) {
        copy_async_wait<STAGES - 2>();
        __syncthreads();  // this tile has arrived, and the one before it is no longer needed
        start(stage ? stage - 1 : STAGES - 1);
        warp.template multiply<A_K_MAJOR, B_K_MAJOR>(sA[stage], sB[stage]);
        stage = stage == STAGES - 1 ? 0 : stage + 1;
    }
    copy_async_wait<0>();  // sC overwrites where tiles beyond the last one would arrive
}

// Finishes and stores the outputs of a block, 16 bytes at a time where C allows.
__device__ __forceinline__ void store_tile(const WarpTile<BLK_M, BLK_N>& warp, float* sC,
                                           const OutputTile& out) {
    using Warp = WarpTile<BLK_M, BLK_N>;
    const bool vector = vectors(out.p, C_VECTOR, out.c) && !(out.p.flags & WIDE);
    warp.store_through_shared(sC, [&](int pass) {
        const int step = vector ? CHUNK : 1;
        for (int at = threadIdx.x * step; at < Warp::ROWS * BLK_N; at += THREADS * step) {
            const int i = Warp::tile_row(at / BLK_N, pass), j = at % BLK_N;
            const float* const from = sC + at / BLK_N * Warp::PITCH + j;
            if (vector && i < out.rows && j + CHUNK <= out.cols) {
                float sum[CHUNK];
                scalar_t done[CHUNK];
                load_sums(sum, from);
                out.finish(sum, i, j);
#pragma unroll
                for (int e = 0; e < CHUNK; ++e) done[e] = from_acc(sum[e]);
                store_vector(out.c + out.offset(i, j), done);
            } else if (i < out.rows) {
                const int count = min(step, out.cols - j);  // what lies outside is not even loaded
                for (int e = 0; e < count; ++e) out.store(i, j + e, from[e]);
            }
        }
    });
}

// The product of a block, but for where its operands begin.
__device__ __forceinline__ void tensor_core_product(const scalar_t* a, const scalar_t* b,
                                                    scalar_t* c, const Epilogue& epilogue,
                                                    const GemmParams& p) {
    using Warp = WarpTile<BLK_M, BLK_N>;
    __shared__ alignas(128) scalar_t sA[STAGES][BLK_M * BLK_K];
    __shared__ alignas(128) scalar_t sB[STAGES][BLK_N * BLK_K];
    constexpr bool IN_A = sizeof(sA) >= sizeof(sB);
    static_assert((IN_A ? sizeof(sA) : sizeof(sB)) >= Warp::ROWS * Warp::PITCH * sizeof(float),
                  "the sums pass through the larger one");
    const BlockCoord blk(p);
    if (blk.batch >= p.batches) return;
    const Operand gA = operand_a(p, a, blk), gB = operand_b(p, b, blk);
    Warp warp;
    if (gA.vector && gB.vector)
        multiply_all<true>(warp, sA, sB, gA, gB);
    else
        multiply_all<false>(warp, sA, sB, gA, gB);
    store_tile(warp, reinterpret_cast<float*>(IN_A ? sA[0] : sB[0]), OutputTile(p, c, epilogue, blk));
}
