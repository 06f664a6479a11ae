// pycnn/gemm.cuh: what the versions in kernels/gemm share: the problem, where a block works in it,
// a loader of shared tiles, and the end of every sum.
#pragma once

#include <pycnn/epilogue.cuh>

// C = epilogue(A B + C) for every (outer, inner) of a two-level batch; strides in elements.
struct GemmParams {
    index_t m, n, k;
    index_t a_outer, a_inner, a_row, a_col;
    index_t b_outer, b_inner, b_row, b_col;
    index_t c_outer, c_inner, c_row;  // the column stride of C is 1
    index_t residual_outer, residual_inner, residual_row, residual_col;
    index_t channel_inner;             // channels from one inner batch to the next
    unsigned batches, inner;           // outer * inner, and inner
    unsigned tiles_n, tile_m, tile_n;  // tiles of C side by side, and their extents
    unsigned flags;                    // of the following
};

// `Flag` in pycnn/plan/gemm.py.
enum Flag : unsigned {
    ACCUMULATE = 1,
    CHANNEL_BY_ROW = 2,  // a row of C is a channel, else a column is
    A_VECTOR = 4,        // the strides keep 16-byte vectors aligned
    B_VECTOR = 8,
    C_VECTOR = 16,
    WIDE = 32,           // C is of type acc_t: a partial sum that is not rounded yet
    RESIDUAL_VECTOR = 64,
    C_BOXES = 128,       // a tensor map describes C
    EVEN_ROWS = 256,     // c_row and residual_row hold, where rows are pixels
};

// Which batch and which tile of C a block computes. The grid is (tiles, batches), the batches
// folded over y and z; blocks of the fold that have no batch return before their first barrier.
// The extents of a tile come with the launch although they are constants: knowing them to be powers
// of two, NVRTC 13 turns j + 1 into j | 1, no longer sees neighbours, and splits 16-byte stores.
struct BlockCoord {
    unsigned batch;
    index_t m, n;  // the first row and column of the tile

    __device__ BlockCoord(unsigned batch, index_t m, index_t n) : batch(batch), m(m), n(n) {}

    __device__ explicit BlockCoord(const GemmParams& p)
        : batch(blockIdx.z * gridDim.y + blockIdx.y),
          m(static_cast<index_t>(blockIdx.x / p.tiles_n) * p.tile_m),
          n(static_cast<index_t>(blockIdx.x % p.tiles_n) * p.tile_n) {}

    __device__ index_t offset(const GemmParams& p, index_t outer, index_t inner) const {
        return batch / p.inner * outer + batch % p.inner * inner;
    }
};

// A or B in global memory, from the first row or column of the block's tile on. Both have an index
// k; the other one, m of A and n of B, is called mn where either may be meant.
struct Operand {
    const scalar_t* first;        // k = 0, mn = 0
    index_t stride_k, stride_mn;  // in elements
    index_t k, mn;                // extents
    bool vector;                  // whether 16-byte accesses are aligned

    __device__ acc_t at(index_t i, index_t j) const {
        return to_acc(first[i * stride_k + j * stride_mn]);
    }
    __device__ acc_t at_or_zero(index_t i, index_t j) const {
        return i < k && j < mn ? at(i, j) : acc_t(0);
    }
};

// The plan sets a VECTOR flag if the strides allow; the base address is known here only.
__device__ __forceinline__ bool vectors(const GemmParams& p, Flag flag, const void* base) {
    return p.flags & flag && reinterpret_cast<size_t>(base) % 16 == 0;
}

__device__ __forceinline__ Operand operand_a(const GemmParams& p, const scalar_t* a,
                                             BlockCoord blk) {
    const scalar_t* first = a + blk.offset(p, p.a_outer, p.a_inner) + blk.m * p.a_row;
    return {first, p.a_col, p.a_row, p.k, p.m - blk.m, vectors(p, A_VECTOR, a)};
}

__device__ __forceinline__ Operand operand_b(const GemmParams& p, const scalar_t* b,
                                             BlockCoord blk) {
    const scalar_t* first = b + blk.offset(p, p.b_outer, p.b_inner) + blk.n * p.b_col;
    return {first, p.b_row, p.b_col, p.k, p.n - blk.n, vectors(p, B_VECTOR, b)};
}

