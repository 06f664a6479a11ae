// pycnn/implicit_gemm_mma.cuh: the product of implicit_gemm_mma.cu, implicit_gemm_tf32.cu and
// implicit_gemm_tf32x3.cu of kernels/conv: tiles on their way to shared memory, and sums to C.
#pragma once

#ifndef TILE
#define TILE 128
#define ALONG_K 1  // neighbours in memory are neighbours in the sum, else in m and in n: dweight
#endif
#define CHUNKS_DEEP (TILE == 64 ? 8 : 4)
#include <pycnn/chunk_epilogue.cuh>
#include <pycnn/implicit_gemm.cuh>

constexpr int BLK_M = TILE, BLK_N = TILE;
constexpr int STAGES = 3;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
constexpr int MIN_BLOCKS = 1;  // copies and, of bfloat16 and TF32, products take registers there
#else
constexpr int MIN_BLOCKS = IS_SPLIT && TILE == 128 ? 1 : 2;  // of 256 threads, and of 128
#endif

using Layout = MmaLayout<TILE, ALONG_K>;
using Warp = WarpTile<BLK_N, BLK_M>;
using BlockCoord = ProductBlock<BLK_M, BLK_N>;

constexpr int MMA_THREADS = Warp::THREADS;
// A thread copies COUNT chunks of each tile, one row of the layout after the other: all at one k
// and for several n (and m), or the other way round.
constexpr int COUNT = Layout::SIZE / CHUNK / MMA_THREADS, ROW_STEP = MMA_THREADS / Layout::CHUNKS;
// Indices of k in a tile: one of them stands for a chunk where chunks run along k.
constexpr int DEPTH = ALONG_K ? BLK_K / CHUNK : BLK_K;

// Tiles of A, and of B behind them.
constexpr int OF_B = BLK_M * BLK_K;
using Stages = scalar_t[STAGES][(BLK_M + BLK_N) * BLK_K];

// What a block multiplies, from its first row, column and k on.
struct Operands {
    const scalar_t* a;
    const scalar_t* x;  // where position (0, 0) would lie
    int extent_m, extent_n;
    index_t n, first_k, count_k;

    __device__ __forceinline__ Operands(const scalar_t* a, const scalar_t* x, const BlockCoord& blk,
                                        const ImplicitParams& p)
        : a(a + blk.group * p.a_group + blk.m * p.a_m),
          x(x + blk.group * p.x_group + p.x_first),
          extent_m(min(p.m - blk.m, index_t(BLK_M))),
          extent_n(min(p.n.count - blk.n(), index_t(BLK_N))),
          n(blk.n()),
          first_k(blk.split * p.k_per_split),
          count_k(min(p.k.count - first_k, p.k_per_split)) {}
};

__device__ __forceinline__ int own_row() { return threadIdx.x / Layout::CHUNKS; }
__device__ __forceinline__ int own_chunk() { return threadIdx.x % Layout::CHUNKS; }
__device__ __forceinline__ int own_place(int i) {
    return Layout::at(own_row() + i * ROW_STEP, own_chunk());
}

// Chunks along k = (r, s, c), all of one thread under one tap: y and dx. Rows of A beyond the last
// one are that one again: they reach no output that is stored.
struct WindowCopy {
    const scalar_t* a[COUNT];
    const scalar_t* x[COUNT];
    unsigned taps[COUNT];  // of those that meet x: bits s, and bits 16 + r, up to 14 of each
    int r, s, c;           // where k is (r by 16 more), and what is left of it
    int left, at_a, at_x;

    static __device__ __forceinline__ int dot(const index_t (&stride)[3], int r, int s, int c) {
        return r * static_cast<int>(stride[0]) + s * static_cast<int>(stride[1]) +
               c * static_cast<int>(stride[2]);
    }

    __device__ __forceinline__ WindowCopy(const Operands& of, const ImplicitParams& p) {
        const IndexIterator k(p.k, of.first_k + own_chunk());
        r = static_cast<int>(k.high);
        s = k.middle;
        c = k.last;
        left = static_cast<int>(of.count_k) - own_chunk();
        at_a = dot(p.k.other, r, s, c);
        at_x = dot(p.k.x, r, s, c);
        r += 16;
        const int height = static_cast<int>(p.k.count) / (p.k.middle * p.k.last);
#pragma unroll
        for (int i = 0; i < COUNT; ++i) {
            const int mn = own_row() + i * ROW_STEP;
            const Coord coord = IndexIterator(p.n, of.n + mn).coord(p.n);
            a[i] = kept(of.a + min(mn, of.extent_m - 1) * p.a_m);
            x[i] = kept(of.x + coord.x);
            taps[i] = 0;
            if (mn < of.extent_n)
                taps[i] = within(coord.col + p.k.first_col, p.k.col[1], p.k.middle, p.w) |
                          within(coord.row + p.k.first_row, p.k.row[0], height, p.h) << 16;
        }
    }

