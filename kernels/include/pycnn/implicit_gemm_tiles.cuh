// pycnn/implicit_gemm_tiles.cuh: convolution as a product on tensor cores, or of floats one by one,
// up to the sums: tiles on their way to shared memory, of elements of 16 or 32 bits, or of bytes.
#pragma once

#ifndef TILE
#define TILE 128
#define ALONG_K 1  // neighbours in memory are neighbours in the sum, else in m and in n: dweight
#endif
#ifndef TERM_BY_TERM
#define TERM_BY_TERM 0  // 1: neighbours in the sum may be under different taps
#endif
#define CHUNKS_DEEP (TILE == 64 && PRODUCTS > 0 ? 8 : 4)
#include <pycnn/gemm_mma.cuh>
#include <pycnn/implicit_gemm.cuh>
#include <pycnn/thread_tile.cuh>

constexpr int BLK_M = TILE, BLK_N = TILE;
constexpr int STAGES = 3;
constexpr bool ONE_BY_ONE = PRODUCTS == 0;
#if PRODUCTS == 0 && defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
constexpr int MIN_BLOCKS = TILE == 128 ? 2 : 4;  // of 160 registers it spills there
#elif PRODUCTS == 0
constexpr int MIN_BLOCKS = TILE == 128 ? 2 : 6;  // 16x8 sums a thread, or 8x8
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
constexpr int MIN_BLOCKS = 1;  // copies and, of bfloat16 and TF32, products take registers there
#elif __CUDA_ARCH__ == 800 || __CUDA_ARCH__ == 900 || __CUDA_ARCH__ == 1000
constexpr int MIN_BLOCKS = (TILE == 64 ? 3 : 2) - IS_SPLIT;  // of 128 threads; 128 split, of 256
#else  // shared memory has room for two
constexpr int MIN_BLOCKS = IS_SPLIT && TILE == 128 ? 1 : 2;
#endif

using Layout = Choose<ONE_BY_ONE, ThreadLayout<TILE, ALONG_K>, MmaLayout<TILE, ALONG_K>>::type;
using Warp = Choose<ONE_BY_ONE, ThreadTile<BLK_N, BLK_M, ALONG_K>,
                    WarpTile<BLK_N, BLK_M, ALONG_K, ALONG_K>>::type;
using BlockCoord = ProductBlock<BLK_M, BLK_N>;

constexpr int MMA_THREADS = Warp::THREADS;
// A thread copies COUNT chunks of each tile: all at one k, and for several n (and m).
constexpr int COUNT = Layout::SIZE / CHUNK / MMA_THREADS;
// Indices of k in a tile: one of them stands for a chunk where chunks run along k.
constexpr int DEPTH = ALONG_K && !TERM_BY_TERM ? BLK_K / CHUNK : BLK_K;

// Tiles of A, and of B behind them.
constexpr int OF_B = BLK_M * BLK_K;
using Stages = scalar_t[STAGES][(BLK_M + BLK_N) * BLK_K];

// What a block multiplies, from its first row, column and k on.
struct Operands {
    const scalar_t* a;
    const scalar_t* x;  // where position (0, 0) would lie
    int extent_m, extent_n;
    index_t n, first_k, count_k;
    unsigned beyond;  // what lies beyond the edges of x, four times; but for bytes it is zero

    __device__ __forceinline__ Operands(const scalar_t* a, const scalar_t* x, const BlockCoord& blk,
                                        const ImplicitParams& p, unsigned beyond = 0)
        : a(a + blk.group * p.a_group + blk.m * p.a_m),
          x(x + blk.group * p.x_group + p.x_first),
          extent_m(min(p.m - blk.m, index_t(BLK_M))),
          extent_n(min(p.n.count - blk.n(), index_t(BLK_N))),
          n(blk.n()),
          first_k(blk.split * p.k_per_split),
          count_k(min(p.k.count - first_k, p.k_per_split)),
          beyond(beyond) {}

    __device__ __forceinline__ bool aligned(const ImplicitParams& p) const {
        if (ONE_BY_ONE && ALONG_K) return true;  // elements are copied one by one
        const size_t addresses = reinterpret_cast<size_t>(a) | reinterpret_cast<size_t>(x);
        return p.vectors & OPERANDS_CHUNKED && addresses % 16 == 0;
    }
};

// Chunks along k = (r, s, c), all of one thread under one tap: y and dx. Rows of A beyond the last
// one are that one again: they reach no output that is stored.
// FILLS: what lies beyond the edges of x is not zero.
template <bool ALIGNED, bool FILLS>
struct WindowCopy {
    static constexpr int ROW_STEP = MMA_THREADS / Layout::CHUNKS;
    static_assert(ROW_STEP % (Layout::TOGETHER * Layout::ORDERS) == 0, "one order a thread");

    const scalar_t* a[COUNT];
    const scalar_t* x[COUNT];
    unsigned taps[COUNT];  // of those that meet x: bits s, and bits 16 + r, up to 14 of each
    unsigned beyond;       // of bytes: four of what lies beyond the edges of x
    int r, s, c;           // where k is (r by 16 more), and what is left of it
    int left, at_a, at_x;

