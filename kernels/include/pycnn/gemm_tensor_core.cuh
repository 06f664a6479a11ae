// pycnn/gemm_tensor_core.cuh: the product of kernels/gemm/7_tensor_core.cu, 8_tf32.cu and
// 9_tf32x3.cu, and of 14_ffma.cu, where threads take the place of tensor cores: tiles on their way to
// shared memory, several at a time, and sums on theirs to C.
#pragma once

#ifndef A_TRANSPOSED
#define A_TRANSPOSED 0  // 1: A is read down its columns, as M is contiguous in memory
#define B_TRANSPOSED 0  // 1: B is read down its columns, as K is contiguous in memory
#endif
#ifndef TILE
#define TILE 128  // where tiles are square
#endif
#ifndef TILE_M
#define TILE_M 128
#define TILE_N 64
#endif
#define CHUNKS_DEEP (TILE_M * TILE_N == 64 * 64 && PRODUCTS > 0 ? 8 : 4)
#include <pycnn/chunk_epilogue.cuh>
#include <pycnn/gemm.cuh>
#include <pycnn/thread_tile.cuh>

constexpr int BLK_M = TILE_M, BLK_N = TILE_N;
constexpr int STAGES = 3;
constexpr bool ONE_BY_ONE = PRODUCTS == 0;
#if PRODUCTS == 0 && defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
constexpr int MIN_BLOCKS = TILE_M == 128 ? 2 : 4;  // of 160 registers it spills there
#elif PRODUCTS == 0
constexpr int MIN_BLOCKS = TILE_M == 128 ? 2 : 6;  // 16x8 sums a thread, or 8x8
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
constexpr int MIN_BLOCKS = 1;  // copies and, of bfloat16 and TF32, products take registers there
#else
constexpr int MIN_BLOCKS = 2;
#endif
constexpr bool A_K_MAJOR = !A_TRANSPOSED, B_K_MAJOR = B_TRANSPOSED;
using Warp = Choose<ONE_BY_ONE, ThreadTile<BLK_M, BLK_N, A_K_MAJOR, B_K_MAJOR>,
                    WarpTile<BLK_M, BLK_N, A_K_MAJOR, B_K_MAJOR>>::type;
constexpr int MMA_THREADS = Warp::THREADS;

// Tiles of A, and of B behind them.
constexpr int OF_B = BLK_M * BLK_K;
using Stages = scalar_t[STAGES][(BLK_M + BLK_N) * BLK_K];

// A thread's chunks of the tiles of an operand on their way to shared memory, from k = 0 on: all at
// the same k where chunks run along it, else at the same mn. In place of rows of mn beyond the matrix
// its last one comes again: it reaches no output but those that nobody stores.
template <int BLK_MN, bool K_MAJOR>
class ChunkCopy {
    using Layout = typename Choose<ONE_BY_ONE, ThreadLayout<BLK_MN, K_MAJOR>,
                                   MmaLayout<BLK_MN, K_MAJOR>>::type;
    static constexpr bool SCATTERED = ONE_BY_ONE && K_MAJOR;  // each element of a chunk to a row of k
    static constexpr int COUNT = Layout::SIZE / CHUNK / MMA_THREADS;
    static constexpr int ROW_STEP = MMA_THREADS / Layout::CHUNKS;

    const scalar_t* from[COUNT];  // whole chunks: of k = 0, else of the next tile
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