    // A bit for each of `count` positions that is one of the first `extent`.
    static __device__ __forceinline__ unsigned within(int first, int step, int count, int extent) {
        unsigned bits = 0;
#pragma unroll 1
        for (int i = 0; i < count; ++i, first += step) bits |= unsigned(inside(first, extent)) << i;
        return bits;
    }

    template <bool ALIGNED>
    __device__ __forceinline__ void start(scalar_t* stage, const ImplicitParams& p) {
        const bool exists = left > 0;
        const unsigned here = exists ? 1u << s | 1u << r : 1u << 31;
#pragma unroll
        for (int i = 0; i < COUNT; ++i) {
            copy_chunk(stage + own_place(i), a[i] + at_a, exists, ALIGNED);
            copy_chunk(stage + OF_B + own_place(i), x[i] + at_x, !(here & ~taps[i]), ALIGNED);
        }
        advance(p.k);
    }

    __device__ __forceinline__ void advance(const Decomposition& k) {
        r += k.step[0];
        s += k.step[1];
        c += k.step[2];
        left -= DEPTH;
        move(k, 0);
        if (c >= k.last) {
            c -= k.last;
            ++s;
            move(k, 1);
        }
        if (s >= k.middle) {
            s -= k.middle;
            ++r;
            move(k, 2);
        }
    }

    __device__ __forceinline__ void move(const Decomposition& k, int by) {
        at_a += static_cast<int>(k.other_moves[by]);
        at_x += static_cast<int>(k.x_moves[by]);
    }
};

// Chunks along n = (r, s, c), and along m, of several k = (n, p, q): dweight. The position in x says
// how far p and q are.
struct PixelCopy {
    const scalar_t* a;
    const scalar_t* x;
    int row, col, last_row, last_col;
    int left, none;  // of k; more than is ever left where there is no such m
    int h;           // of x; 0 where there is no such n

    static __device__ __forceinline__ index_t dot(const index_t (&stride)[3], int n, int p, int q) {
        return n * stride[0] + p * stride[1] + q * stride[2];
    }

    __device__ __forceinline__ PixelCopy(const Operands& of, const ImplicitParams& p) {
        const int mn = own_chunk() * CHUNK;
        const Coord of_n = IndexIterator(p.n, of.n + mn).coord(p.n);
        const IndexIterator k(p.k, of.first_k + own_row());
        last_row = of_n.row + p.k.first_row + p.k.middle * p.k.row[1];
        last_col = of_n.col + p.k.first_col + p.k.last * p.k.col[2];
        row = last_row - (p.k.middle - k.middle) * p.k.row[1];
        col = last_col - (p.k.last - k.last) * p.k.col[2];
        a = kept(of.a + mn * p.a_m + k.other(p.k));
        x = kept(of.x + of_n.x + k.dot(p.k.x));
        left = static_cast<int>(of.count_k) - own_row();
        none = mn < of.extent_m ? 0 : max(left, 0);
        h = mn < of.extent_n ? p.h : 0;
    }

    template <bool ALIGNED>
    __device__ __forceinline__ void start(scalar_t* stage, const ImplicitParams& p) {
#pragma unroll
        for (int i = 0; i < COUNT; ++i) {
            // No &&, which makes branches of it.
            const bool in_x = (left > 0) & inside(row, h) & inside(col, p.w);
            copy_chunk(stage + own_place(i), a, left > none, ALIGNED);
            copy_chunk(stage + OF_B + own_place(i), x, in_x, ALIGNED);
            advance(p.k);
        }
    }

    __device__ __forceinline__ void advance(const Decomposition& k) {
        row += k.step[1] * k.row[1];
        col += k.step[2] * k.col[2];
        left -= ROW_STEP;
        move(k, 0);
        if (col >= last_col) {
            col -= k.last * k.col[2];
            row += k.row[1];
            move(k, 1);
        }
        if (row >= last_row) {
            row -= k.middle * k.row[1];
            move(k, 2);
        }
    }

    __device__ __forceinline__ void move(const Decomposition& k, int by) {
        a += k.other_moves[by];
        x += k.x_moves[by];
    }
};

template <bool WINDOW, typename Yes, typename No>
struct Choose {
    using type = Yes;
};
template <typename Yes, typename No>
struct Choose<false, Yes, No> {
    using type = No;
};
using TileCopy = Choose<ALONG_K, WindowCopy, PixelCopy>::type;

// The product of a block's tiles, of every k, into a warp's sums.
template <bool ALIGNED>
__device__ __forceinline__ void multiply_all(Warp& warp, Stages& stages, const Operands& of,
                                             const ImplicitParams& p) {
    TileCopy copy(of, p);
    const auto start = [&](int stage) {
        copy.start<ALIGNED>(stages[stage], p);
        copy_async_commit();
    };
    for (int stage = 0; stage < STAGES - 1; ++stage) start(stage);
    int stage = 0;
    for (int left = ceil_div(static_cast<int>(of.count_k), DEPTH); left > 0; --left) {
        copy_async_wait<STAGES - 2>();
        __syncthreads();  // this tile has arrived, and the one before it is no longer needed
        start(stage ? stage - 1 : STAGES - 1);
        warp.multiply<ALONG_K, ALONG_K, ALIGNED>(stages[stage] + OF_B, stages[stage]);
        stage = stage == STAGES - 1 ? 0 : stage + 1;
    }
    copy_async_wait<0>();
    __syncthreads();  // nothing arrives any more, and nobody needs a tile
}