// Shared tiles of the versions that load single elements. With 8 bytes to spare in each row no bank
// is asked twice by a warp, or of doubles by the half of one that is served at a time: not by
// 2 x 16 elements along k, nor by two rows of 16 elements that lie 8 rows apart.
template <int BLK_K, int BLK_MN>
using Tile = acc_t[BLK_K][BLK_MN + 8 / sizeof(acc_t)];

// Copies BLK_K x BLK_MN elements from k0 on into tile[k][mn]. Neighbouring threads follow k if
// K_MAJOR, else mn: whichever is contiguous in memory.
template <int BLK_K, int BLK_MN, bool K_MAJOR>
__device__ __forceinline__ void load_tile(Tile<BLK_K, BLK_MN>& tile, const Operand& x, index_t k0,
                                          int thread) {
    constexpr int THREADS = 256;
    static_assert(BLK_K * BLK_MN % THREADS == 0, "every thread loads as much");
    static_assert(BLK_K == 16, "two rows of a tile that lie 8 apart");
#pragma unroll
    for (int c = 0; c < BLK_K * BLK_MN / THREADS; ++c) {
        const int index = thread + c * THREADS;
        const int row = index / BLK_MN;
        const int k = K_MAJOR ? index % BLK_K : row % 2 * 8 + row / 2;
        const int mn = K_MAJOR ? index / BLK_K : index % BLK_MN;
        tile[k][mn] = x.at_or_zero(k0 + k, mn);
    }
}

// The tile of C in global memory: finishes and stores its elements (i, j).
struct OutputTile {
    const GemmParams& p;
    const Epilogue& epilogue;
    scalar_t* const c;
    index_t first;     // offset of (0, 0) in C
    index_t channel;   // of the first row or column
    index_t residual;  // offset of what belongs to (0, 0)
    int rows, cols;    // of the tile's, those inside the matrix

    __device__ OutputTile(const GemmParams& p, scalar_t* c, const Epilogue& epilogue,
                          BlockCoord blk)
        : p(p),
          epilogue(epilogue),
          c(c),
          first(blk.offset(p, p.c_outer, p.c_inner) + blk.m * p.c_row + blk.n),
          channel(blk.offset(p, 0, p.channel_inner) + (p.flags & CHANNEL_BY_ROW ? blk.m : blk.n)),
          residual(blk.offset(p, p.residual_outer, p.residual_inner) + blk.m * p.residual_row +
                   blk.n * p.residual_col),
          rows(min(p.m - blk.m, index_t(p.tile_m))),
          cols(min(p.n - blk.n, index_t(p.tile_n))) {}

    __device__ index_t offset(int i, int j) const { return first + i * p.c_row + j; }

    __device__ scalar_t finished(int i, int j, acc_t acc) const {
        if (p.flags & ACCUMULATE) acc += to_acc(c[offset(i, j)]);
        return from_acc(epilogue(acc, channel + (p.flags & CHANNEL_BY_ROW ? i : j),
                                 residual + i * p.residual_row + j * p.residual_col));
    }

    // Of N neighbours in a row.
    template <int N>
    __device__ __forceinline__ void finish(acc_t (&acc)[N], int i, int j) const {
        if (p.flags & ACCUMULATE) {
#pragma unroll
            for (int e = 0; e < N; ++e) acc[e] += to_acc(c[offset(i, j + e)]);
        }
        const bool by_row = p.flags & CHANNEL_BY_ROW;
        epilogue.finish(acc, channel + (by_row ? i : j), by_row ? 0 : 1,
                        residual + i * p.residual_row + j * p.residual_col, p.residual_col);
    }

    __device__ void store(int i, int j, acc_t acc) const {
        if (i >= rows || j >= cols) return;
        if (p.flags & WIDE) {
            acc_t& to = reinterpret_cast<acc_t*>(c)[offset(i, j)];
            to = p.flags & ACCUMULATE ? to + acc : acc;
        } else {
            c[offset(i, j)] = finished(i, j, acc);
        }
    }
};