    // Begins to copy the tile from k on, where `left` remain of it. Zeros beyond the matrix.
    template <bool WHOLE_CHUNKS>
    __device__ __forceinline__ void start(scalar_t* tile, index_t k, index_t left) {
        const auto to = [](int c) {
            return Layout::at(row(), chunk()) + c * ROW_STEP * Layout::CHUNKS * CHUNK;
        };
        if constexpr (WHOLE_CHUNKS) {
#pragma unroll
            for (int c = 0; c < COUNT; ++c) {
                // One instruction an address, of 32-bit factors.
                const int stride = K_MAJOR ? sizeof(scalar_t) : int(stride_k) * int(sizeof(scalar_t));
                const auto at = reinterpret_cast<const char*>(from[c]) +
                                static_cast<index_t>(static_cast<int>(k)) * stride;
                const bool exists =
                    K_MAJOR ? chunk() * CHUNK < left : (row() + c * ROW_STEP < left) & (inside_mn > 0);
                if constexpr (SCATTERED)
                    Layout::copy(tile, row(), c * ROW_STEP, chunk(),
                                 reinterpret_cast<const scalar_t*>(at), exists, true);
                else
                    copy_async<16>(tile + to(c), at, exists);
            }
            return;
        }
        const int extent_k = static_cast<int>(left < BLK_K ? left : BLK_K);
        constexpr int PART = 4;  // all elements in registers would spill
        const index_t stride = K_MAJOR ? stride_k : stride_mn;
#pragma unroll 1
        for (int part = 0; part < CHUNK; part += PART) {
            // Every eight threads meet half of the banks, the next eight the other half.
            const int first = part ^ (threadIdx.x / 8 * PART & (CHUNK - 1));
#pragma unroll
            for (int c = 0; c < COUNT; ++c) {
                const int of_row = row() + c * ROW_STEP < extent_k ? inside_mn : 0;
                const int count = (K_MAJOR ? inside(extent_k) : of_row) - first;
                scalar_t few[PART];
#pragma unroll
                for (int e = 0; e < PART; ++e)
                    few[e] = e < count ? from[c][(first + e) * stride] : from_acc(0);
                if constexpr (SCATTERED) {
                    scalar_t* const own = Layout::first(tile, row(), c * ROW_STEP, chunk());
#pragma unroll
                    for (int e = 0; e < PART; ++e) own[e * BLK_MN] = few[e];
                } else {
                    store_vector(nth_vector<PART>(tile, (to(c) + first) / PART), few);
                }
            }
        }
#pragma unroll
        for (int c = 0; c < COUNT; ++c) from[c] += BLK_K * stride_k;
    }

    // Whether all chunks are aligned, none is partly inside the matrix, and 32 bits are enough.
    static __device__ __forceinline__ bool whole_chunks(const Operand& x) {
        constexpr index_t MOST = (1ll << 31) - 1 - STAGES * BLK_K;
        return x.vector && (K_MAJOR ? x.k : x.mn) % CHUNK == 0 && x.k <= MOST &&
               (K_MAJOR || (x.stride_k < MOST / CHUNK && -x.stride_k < MOST / CHUNK));
    }
};

// The product of a block's tiles of A and B: of every k, into a warp's sums.
template <bool WHOLE_CHUNKS>
__device__ __forceinline__ void multiply_all(Warp& warp, Stages& stages, const Operand& a,
                                             const Operand& b) {
    ChunkCopy<BLK_M, A_K_MAJOR> copy_a(a);
    ChunkCopy<BLK_N, B_K_MAJOR> copy_b(b);
    // Extents of whole chunks have 32 bits.
    using Index = typename Choose<WHOLE_CHUNKS, int, index_t>::type;
    const Index extent = static_cast<Index>(a.k);
    Index next = 0;  // the first k of the next tile
    const auto start = [&](int stage) {
        copy_a.template start<WHOLE_CHUNKS>(stages[stage], next, extent - next);
        copy_b.template start<WHOLE_CHUNKS>(stages[stage] + OF_B, next, extent - next);
        copy_async_commit();
        next += BLK_K;
    };
    for (int stage = 0; stage < STAGES - 1; ++stage) start(stage);
    int stage = 0;
    const Index end = extent + (STAGES - 1) * BLK_K;
    while (next < end) {
        copy_async_wait<STAGES - 2>();
        __syncthreads();  // this tile has arrived, and the one before it is no longer needed
        start(stage ? stage - 1 : STAGES - 1);
        warp.template multiply<WHOLE_CHUNKS>(stages[stage], stages[stage] + OF_B);
        stage = stage == STAGES - 1 ? 0 : stage + 1;
    }
    copy_async_wait<0>();  // sC overwrites where tiles beyond the last one would arrive
}

