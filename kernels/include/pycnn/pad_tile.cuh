// pycnn/pad_tile.cuh: rows of a result in shared memory, as they are to lie in global memory.
//
// Elements are bits here, and threads a lattice, so that nothing is divided.
#pragma once

#include <pycnn/boundary.cuh>
#include <pycnn/lattice.cuh>

constexpr int PAD_THREADS = LATTICE_THREADS;
constexpr int AT_ONCE = 4;  // rows that a thread asks for

// Elements v.first ... of rows at x + row_of_x[r], v.staged of each, into a tile with rows of
// `columns`, by pieces. WHOLE: these are all elements of the pieces.
template <typename Piece, bool WHOLE, typename T>
__device__ __forceinline__ void load_pieces(const T* x, const index_t* row_of_x, int rows,
                                            int columns, T* tile, T filler, const Padding& v) {
    constexpr int MANY = sizeof(Piece) / sizeof(T);
    const index_t step = MANY > 1 ? MANY : v.step;
    const int staged = static_cast<int>(v.staged);
    const int skip = WHOLE ? 0 : static_cast<int>(v.first) % MANY;
    x += (v.first - skip) * (MANY > 1 ? 1 : v.step);
    Piece constant = 0;
#pragma unroll
    for (int k = 0; k < MANY; ++k) constant |= static_cast<Piece>(filler) << 8 * sizeof(T) * k;
    const int width = (skip + staged + MANY - 1) / MANY;
    const Lattice at(width);
#pragma unroll 1
    for (int column = at.column; column < width; column += at.across) {
        const T* const from = x + column * step;
        const int target = column * MANY - skip;
        T* to = tile + at.row * columns + target;
#pragma unroll 1
        for (int first = at.row; first < rows; first += AT_ONCE * at.down) {
            Piece piece[AT_ONCE];
#pragma unroll
            for (int r = 0; r < AT_ONCE; ++r) {
                const int row = first + r * at.down;
                const index_t offset = row < rows ? row_of_x[row] : OUTSIDE;
                piece[r] = constant;
                if (offset != OUTSIDE) piece[r] = *reinterpret_cast<const Piece*>(from + offset);
            }
#pragma unroll
            for (int r = 0; r < AT_ONCE; ++r) {
                const bool there = first + r * at.down < rows;
#pragma unroll
                for (int k = 0; k < MANY; ++k)
                    if (there & (WHOLE || inside(target + k, staged)))
                        to[k] = static_cast<T>(piece[r] >> 8 * sizeof(T) * k);
                to += at.down * columns;
            }
        }
    }
}

// By 8 bytes or by pairs of 16 bits, where the rows of x are made of these.
template <typename T>
__device__ __forceinline__ void load_inner(const T* x, const index_t* row_of_x, int rows,
                                           int columns, T* tile, T filler, const Padding& v) {
    constexpr int MANY = 8 / sizeof(T);
    using Pair = typename OfBytes<sizeof(T) == 2 ? 4 : sizeof(T)>::type;
    if (v.in_vectors<MANY>(x) && v.first % MANY == 0 && v.staged % MANY == 0)
        load_pieces<OfBytes<8>::type, true>(x, row_of_x, rows, columns, tile, filler, v);
    else if (sizeof(T) == 2 && v.in_vectors<2>(x))
        load_pieces<Pair, false>(x, row_of_x, rows, columns, tile, filler, v);
    else if (v.staged > 0)
        load_pieces<T, true>(x, row_of_x, rows, columns, tile, filler, v);
}

// Elements skew ... end - 1 of a tile that begins where the sector of y does, `skew` in front of it.
template <typename T>
__device__ __forceinline__ void store_tile(const T* tile, int skew, int end, T* y) {
    using Wide = OfBytes<16>::type;
    constexpr int MANY = 16 / sizeof(T);
#pragma unroll 1
    for (int t = static_cast<int>(threadIdx.x) * MANY; t < end; t += PAD_THREADS * MANY) {
        T* const to = y - skew + t;
        if (t >= skew && t + MANY <= end)
            *reinterpret_cast<Wide*>(to) = *reinterpret_cast<const Wide*>(tile + t);
        else
#pragma unroll 1
            for (int k = 0; k < MANY; ++k)
                if (t + k >= skew && t + k < end) to[k] = tile[t + k];
    }
}