    static __device__ __forceinline__ int own_row() { return threadIdx.x / Layout::CHUNKS; }
    static __device__ __forceinline__ int own_chunk() { return threadIdx.x % Layout::CHUNKS; }

    static __device__ __forceinline__ int dot(const index_t (&stride)[3], int r, int s, int c) {
        return r * static_cast<int>(stride[0]) + s * static_cast<int>(stride[1]) +
               c * static_cast<int>(stride[2]);
    }

    __device__ __forceinline__ WindowCopy(const Operands& of, const ImplicitParams& p)
        : beyond(of.beyond) {
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

    __device__ __forceinline__ void start(scalar_t* stage, const ImplicitParams& p) {
        const bool exists = left > 0;
        const unsigned here = exists ? 1u << s | 1u << r : 1u << 31;
        const unsigned fill = exists ? beyond : 0;
#pragma unroll
        for (int i = 0; i < COUNT; ++i) {
            const bool in_x = !(here & ~taps[i]);
            const auto copy = [&](scalar_t* tile, const scalar_t* from, bool there) {
                Layout::copy(tile, own_row(), i * ROW_STEP, own_chunk(), from, there, ALIGNED);
            };
            copy(stage, a[i] + at_a, exists);
            scalar_t* const of_x = stage + OF_B + Layout::at(own_row(), own_chunk());
            if (FILLS)
                copy_or_fill(of_x + i * ROW_STEP * Layout::CHUNKS * CHUNK, x[i] + at_x, in_x, fill,
                             ALIGNED);
            else
                copy(stage + OF_B, x[i] + at_x, in_x);
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

// Adds a number where `carry` is not negative: in one instruction, where the compiler would select first.
__device__ __forceinline__ void add_where(int carry, int& sum, int number) {
#ifdef PYCNN_EMULATOR
    if (carry >= 0) sum += number;
#else
    asm("{.reg .pred p; setp.ge.s32 p, %1, 0; @p add.s32 %0, %0, %2;}"
        : "+r"(sum)
        : "r"(carry), "r"(number));
#endif
}
__device__ __forceinline__ void add_where(int carry, index_t& sum, index_t number) {
    if (carry >= 0) sum += number;
}

// Chunks along n = (r, s, c), and along m, of one k = (n, p, q): dweight. Of rows that eight threads
// copy at a time the orders differ as much as it takes to meet all banks. Where they are aligned they
// are counted in whole chunks, by 32 bits.
template <bool ALIGNED>
struct PixelCopy {
    static constexpr int ROWS = Layout::ROWS, PER_ROW = MMA_THREADS / ROWS;
    static constexpr int ORDERS = Layout::ORDERS;
    static constexpr int APART = PER_ROW < 8 ? PER_ROW * ORDERS / 8 : ORDERS;
    static constexpr int UNIT = ALIGNED ? CHUNK : 1;
    using Offset = typename Choose<ALIGNED, int, index_t>::type;

    const scalar_t* a[COUNT];  // chunks along m at the first k, or the tile's first one
    const scalar_t* x[COUNT];  // and along n
    Offset at_a, at_x;         // from there to k
    int row, col;              // its position, less what is beyond the last one: below 0
    int row_step, col_step, rows, cols;  // how far it goes in a tile, and from first to last
    int left;                            // of k
    int to[COUNT];                       // where chunks go, in a tile
    int of_row[COUNT], of_col[COUNT];    // of chunks along n, and what is beyond the last position

    static __device__ __forceinline__ int own_row() {
        const int row = threadIdx.x / PER_ROW, low = row % ORDERS;
        return row - low + low * APART % ORDERS + low * APART / ORDERS;
    }
    static __device__ __forceinline__ int own_chunk(int i) {
        return threadIdx.x % PER_ROW + i * PER_ROW;
    }

    __device__ __forceinline__ PixelCopy(const Operands& of, const ImplicitParams& p) {
        const IndexIterator k(p.k, of.first_k + own_row());
        row_step = kept(p.k.step[1] * p.k.row[1]);
        col_step = kept(p.k.step[2] * p.k.col[2]);
        rows = p.k.middle * p.k.row[1];
        cols = p.k.last * p.k.col[2];
        row = k.middle * p.k.row[1] - rows;
        col = k.last * p.k.col[2] - cols;
        at_a = at_x = 0;
        left = static_cast<int>(of.count_k) - own_row();
#pragma unroll
        for (int i = 0; i < COUNT; ++i) {
            const int mn = own_chunk(i) * CHUNK;
            const Coord of_n = IndexIterator(p.n, of.n + mn).coord(p.n);
            to[i] = kept(Layout::at(own_row(), own_chunk(i)));
            a[i] = kept(of.a + (mn < of.extent_m ? mn : 0) + k.other(p.k));
            x[i] = kept(of.x + k.dot(p.k.x) + of_n.x);
            of_row[i] = kept(mn < of.extent_n ? of_n.row + p.k.first_row + rows : 0);  // 0: none
            of_col[i] = kept(of_n.col + p.k.first_col + cols);
        }
    }

    __device__ __forceinline__ void start(scalar_t* stage, const ImplicitParams& p) {
#pragma unroll
        for (int i = 0; i < COUNT; ++i) {
            // No &&, which makes branches of it.
            const bool in_x =
                (left > 0) & inside(row + of_row[i], p.h) & inside(col + of_col[i], p.w);
            const auto copy = [&](scalar_t* tile, const scalar_t* from, Offset at, bool exists) {
                copy_chunk(tile + to[i], from + static_cast<index_t>(at) * UNIT, exists, ALIGNED);
            };
            copy(stage, a[i], at_a, left > 0);
            copy(stage + OF_B, x[i], at_x, in_x);
        }
        advance(p.k);
    }

    __device__ __forceinline__ void advance(const Decomposition& k) {
        const auto move = [&](int carry, int by) {
            add_where(carry, at_a, static_cast<Offset>(k.other_moves[by] / UNIT));
            add_where(carry, at_x, static_cast<Offset>(k.x_moves[by] / UNIT));
        };
        left -= ROWS;
        col += col_step;
        row += row_step;
        move(0, 0);
        const int next_row = col;
        add_where(next_row, col, -cols);
        add_where(next_row, row, k.row[1]);
        move(next_row, 1);
        const int next_image = row;
        add_where(next_image, row, -rows);
        move(next_image, 2);
    }
};

#if TERM_BY_TERM
// Terms k = (r, s, c) one by one, each under a tap of its own: y of few channels. Where a term lies in a
// window, and its tap, stand in shared memory; what there is not has a tap that no window has.
struct TermCopy : WindowCopy<true, false> {
    // MOST_TERMS of conv_implicit_mma.py, and those that there are not of tiles that are copied ahead.
    static constexpr int MOST = 384 + (STAGES - 1) * DEPTH;

    struct Terms {
        alignas(16) int offset[MOST];
        alignas(16) unsigned tap[MOST];
    };
    const Terms& terms;
    int k;

    __device__ __forceinline__ TermCopy(const Operands& of, const ImplicitParams& p)
        : WindowCopy(of, p),
          terms(filled(p)),
          k(static_cast<int>(of.first_k) + own_chunk() * CHUNK) {
        left = static_cast<int>(of.count_k) - own_chunk() * CHUNK;
    }

    static __device__ __forceinline__ const Terms& filled(const ImplicitParams& p) {
        __shared__ Terms terms;
        for (int i = threadIdx.x; i < MOST; i += MMA_THREADS) {
            const IndexIterator at(p.k, static_cast<unsigned>(i));
            const bool exists = i < p.k.count;
            terms.offset[i] = exists ? dot(p.k.x, static_cast<int>(at.high), at.middle, at.last) : 0;
            terms.tap[i] = exists ? 1u << at.middle | 1u << (16 + at.high) : 1u << 31;
        }
        __syncthreads();  // all terms are there
        return terms;
    }

    __device__ __forceinline__ void start(scalar_t* stage, const ImplicitParams& p) {
        int offset[CHUNK];
        unsigned tap[CHUNK];
        load_vector(offset, terms.offset + k);
        load_vector(tap, terms.tap + k);
#pragma unroll
        for (int i = 0; i < COUNT; ++i) {
            float* const to = Layout::first(stage, own_row(), i * ROW_STEP, own_chunk());
#pragma unroll
            for (int e = 0; e < CHUNK; ++e) {
                copy_async<4>(to + e * BLK_M, a[i] + k + e, e < left);
                copy_async<4>(to + e * BLK_N + OF_B, x[i] + offset[e], !(tap[e] & ~taps[i]));
            }
        }
        k += DEPTH;
        left -= DEPTH;
    }
};

template <bool ALIGNED, bool FILLS>
using TileCopy = TermCopy;
#else
template <bool ALIGNED, bool FILLS>
using TileCopy = typename Choose<ALONG_K, WindowCopy<ALIGNED, FILLS>, PixelCopy<ALIGNED>>::type;
#endif

// The product of a block's tiles, of every k, into a warp's sums.
template <bool ALIGNED, bool FILLS = IS_BYTES>
__device__ __forceinline__ void multiply_all(Warp& warp, Stages& stages, const Operands& of,
                                             const ImplicitParams& p) {
    TileCopy<ALIGNED, FILLS> copy(of, p);
    const auto start = [&](int stage) {
        copy.start(stages[stage], p);
        copy_async_commit();
    };
    for (int stage = 0; stage < STAGES - 1; ++stage) start(stage);
    int stage = 0;
    for (int left = ceil_div(static_cast<int>(of.count_k), DEPTH); left > 0; --left) {
        copy_async_wait<STAGES - 2>();
        __syncthreads();  // this tile has arrived, and the one before it is no longer needed
        start(stage ? stage - 1 : STAGES - 1);
        warp.multiply<ALIGNED>(stages[stage] + OF_B, stages[stage]);
        stage = stage == STAGES - 1 ? 0 : stage + 1;
    }
    copy_async_wait<0>();
    __syncthreads();  // nothing arrives any more, and nobody needs a tile
}