// Finishes and stores the outputs of a block, 16 bytes at a time where C allows. A thread's chunks lie
// below each other.
__device__ __forceinline__ void store_tile(const Warp& warp, float* sC, const OutputTile& out) {
    constexpr int ROW_STEP = MMA_THREADS * CHUNK / BLK_N;
    const bool vector = vectors(out.p, C_VECTOR, out.c) && !(out.p.flags & WIDE);
    const bool by_row = out.p.flags & CHANNEL_BY_ROW;
    const int own_i = threadIdx.x * CHUNK / BLK_N, own_j = threadIdx.x * CHUNK % BLK_N;
    const bool whole = vector && own_j + CHUNK <= out.cols;
    const ChunkEpilogue of_channels(out.epilogue, out.channel + own_j, whole && !by_row);
    scalar_t* const own_c = kept(out.c + out.offset(0, own_j));
    const scalar_t* const own_residual =
        kept(out.epilogue.residual + out.residual + own_j * out.p.residual_col);
    const bool chunked = out.p.residual_col == 1 && out.p.residual_row % CHUNK == 0;
    const bool plain = whole && !by_row && !(out.p.flags & ACCUMULATE) &&
                       of_channels.plain(own_residual, chunked);
    warp.store_through_shared(sC, [&](int pass) {
        const float* from = sC + own_i * Warp::PITCH + Warp::column(own_j);
        if (plain) {
#pragma unroll
            for (int r = 0; r < Warp::ROWS; r += ROW_STEP) {
                const int i = Warp::tile_row(own_i + r, pass);
                if (i >= out.rows) continue;
                float sum[CHUNK];
                Warp::load_sums(sum, from + r * Warp::PITCH);
                of_channels.finish_plainly(sum, own_residual + i * out.p.residual_row);
                store_chunk(own_c + i * out.p.c_row, sum);
            }
        }
#pragma unroll 1
        for (int r = whole && !plain ? own_i : Warp::ROWS; r < Warp::ROWS;
             r += ROW_STEP, from += ROW_STEP * Warp::PITCH) {
            const int i = Warp::tile_row(r, pass);
            if (i >= out.rows) continue;
            float sum[CHUNK];
            Warp::load_sums(sum, from);
            scalar_t* const to = own_c + i * out.p.c_row;
            if (by_row) {
                out.finish(sum, i, own_j);
            } else {
                if (out.p.flags & ACCUMULATE) add_chunk(sum, to, 1);
                of_channels.finish(sum, own_residual + i * out.p.residual_row, out.p.residual_col);
            }
            store_chunk(to, sum);
        }
        // The columns of no whole chunk, one by one.
        const int done = vector ? out.cols / CHUNK * CHUNK : 0, left = out.cols - done;
#pragma unroll 1
        for (int at = threadIdx.x; at < Warp::ROWS * left; at += MMA_THREADS) {
            const int r = at / left, j = done + at % left;
            out.store(Warp::tile_row(r, pass), j, sC[r * Warp::PITCH + Warp::column(j)]);
        }
    });
}

// The product of a block, but for where its operands begin.
__device__ __forceinline__ void tensor_core_product(const scalar_t* a, const scalar_t* b,
                                                    scalar_t* c, const Epilogue& epilogue,
                                                    const GemmParams& p) {
    __shared__ alignas(128) Stages stages;
    static_assert(sizeof(stages) >= Warp::ROWS * Warp::PITCH * sizeof(float), "sums pass through them");
    const BlockCoord blk(p);
    if (blk.batch >= p.batches) return;
    const Operand gA = operand_a(p, a, blk), gB = operand_b(p, b, blk);
    Warp warp;
    bool done = false;
    if (ChunkCopy<BLK_M, A_K_MAJOR>::whole_chunks(gA) &&
        ChunkCopy<BLK_N, B_K_MAJOR>::whole_chunks(gB)) {
        multiply_all<true>(warp, stages, gA, gB);
        done = !IS_SPLIT || !warp.any_nan();
        if (!done) warp.clear();
    }
    if (!done) multiply_all<false>(warp, stages, gA, gB);
    store_tile(warp, reinterpret_cast<float*>(stages[0]), OutputTile(p, c, epilogue, blk));
}
