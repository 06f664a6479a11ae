// pycnn/implicit_gemm_mma.cuh: the product of implicit_gemm_mma.cu, implicit_gemm_tf32.cu and
// implicit_gemm_tf32x3.cu of kernels/conv: tiles on their way to shared memory, and sums to C.
#pragma once

#include <pycnn/gemm_mma.cuh>
#include <pycnn/implicit_gemm.cuh>

#ifndef TILE
#define TILE 128
#define ALONG_K 1  // neighbours in memory are neighbours in the sum, else in m and in n: dweight
#endif

constexpr int BLK_M = TILE, BLK_N = TILE;
constexpr int STAGES = TILE == 128 ? 3 : 4;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
constexpr int MIN_BLOCKS = 1;  // copies and, of bfloat16 and TF32, products take registers there
#else
constexpr int MIN_BLOCKS = IS_SPLIT && TILE == 128 ? 1 : 2;  // of two sums an output
#endif

using Layout = MmaLayout<TILE, ALONG_K>;
using Warp = WarpTile<BLK_N, BLK_M>;

// A thread copies COUNT chunks of each tile, one row of the layout after the other: all at one k
// and for several n (and m), or the other way round.
constexpr int COUNT = Layout::SIZE / CHUNK / THREADS, ROW_STEP = THREADS / Layout::CHUNKS;
constexpr int COUNT_MN = ALONG_K ? COUNT : 1;
// Indices of k in a tile; one of them stands for a chunk where chunks run along k. And how many of
// them a thread goes ahead at a time.
constexpr int DEPTH = ALONG_K ? BLK_K / CHUNK : BLK_K, K_STEP = ALONG_K ? DEPTH : ROW_STEP;

// Offsets along k: within a window, or from image to image.
template <bool WITHIN_WINDOW>
struct OffsetAlongK {
    using type = index_t;
};
template <>
struct OffsetAlongK<true> {
    using type = int;
};
using offset_k_t = OffsetAlongK<ALONG_K>::type;

// Iterates over flat indices of k as IndexIterator does, with digits and strides of 32 bits.
struct TileIterator : Digits<int> {
    __device__ explicit TileIterator(const IndexIterator& from)
        : Digits(static_cast<int>(from.high), from.middle, from.last) {}

    __device__ __forceinline__ offset_k_t dot(const index_t (&stride)[3]) const {
        const int within = middle * static_cast<int>(stride[1]) + last * static_cast<int>(stride[2]);
        return static_cast<offset_k_t>(high) * static_cast<int>(stride[0]) + within;
    }
    __device__ __forceinline__ int row(const Decomposition& d) const {
        return high * d.row[0] + middle * d.row[1] + last * d.row[2];
    }
    __device__ __forceinline__ int col(const Decomposition& d) const {
        return high * d.col[0] + middle * d.col[1] + last * d.col[2];
    }
};

using BlockCoord = ProductBlock<BLK_M, BLK_N>;

// Whether all chunks are at addresses that 16 divides, as a type: the loop asks only once.
template <bool VALUE>
struct Aligned {
    static constexpr bool value = VALUE;
};

// Where the elements of x lie that belong to an n, beside those of the block's first one.
struct OffsetAlongN {
    int x, row, col;
    bool exists;
};