// What a block computes.
__device__ __forceinline__ void implicit_product(const scalar_t* a, const scalar_t* x, scalar_t* c,
                                                 acc_t* part, const Epilogue& epilogue,
                                                 const ImplicitParams& p) {
    __shared__ alignas(128) Stages stages;
    constexpr int SUMS = Warp::ROWS * Warp::PITCH * sizeof(float);
    static_assert(sizeof(stages) >= SUMS + 2 * BLK_N * sizeof(index_t), "sC, and offsets behind it");
    const EpilogueParams& e = epilogue.p;
    const BlockCoord blk(p);
    const Operands of(a, x, blk, p);
    const int thread = threadIdx.x, extent_m = of.extent_m, extent_n = of.extent_n;
    Warp warp;
    const size_t addresses = reinterpret_cast<size_t>(of.a) | reinterpret_cast<size_t>(of.x);
    bool done = false;
    if (p.vectors & OPERANDS_CHUNKED && addresses % 16 == 0) {
        multiply_all<true>(warp, stages, of, p);
        done = !IS_SPLIT || !warp.any_nan();
        if (!done) warp.clear();
    }
    if (!done) multiply_all<false>(warp, stages, of, p);

    float* const sC = reinterpret_cast<float*>(stages[0]);
    index_t* const n_in_c = reinterpret_cast<index_t*>(sC + Warp::ROWS * Warp::PITCH);
    index_t* const n_in_residual = n_in_c + BLK_N;
    static_assert(BLK_N <= MMA_THREADS, "each thread one at most");
    if (thread < BLK_N) {
        const IndexIterator iter_n(p.n, blk.n() + thread);
        n_in_c[thread] = iter_n.other(p.n);
        const index_t residual_strides[] = {e.residual_n, e.residual_p, e.residual_q};
        n_in_residual[thread] = iter_n.dot(residual_strides);
    }
    const index_t channel = blk.channel(p);
    if (p.splits > 1) {
        // The partial sums of a split lie n by n, of all m in each.
        acc_t* const to = part + (blk.split * p.groups + blk.group) * p.m * p.n.count +
                          blk.n() * p.m + blk.m;
        warp.store_through_shared(sC, [&](int pass) {
            for (int i = thread; i < Warp::ROWS * BLK_M; i += MMA_THREADS) {
                const int n = Warp::tile_row(i / BLK_M, pass), m = i % BLK_M;
                if (m < extent_m && n < extent_n)
                    to[n * p.m + m] = sC[i / BLK_M * Warp::PITCH + Warp::column(m)];
            }
        });
        return;
    }
    scalar_t* const gC = c + blk.group * p.c_group + blk.m * p.c_m;
    const bool vector = p.vectors & C_CHUNKED && reinterpret_cast<size_t>(gC) % 16 == 0;
    // A thread's chunks lie below each other.
    constexpr int C_ROW_STEP = MMA_THREADS * CHUNK / BLK_M;
    const int m = thread * CHUNK % BLK_M, count = extent_m - m;
    const ChunkEpilogue of_channels(epilogue, channel + m, count >= CHUNK);
    scalar_t* const own_c = kept(gC + m * p.c_m);
    const scalar_t* const own_residual = kept(epilogue.residual + (channel + m) * e.residual_k);
    warp.store_through_shared(sC, [&](int pass) {
        const int own_r = thread * CHUNK / BLK_M;
        const float* from = sC + own_r * Warp::PITCH + Warp::column(m);
#pragma unroll 1
        for (int r = own_r; r < Warp::ROWS; r += C_ROW_STEP, from += C_ROW_STEP * Warp::PITCH) {
            const int n = Warp::tile_row(r, pass);
            if (n >= extent_n || count <= 0) break;  // so are those below
            scalar_t* const to = own_c + n_in_c[n];
            const scalar_t* const beside = own_residual + n_in_residual[n];
            if (count >= CHUNK) {
                float sum[CHUNK];
                Warp::load_sums(sum, from);
                of_channels.finish(sum, beside, e.residual_k);
                if (vector) {
                    store_chunk(to, sum);
                } else {
#pragma unroll
                    for (int j = 0; j < CHUNK; ++j) to[j * p.c_m] = from_acc(sum[j]);
                }
            } else {
#pragma unroll 1
                for (int j = 0; j < count; ++j) {
                    const acc_t one = from[Warp::column(j)];
                    const index_t at = beside - epilogue.residual + j * e.residual_k;
                    to[j * p.c_m] = from_acc(epilogue(one, channel + m + j, at));
                }
            }
        }
    });
}
