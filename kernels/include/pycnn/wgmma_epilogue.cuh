// pycnn/wgmma_epilogue.cuh: how the sums of `wgmma` become a tile of C.
//
// A warp has 16 rows of the tile, a lane pairs of neighbours of two of them. They are finished in
// registers, rounded, and laid out in shared memory as a tensor map has them, a piece of 64 columns;
// then one lane asks for its copy to C. Where no map describes C, every lane copies
// 16 bytes at a time, or single elements. A warp has two pieces: one is copied while the next is made.
// Floats, of which four lanes have 32 bytes of a row, a sector, go from registers to C.
#pragma once

#include <pycnn/gemm.cuh>
#include <pycnn/gemm_thread.cuh>
#include <pycnn/tma.cuh>

constexpr int PIECE_M = 16, PIECE_N = 64, CHUNK = 8;
constexpr int PART_N = 32;  // columns at a time, where it is not easy

// Pieces of a warp, from a multiple of 1024 bytes on, as the swizzle of 128 bytes has them.
struct Pieces {
    static constexpr int BYTES = 2 * PIECE_M * PIECE_N;
    scalar_t of[2][BYTES / sizeof(scalar_t)];
};

constexpr bool FLOATS = sizeof(scalar_t) == 4;

// Where a row of C lies, and what is added to it: offsets from what belongs to the batch.
struct Row {
    index_t c, residual;
};

// What a warp has for its part of a tile.
struct WarpOutput {
    Pieces& pieces;
    const int row;      // the first of its 16 rows
    const bool easy;    // as below
    unsigned turn = 0;  // pieces so far
};

// A tile of C.
struct Output {
    const GemmParams& p;
    const Epilogue& epilogue;
    const TensorMap& map;
    scalar_t* const c;
    const index_t m, n;        // its first row and column
    const int rows, cols;      // of the tile's, those inside the matrix
    int outer = 0, inner = 0;  // of the batch
    // Where it begins, in C, among channels and in the residual.
    index_t first = 0, channel = 0, residual = 0;

    __device__ Output(const GemmParams& p, const TensorMap& map, scalar_t* c,
                      const Epilogue& epilogue, BlockCoord blk)
        : p(p),
          epilogue(epilogue),
          map(map),
          c(c),
          m(blk.m),
          n(blk.n),
          rows(min(static_cast<int>(p.m - blk.m), static_cast<int>(p.tile_m))),
          cols(min(static_cast<int>(p.n - blk.n), static_cast<int>(p.tile_n))) {
        if (p.batches == 1) return;
        outer = blk.batch / p.inner;
        inner = blk.batch - outer * p.inner;
        first = outer * p.c_outer + inner * p.c_inner;
        channel = inner * p.channel_inner;
        residual = outer * p.residual_outer + inner * p.residual_inner;
    }
    // Where row i of the tile lies; of those beyond the matrix, where its last one does.
    template <typename Work>
    __device__ __forceinline__ Row row_of(const Work& work, int i) const {
        return work.row(m + min(i, rows - 1));
    }
    __device__ __forceinline__ scalar_t* at(const Row& row) const { return c + first + row.c + n; }
};

// Where a map of C has what a warp copies of a piece.
struct Place {
    int at[4];
};
template <typename Work>
__device__ __forceinline__ Place place_in_map(const Work&, const Output& out, int row, int column) {
    return {{static_cast<int>(out.n) + column, static_cast<int>(out.m) + row, out.inner, out.outer}};
}

// Two neighbours, from a multiple of their size on.
__device__ __forceinline__ void load_pair(float& x, float& y, const float* from) {
    float both[2];
    load_vector(both, from);
    x = both[0];
    y = both[1];
}
#if PYCNN_JOIN(PYCNN_IS_, SCALAR) != 3
__device__ __forceinline__ void load_pair(float& x, float& y, const scalar_t* from) {
    const unsigned whole = *reinterpret_cast<const unsigned*>(from);
#if PYCNN_JOIN(PYCNN_IS_, SCALAR) == 1
    __half2 both;
    memcpy(&both, &whole, sizeof(both));
    x = __low2float(both);
    y = __high2float(both);
#elif PYCNN_JOIN(PYCNN_IS_, SCALAR) == 2
    x = __uint_as_float(whole << 16);  // bfloat16: the upper half of a float
    y = __uint_as_float(whole & 0xffff0000);
#endif
}
#endif

