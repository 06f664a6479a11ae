// pycnn/gemm.cuh: what the rungs of kernels/gemm share: the problem, where a block works in it, a
// loader of tiles, and the end of every sum.
#pragma once

#include <pycnn/epilogue.cuh>

// C = epilogue(A B + C) for every (outer, inner) of a two-level batch; strides in elements.
// Built as `PARAMS` in pycnn/plan/gemm.py, field by field.
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
static_assert(sizeof(GemmParams) == 176, "PARAMS in pycnn/plan/gemm.py has the same layout");

// `Flag` in pycnn/plan/gemm.py.
enum Flag : unsigned {
    ACCUMULATE = 1,
    CHANNEL_BY_ROW = 2,  // a row of C is a channel, else a column is
    A_VECTOR = 4,        // the strides keep 16-byte units aligned
    B_VECTOR = 8,
    C_VECTOR = 16,
    WIDE = 32,           // C is of type acc_t: a partial sum that is not rounded yet
};

// Which batch and which tile of C a block computes. The grid is (tiles, batches), the batches
// folded over y and z; blocks of the fold that have no batch return before their first barrier.
// The extents of a tile come with the launch although they are constants: knowing them to be powers
// of two, NVRTC 13 turns j + 1 into j | 1, no longer sees neighbours, and splits 16-byte stores.
struct Place {
    unsigned batch;
    index_t row, col;  // the first row and column of the tile

    __device__ explicit Place(const GemmParams& p)
        : batch(blockIdx.z * gridDim.y + blockIdx.y),
          row(static_cast<index_t>(blockIdx.x / p.tiles_n) * p.tile_m),
          col(static_cast<index_t>(blockIdx.x % p.tiles_n) * p.tile_n) {}

    __device__ index_t offset(const GemmParams& p, index_t outer, index_t inner) const {
        return batch / p.inner * outer + batch % p.inner * inner;
    }
};

// A or B as both look to the tiles: the summed index k, and the index kept in C, here `line`.
struct Operand {
    const scalar_t* first;      // k = 0 of the tile's first line
    index_t step_k, step_line;  // element strides
    index_t k, lines;           // extents from there on
    bool vector;                // whether 16-byte accesses are aligned

    __device__ acc_t at(index_t i, index_t line) const {
        return to_acc(first[i * step_k + line * step_line]);
    }
    __device__ acc_t at_or_zero(index_t i, index_t line) const {
        return i < k && line < lines ? at(i, line) : acc_t(0);
    }
};

// The plan sets a VECTOR flag if the strides allow; the base address is known here only.
__device__ __forceinline__ bool vectors(const GemmParams& p, Flag flag, const void* base) {
    return p.flags & flag && reinterpret_cast<size_t>(base) % 16 == 0;
}

__device__ __forceinline__ Operand operand_a(const GemmParams& p, const scalar_t* a, Place at) {
    const scalar_t* first = a + at.offset(p, p.a_outer, p.a_inner) + at.row * p.a_row;
    return {first, p.a_col, p.a_row, p.k, p.m - at.row, vectors(p, A_VECTOR, a)};
}

__device__ __forceinline__ Operand operand_b(const GemmParams& p, const scalar_t* b, Place at) {
    const scalar_t* first = b + at.offset(p, p.b_outer, p.b_inner) + at.col * p.b_col;
    return {first, p.b_row, p.b_col, p.k, p.n - at.col, vectors(p, B_VECTOR, b)};
}

// Tiles of the rungs that load single elements are 16 deep in k. With 8 bytes to spare in each row
// no bank is asked twice by a warp, or of doubles by the half of one that is served at a time: not
// by 2 x 16 elements along k, nor by two rows of 16 lines that lie 8 rows apart.
constexpr int DEPTH = 16;

template <int LINES>
using Tile = acc_t[DEPTH][LINES + 8 / sizeof(acc_t)];

// Copies DEPTH x LINES elements from k0 on into tile[k][line]. Neighbouring threads follow k if
// ALONG_K, else the lines: whichever is contiguous in memory.
template <int LINES, bool ALONG_K>
__device__ __forceinline__ void load_tile(Tile<LINES>& tile, const Operand& x, index_t k0,
                                          int thread) {
    constexpr int THREADS = 256;
    static_assert(DEPTH * LINES % THREADS == 0, "every thread loads as much");
#pragma unroll
    for (int c = 0; c < DEPTH * LINES / THREADS; ++c) {
        const int index = thread + c * THREADS;
        const int row = index / LINES;
        const int k = ALONG_K ? index % DEPTH : row % 2 * 8 + row / 2;
        const int line = ALONG_K ? index / DEPTH : index % LINES;
        tile[k][line] = x.at_or_zero(k0 + k, line);
    }
}

// The tile of C: finishes and stores elements (i, j) of it.
struct Result {
    const GemmParams& p;
    const Epilogue& finish;
    scalar_t* const c;
    index_t first;     // offset of (0, 0) in C
    index_t channel;   // of the first row or column
    index_t residual;  // offset of what belongs to (0, 0)
    int rows, cols;    // of the tile's, those inside the matrix

    __device__ Result(const GemmParams& p, scalar_t* c, const Epilogue& finish, Place at)
        : p(p),
          finish(finish),
          c(c),
          first(at.offset(p, p.c_outer, p.c_inner) + at.row * p.c_row + at.col),
          channel(at.offset(p, 0, p.channel_inner) + (p.flags & CHANNEL_BY_ROW ? at.row : at.col)),
          residual(at.offset(p, p.residual_outer, p.residual_inner) + at.row * p.residual_row +
                   at.col * p.residual_col),
          rows(min(p.m - at.row, index_t(p.tile_m))),
          cols(min(p.n - at.col, index_t(p.tile_n))) {}

    __device__ index_t at(int i, int j) const { return first + i * p.c_row + j; }

    __device__ scalar_t finished(int i, int j, acc_t sum) const {
        if (p.flags & ACCUMULATE) sum += to_acc(c[at(i, j)]);
        return from_acc(finish(sum, channel + (p.flags & CHANNEL_BY_ROW ? i : j),
                               residual + i * p.residual_row + j * p.residual_col));
    }

    __device__ void store(int i, int j, acc_t sum) const {
        if (i >= rows || j >= cols) return;
        if (p.flags & WIDE) {
            acc_t& to = reinterpret_cast<acc_t*>(c)[at(i, j)];
            to = p.flags & ACCUMULATE ? to + sum : sum;
        } else {
            c[at(i, j)] = finished(i, j, sum);
        }
    }
};