// What a block computes.
__device__ __forceinline__ void implicit_product(const scalar_t* a, const scalar_t* x, scalar_t* c,
                                                 acc_t* part, const Epilogue& epilogue,
                                                 const ImplicitParams& p) {
    __shared__ alignas(128) scalar_t sA[STAGES][BLK_M * BLK_K];
    __shared__ alignas(128) scalar_t sB[STAGES][BLK_N * BLK_K];
    static_assert(sizeof(sA) >= Warp::ROWS * Warp::PITCH * sizeof(float), "sC lies in sA");
    static_assert(sizeof(sB) >= 2 * BLK_N * sizeof(index_t), "and offsets in sB");
    const EpilogueParams& e = epilogue.p;
    const BlockCoord blk(p);
    const int thread = threadIdx.x, row = thread / Layout::CHUNKS, chunk = thread % Layout::CHUNKS;
    const int extent_m = min(p.m - blk.m, index_t(BLK_M));
    const int extent_n = min(p.n.count - blk.n(), index_t(BLK_N));
    const index_t first_k = blk.split * p.k_per_split;
    const int k_tiles = ceil_div(min(p.k.count - first_k, p.k_per_split), DEPTH);

    // Along m and n everything stays where it is.
    const index_t origin = IndexIterator(p.n, blk.n()).coord(p.n).x;
    const scalar_t* const gA = a + blk.group * p.a_group + blk.m * p.a_m;
    const scalar_t* const gX = x + blk.group * p.x_group + p.x_first + origin;
    OffsetAlongN along_n[COUNT_MN];
#pragma unroll
    for (int i = 0; i < COUNT_MN; ++i) {
        const int n = ALONG_K ? row + i * ROW_STEP : chunk * CHUNK;
        const Coord coord = IndexIterator(p.n, blk.n() + n).coord(p.n);
        along_n[i] = {static_cast<int>(coord.x - origin), coord.row + p.k.first_row,
                      coord.col + p.k.first_col, n < extent_n};
    }

    // Along k a thread moves on with every tile, or with every row of it.
    const int own_k = ALONG_K ? chunk : row;
    TileIterator iter_k(IndexIterator(p.k, first_k + own_k));
    int k_left = static_cast<int>(min(p.k.count - first_k, p.k_per_split)) - own_k;

    const auto start = [&](auto aligned, int stage) {
#pragma unroll
        for (int i = 0; i < COUNT; ++i) {
            const OffsetAlongN& n = along_n[ALONG_K ? i : 0];
            const int m = ALONG_K ? row + i * ROW_STEP : chunk * CHUNK;
            const bool k_exists = k_left > 0;
            // No &&, which makes branches of it.
            const bool exists = k_exists & n.exists & inside(n.row + iter_k.row(p.k), p.h) &
                                inside(n.col + iter_k.col(p.k), p.w);
            const offset_k_t at = iter_k.dot(p.k.x) + n.x;
            const offset_k_t at_a = iter_k.dot(p.k.other) + m * static_cast<int>(p.a_m);
            const int to = Layout::at(row + i * ROW_STEP, chunk);
            copy_chunk(sB[stage] + to, gX + at, exists, aligned.value);
            copy_chunk(sA[stage] + to, gA + at_a, k_exists & (m < extent_m), aligned.value);
            if (i == COUNT - 1 || !ALONG_K) {
                iter_k.advance(p.k);
                k_left -= K_STEP;
            }
        }
        copy_async_commit();
    };

    Warp warp;
    const auto multiply_all = [&](auto aligned) {
        for (int stage = 0; stage < STAGES - 1; ++stage) start(aligned, stage);
        int stage = 0;
        for (int k_tile = 0; k_tile < k_tiles; ++k_tile) {
            copy_async_wait<STAGES - 2>();
            __syncthreads();  // this tile has arrived, and the one before it is no longer needed
            start(aligned, stage ? stage - 1 : STAGES - 1);
            warp.multiply<ALONG_K, ALONG_K>(sB[stage], sA[stage]);
            stage = stage == STAGES - 1 ? 0 : stage + 1;
        }
    };
    const size_t addresses = reinterpret_cast<size_t>(gA) | reinterpret_cast<size_t>(gX);
    if (p.vectors & OPERANDS_CHUNKED && addresses % 16 == 0)
        multiply_all(Aligned<true>{});
    else
        multiply_all(Aligned<false>{});
    copy_async_wait<0>();
    __syncthreads();  // nothing arrives any more, and nobody needs a tile

    index_t* const n_in_c = reinterpret_cast<index_t*>(sB[0]);
    index_t* const n_in_residual = n_in_c + BLK_N;
    if (thread < BLK_N) {
        const IndexIterator iter_n(p.n, blk.n() + thread);
        n_in_c[thread] = iter_n.other(p.n);
        const index_t residual_strides[] = {e.residual_n, e.residual_p, e.residual_q};
        n_in_residual[thread] = iter_n.dot(residual_strides);
    }
    float* const sC = reinterpret_cast<float*>(sA[0]);
    const index_t channel = blk.channel(p);
    if (part) {
        // The partial sums of a split lie n by n, of all m in each.
        acc_t* const to = part + (blk.split * p.groups + blk.group) * p.m * p.n.count +
                          blk.n() * p.m + blk.m;
        warp.store_through_shared(sC, [&](int pass) {
            for (int i = thread; i < Warp::ROWS * BLK_M; i += THREADS) {
                const int n = Warp::tile_row(i / BLK_M, pass), m = i % BLK_M;
                if (m < extent_m && n < extent_n)
                    to[n * p.m + m] = sC[i / BLK_M * Warp::PITCH + m];
            }
        });
        return;
    }
    scalar_t* const gC = c + blk.group * p.c_group + blk.m * p.c_m;
    const bool vector = p.vectors & C_CHUNKED && reinterpret_cast<size_t>(gC) % 16 == 0;
    warp.store_through_shared(sC, [&](int pass) {
        for (int i = thread * CHUNK; i < Warp::ROWS * BLK_M; i += THREADS * CHUNK) {
            const int n = Warp::tile_row(i / BLK_M, pass), m = i % BLK_M;
            if (n >= extent_n || m >= extent_m) continue;
            float sum[CHUNK];
            load_sums(sum, sC + i / BLK_M * Warp::PITCH + m);
            const index_t k = channel + m, at = n_in_c[n] + m * p.c_m;
            if (m + CHUNK <= extent_m) {
                epilogue.finish(sum, k, 1, k * e.residual_k + n_in_residual[n], e.residual_k);
                if (vector) {
                    scalar_t done[CHUNK];
#pragma unroll
                    for (int j = 0; j < CHUNK; ++j) done[j] = from_acc(sum[j]);
                    store_vector(gC + at, done);
                } else {
#pragma unroll
                    for (int j = 0; j < CHUNK; ++j) gC[at + j * p.c_m] = from_acc(sum[j]);
                }
            } else {
#pragma unroll 1
                for (int j = 0; m + j < extent_m; ++j) {
                    const acc_t one = sC[i / BLK_M * Warp::PITCH + m + j];
                    const index_t beside = (k + j) * e.residual_k + n_in_residual[n];
                    gC[at + j * p.c_m] = from_acc(epilogue(one, k + j, beside));
                }
            }
        }
    });
}