// NaN stays NaN; one instruction.
__device__ __forceinline__ float relu(float x) {
    float larger;
    asm("max.NaN.f32 %0, %1, 0f00000000;" : "=f"(larger) : "f"(x));
    return larger;
}

#if PYCNN_JOIN(PYCNN_IS_, SCALAR) != 3
#if PYCNN_JOIN(PYCNN_IS_, SCALAR) == 1
#define PYCNN_PAIR ".f16x2.f32 %0, %1, %2;"
#else
#define PYCNN_PAIR ".bf16x2.f32 %0, %1, %2;"
#endif
// NaN stays NaN; below zero nothing is left with RELU.
template <bool RELU_TOO>
__device__ __forceinline__ unsigned rounded(float x, float y) {
    unsigned both;
    if constexpr (RELU_TOO)
        asm("cvt.rn.relu" PYCNN_PAIR : "=r"(both) : "f"(y), "f"(x));
    else
        asm("cvt.rn" PYCNN_PAIR : "=r"(both) : "f"(y), "f"(x));
    return both;
}
#endif

// Whether whole tiles leave as most do: by boxes or 16 bytes, neighbours in pairs, and no activation
// but ReLU. Their code is worth a place of its own.
__device__ __forceinline__ bool easy_end(const GemmParams& p, const Epilogue& e, const void* c) {
    const auto paired = [](const auto* from) {
        return reinterpret_cast<size_t>(from) % (2 * sizeof(*from)) == 0;
    };
    const auto neighbours = [](const auto* from, index_t step) { return !from || step == 1; };
    const bool aligned = paired(e.bias) & paired(e.scale) & paired(e.shift);
    return vectors(p, FLOATS ? C_VECTOR : C_BOXES, c) && !(p.flags & (ACCUMULATE | CHANNEL_BY_ROW)) &&
           e.p.activation <= RELU && p.channel_inner % 2 == 0 && aligned &
           neighbours(e.bias, e.p.bias_k) & neighbours(e.scale, e.p.scale_k) &
           neighbours(e.shift, e.p.shift_k) &&
           (!e.residual || (p.residual_col == 1 && vectors(p, RESIDUAL_VECTOR, e.residual)));
}

// What a lane finishes at a time: of so many columns sums 4 n + 2 h + e, which are those of row
// i + 8 h, column j + 8 n + e of the tile.
template <int COLUMNS, bool EASY>
struct LaneSums {
    using Sums = float[COLUMNS / 2];
    const Output& out;
    const int i, j;

