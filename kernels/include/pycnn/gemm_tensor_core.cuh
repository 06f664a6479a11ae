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
// the same k where chunks run along it, else at the same mn. In place of rows of mn beyond the matrix
// its last one comes again: it reaches no output but those that nobody stores.
template <int BLK_MN, bool K_MAJOR>
class ChunkCopy {
    using Layout = MmaLayout<BLK_MN, K_MAJOR>;
    static constexpr int COUNT = Layout::SIZE / CHUNK / THREADS;
    static constexpr int ROW_STEP = THREADS / Layout::CHUNKS;

    const scalar_t* from[COUNT];
    const index_t stride_k, stride_mn;
    const int inside_mn;  // of a chunk along mn, elements inside the matrix

    static __device__ __forceinline__ int row() { return threadIdx.x / Layout::CHUNKS; }
    static __device__ __forceinline__ int chunk() { return threadIdx.x % Layout::CHUNKS; }

    // Of the first so many elements of its row, how many are the chunk's; may be less than none.
    static __device__ __forceinline__ int inside(int extent) { return extent - chunk() * CHUNK; }

public:
    __device__ __forceinline__ explicit ChunkCopy(const Operand& x)
        : stride_k(x.stride_k),
          stride_mn(x.stride_mn),
          inside_mn(inside(x.mn < BLK_MN ? x.mn : BLK_MN)) {
        const int last = (x.mn < BLK_MN ? x.mn : BLK_MN) - 1;
#pragma unroll
        for (int c = 0; c < COUNT; ++c) {
            const int k = K_MAJOR ? chunk() * CHUNK : row() + c * ROW_STEP;
            const int mn = K_MAJOR ? min(row() + c * ROW_STEP, last) : chunk() * CHUNK;
            from[c] = x.first + k * stride_k + mn * stride_mn;
        }
    }

    // Begins to copy the next tile, of which `extent_k` is inside the matrix. Zeros beyond it.
    template <bool WHOLE_CHUNKS>
    __device__ __forceinline__ void start(scalar_t* tile, int extent_k) {
#pragma unroll
        for (int c = 0; c < COUNT; ++c) {
            const int of_row = row() + c * ROW_STEP < extent_k ? inside_mn : 0;
            const int count = K_MAJOR ? inside(extent_k) : of_row;
            scalar_t* const to =
                tile + Layout::at(row(), chunk()) + c * ROW_STEP * Layout::CHUNKS * CHUNK;
            if constexpr (WHOLE_CHUNKS) {
                copy_async<16>(to, from[c], count > 0);
            } else {
#pragma unroll 4  // a whole chunk in registers would spill
                for (int e = 0; e < CHUNK; ++e)
                    to[e] = e < count ? from[c][e * (K_MAJOR ? stride_k : stride_mn)] : from_acc(0);
            }
            from[c] += WHOLE_CHUNKS && K_MAJOR ? BLK_K : BLK_K * stride_k;
        }
    }

    // Whether all chunks are aligned, and none is partly inside the matrix.
    static __device__ __forceinline__ bool whole_chunks(const Operand& x) {
        return x.vector && (K_MAJOR ? x.k : x.mn) % CHUNK == 0;
    }
};

// The product of a block's tiles of A and B: of every k, into a warp's sums.
template <bool WHOLE_CHUNKS>
__device__ __forceinline__ void multiply_all(WarpTile<BLK_M, BLK_N>& warp,
                                             scalar_t (&sA)[STAGES][BLK_M * BLK_K],
                                             scalar_t (&sB)[STAGES][BLK_N * BLK_K],
                                             const Operand& a, const Operand& b) {
    ChunkCopy<BLK_M, A_K_MAJOR> copy_a(a);
    ChunkCopy<BLK_N, B_K_MAJOR> copy_b(b);
    const int tiles = static_cast<int>((a.k + BLK_K - 1) / BLK_K);
    const int of_last = static_cast<int>(a.k - (tiles - 1) * static_cast<index_t>(BLK_K));
    const auto start = [&](int stage, int left) {
        const int extent_k = left > 1 ? BLK_K : left == 1 ? of_last : 0;
        copy_a.template start<WHOLE_CHUNKS>(sA[stage], extent_k);
        copy_b.template start<WHOLE_CHUNKS>(sB[stage], extent_k);
        copy_async_commit();
    };
    for (int stage = 0; stage < STAGES - 1; ++stage) start(stage, tiles - stage);
    int stage = 0;
    for (int left = tiles; left > 0; --left) {
        copy_async_wait<STAGES - 2>();
        __syncthreads();  // this tile has arrived, and the one before it is no longer needed
        start(stage ? stage - 1 : STAGES - 1, left - (STAGES - 1));
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
    if (ChunkCopy<BLK_M, A_K_MAJOR>::whole_chunks(gA) && ChunkCopy<BLK_N, B_K_MAJOR>::whole_chunks(gB))
        multiply_all<true>(warp, sA, sB, gA, gB);
    else
        multiply_all<false>(warp, sA, sB, gA, gB);
    store_tile(warp, reinterpret_cast<float*>(IN_A ? sA[0] : sB[0]), OutputTile(p, c, epilogue, blk));
}