    template <typename T>
    __device__ __forceinline__ void of_columns(float (&with)[COLUMNS / 4], const T* from,
                                               index_t step) const {
        const index_t first = out.channel + out.n;
#pragma unroll
        for (int n = 0; n < COLUMNS / 8; ++n) {
            if constexpr (EASY) {
                load_pair(with[2 * n], with[2 * n + 1], from + first + j + 8 * n);
            } else {
#pragma unroll
                for (int e = 0; e < 2; ++e)
                    with[2 * n + e] =
                        to_acc(from[(first + min(j + 8 * n + e, out.cols - 1)) * step]);
            }
        }
    }
    // What there is one of for each channel, in the order of columns or of rows.
    template <typename T, typename Combine>
    __device__ __forceinline__ void by_channel(Sums& x, const T* from, index_t step,
                                               Combine combine) const {
        if (!from) return;
        if (!EASY && out.p.flags & CHANNEL_BY_ROW) {
            const auto of_row = [&](int h) {
                const index_t row = out.m + min(i + 8 * h, out.rows - 1);
                return to_acc(from[(out.channel + row) * step]);
            };
            const float with[2] = {of_row(0), of_row(1)};
#pragma unroll
            for (int n = 0; n < COLUMNS / 2; ++n) x[n] = combine(x[n], with[n / 2 % 2]);
        } else {
            float with[COLUMNS / 4];
            of_columns(with, from, step);
#pragma unroll
            for (int n = 0; n < COLUMNS / 2; ++n) x[n] = combine(x[n], with[n / 4 * 2 + n % 2]);
        }
    }
    // Adds what lies beside a row, `from` where column j is.
    __device__ __forceinline__ void beside(Sums& x, const scalar_t* from, int h,
                                           index_t step) const {
        if (!EASY && i + 8 * h >= out.rows) return;
#pragma unroll
        for (int n = 0; n < COLUMNS / 8; ++n) {
            float with[2] = {};
            if constexpr (EASY) {
                load_pair(with[0], with[1], from + 8 * n);
            } else {
#pragma unroll
                for (int e = 0; e < 2; ++e)
                    if (j + 8 * n + e < out.cols) with[e] = to_acc(from[(8 * n + e) * step]);
            }
#pragma unroll
            for (int e = 0; e < 2; ++e) x[4 * n + 2 * h + e] += with[e];
        }
    }
    // But for the ReLU of an easy end, which 16-bit elements have of being rounded.
    __device__ __forceinline__ void finish(Sums& x, const Row (&rows)[2]) const {
        const Epilogue& e = out.epilogue;
        if (!EASY && out.p.flags & ACCUMULATE) {
#pragma unroll
            for (int h = 0; h < 2; ++h) beside(x, out.at(rows[h]) + j, h, 1);
        }
        const auto add = [](float a, float b) { return a + b; };
        if (EASY && e.scale && e.shift) {
            float scale[COLUMNS / 4], shift[COLUMNS / 4];
            of_columns(scale, e.scale, 1);
            of_columns(shift, e.shift, 1);
            if (e.bias) {  // (x + bias) scale + shift; a column has two rows
                float bias[COLUMNS / 4];
                of_columns(bias, e.bias, 1);
#pragma unroll
                for (int n = 0; n < COLUMNS / 4; ++n) shift[n] = fmaf(bias[n], scale[n], shift[n]);
            }
#pragma unroll
            for (int n = 0; n < COLUMNS / 2; ++n)
                x[n] = fmaf(x[n], scale[n / 4 * 2 + n % 2], shift[n / 4 * 2 + n % 2]);
        } else {
            by_channel(x, e.bias, e.p.bias_k, add);
            by_channel(x, e.scale, e.p.scale_k, [](float a, float b) { return a * b; });
            by_channel(x, e.shift, e.p.shift_k, add);
        }
        if (e.residual) {
            const index_t step = EASY ? 1 : out.p.residual_col;
#pragma unroll
            for (int h = 0; h < 2; ++h)
                beside(x, e.residual + out.residual + rows[h].residual + (out.n + j) * step, h, step);
        }
        if constexpr (!EASY) {
            activate(x, e.p.activation, e.p.slope);
        } else if (FLOATS && e.p.activation == RELU) {
#pragma unroll
            for (int n = 0; n < COLUMNS / 2; ++n) x[n] = relu(x[n]);
        }
    }
};

// Those of a part of the columns: registers have no addresses.
template <typename T, int OF_PART, int SUMS>
__device__ __forceinline__ void of_part(T (&x)[OF_PART], const T (&d)[SUMS], int part) {
#pragma unroll
    for (int constant = 0; constant < SUMS / OF_PART; ++constant) {
        if (constant != part) continue;
#pragma unroll
        for (int n = 0; n < OF_PART; ++n) x[n] = d[constant * OF_PART + n];
    }
}

// Stores a lane's sums of one of its two rows, of which `cols` columns are left; `pairs`: 8 bytes at a
// time, and all of them.
template <typename T, int SUMS>
__device__ __forceinline__ void store_row(T* to, const T (&x)[SUMS], int h, index_t cols,
                                          bool pairs) {
    if (pairs) {
        T* const whole = kept(to);  // else NVRTC shares a single store with the other way
#pragma unroll
        for (int n = 0; n < SUMS / 4; ++n) {
            const T two[2] = {x[4 * n + 2 * h], x[4 * n + 2 * h + 1]};
            store_vector(nth_vector<2>(whole, 4 * n), two);
        }
    } else {
#pragma unroll
        for (int n = 0; n < SUMS / 4; ++n)
#pragma unroll
            for (int e = 0; e < 2; ++e)
                if (8 * n + e < cols) to[8 * n + e] = x[4 * n + 2 * h + e];
    }
}

#if PYCNN_JOIN(PYCNN_IS_, SCALAR) == 3

// Stores what a lane has finished; `pairs`: 8 bytes at a time.
template <int SUMS>
__device__ __forceinline__ void store_floats(const Output& out, const float (&x)[SUMS],
                                             const Row (&rows)[2], int i, int j, bool pairs) {
#pragma unroll
    for (int h = 0; h < 2; ++h)
        if (i + 8 * h < out.rows)
            store_row(out.at(rows[h]) + j, x, h, out.cols - j, pairs);
}

// Finishes and stores the rows of a warp, of which a lane has the sums.
template <typename Work, int SUMS>
__device__ __forceinline__ void store_tile(const Work& work, const Output& out, float (&d)[SUMS],
                                           WarpOutput& own) {
    constexpr int PARTS = 2 * SUMS / PART_N;
    const int lane = threadIdx.x % 32, pair = lane % 4 * 2, i = own.row + lane / 4;
    if (own.row >= out.rows) return;
    const Row rows[2] = {out.row_of(work, i), out.row_of(work, i + 8)};
    if (own.easy && out.cols >= 2 * SUMS) {
#pragma unroll
        for (int j = 0; j < 2 * SUMS; j += PART_N) {
            auto& x = reinterpret_cast<float (&)[PART_N / 2]>(d[j / 2]);
            LaneSums<PART_N, true>{out, i, j + pair}.finish(x, rows);
            store_floats(out, x, rows, i, j + pair, true);
        }
        return;
    }
#pragma unroll 1
    for (int part = 0; part < PARTS && part * PART_N < out.cols; ++part) {
        float x[PART_N / 2];
        of_part(x, d, part);
        const int j = part * PART_N + pair;
        LaneSums<PART_N, false>{out, i, j}.finish(x, rows);
        store_floats(out, x, rows, i, j, false);
    }
}

#else

// Where chunk j of row r lies in a piece.
__device__ __forceinline__ int place_of(int r, int j) {
    return r * PIECE_N + (j ^ r % CHUNK) * CHUNK;
}

// Lays out what a warp has finished, from a column of the piece on.
template <bool RELU_TOO = false, int SUMS>
__device__ __forceinline__ void lay_out(scalar_t* piece, const float (&x)[SUMS], int column,
                                        int lane) {
    const unsigned first =
        shared_address(piece + place_of(lane % 16, column / CHUNK + lane / 16));
#pragma unroll
    for (int n = 0; n < SUMS; n += 8) {
        unsigned of[4];
#pragma unroll
        for (int pair = 0; pair < 4; ++pair)
            of[pair] = rounded<RELU_TOO>(x[n + 2 * pair], x[n + 2 * pair + 1]);
        // Two chunks further on every time: other bits than those of lane and column.
        stmatrix(first ^ n / 4 * CHUNK * static_cast<unsigned>(sizeof(scalar_t)), of);
    }
}

// Copies a piece, whose first column is j of the tile, where no map describes C.
__device__ __forceinline__ void copy_out(const scalar_t* piece, const Output& out,
                                         const Row (&rows)[2], int i, int j, int lane) {
    constexpr int STEP = 32 * CHUNK / PIECE_N;
    const auto of_row = [&](int r, int h) {
        return Row{__shfl_sync(~0u, rows[h].c, r % 8 * 4), 0};
    };
    if (vectors(out.p, C_VECTOR, out.c) && out.cols % CHUNK == 0) {
        const int chunk = lane % CHUNK;
#pragma unroll
        for (int n = 0; n < PIECE_M / STEP; ++n) {
            const int r = n * STEP + lane / CHUNK;
            scalar_t* const to = out.at(of_row(r, n / 2)) + j;
            scalar_t x[CHUNK];
            load_vector(x, piece + place_of(r, chunk));
            if (i + r < out.rows && j + chunk * CHUNK < out.cols)
                store_vector(nth_vector<CHUNK>(to, chunk), x);
        }
        return;
    }
#pragma unroll 1
    for (int r = 0; r < PIECE_M; ++r) {
        const Row low = of_row(r, 0), high = of_row(r, 1);
        scalar_t* const to = out.at(r < 8 ? low : high) + j;
        for (int column = lane; column < PIECE_N; column += 32)
            if (i + r < out.rows && j + column < out.cols)
                to[column] = piece[place_of(r, column / CHUNK) + column % CHUNK];
    }
}

// Finishes and stores the rows of a warp, of which a lane has the sums.
template <typename Work, int SUMS>
__device__ __forceinline__ void store_tile(const Work& work, const Output& out, float (&d)[SUMS],
                                           WarpOutput& own) {
    constexpr int PARTS = 2 * SUMS / PART_N;
    const int lane = threadIdx.x % 32, pair = lane % 4 * 2, i = own.row + lane / 4;
    if (own.row >= out.rows) return;
    Row rows[2] = {};
    const auto find_rows = [&] {
#pragma unroll
        for (int h = 0; h < 2; ++h) rows[h] = out.row_of(work, i + 8 * h);
    };
    const auto begin = [&] {
        if (lane == 0) bulk_wait_read<1>();
        __syncwarp();  // what was copied from this piece has left it
    };
    const auto store = [&](const scalar_t* piece, int j) {
        async_proxy_fence();
        __syncwarp();  // all of it is there
        if (lane == 0) {
            tma_store(out.map, place_in_map(work, out, own.row, j).at, piece);
            bulk_commit();
        }
    };
    if (own.easy && out.cols >= 2 * SUMS) {
        if (out.epilogue.residual) find_rows();
#pragma unroll
        for (int j = 0; j < 2 * SUMS; j += PIECE_N) {
            auto& x = reinterpret_cast<float (&)[PIECE_N / 2]>(d[j / 2]);
            LaneSums<PIECE_N, true>{out, i, j + pair}.finish(x, rows);
            scalar_t* const piece = own.pieces.of[own.turn++ % 2];
            begin();
            if (out.epilogue.p.activation == RELU)
                lay_out<true>(piece, x, 0, lane);
            else
                lay_out(piece, x, 0, lane);
            store(piece, j);
        }
        return;
    }
    const bool boxes = vectors(out.p, C_BOXES, out.c);
    find_rows();
#pragma unroll 1
    for (int part = 0; part < PARTS; ++part) {
        const int j = part * PART_N, column = j % PIECE_N;
        if (j - column >= out.cols) break;
        float x[PART_N / 2];
        of_part(x, d, part);
        LaneSums<PART_N, false>{out, i, j + pair}.finish(x, rows);
        scalar_t* const piece = own.pieces.of[own.turn % 2];
        if (column == 0) begin();
        lay_out(piece, x, column, lane);
        if (column + PART_N < PIECE_N) continue;
        ++own.turn;
        if (boxes) {
            store(piece, j - column);
        } else {
            __syncwarp();
            copy_out(piece, out, rows, own.row, j - column, lane);
        }
    }
}

#endif
