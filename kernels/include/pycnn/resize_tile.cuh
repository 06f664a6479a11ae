// pycnn/resize_tile.cuh: planes side by side in shared memory: kernels/resize/tile.cu and
// tile_backward.cu.
//
// A column has 16 bytes of as many planes, in two halves of 8 bytes that lie `half` elements apart, so
// that warps meet few banks: a piece, 8 bytes of a plane, becomes as many columns of a half, in registers.
#pragma once

#include <pycnn/resize.cuh>

constexpr int PLANES = 16 / sizeof(scalar_t), PIECE = PLANES / 2;

using bits_t = OfBytes<sizeof(scalar_t)>::type;
using Column = Block<unsigned, 2>;  // half of one, or a piece of a plane

// Pieces of as many planes become columns, and back.
__device__ __forceinline__ void transpose(Column (&square)[PIECE]) {
    Column to[PIECE];
#pragma unroll
    for (int i = 0; i < PIECE; ++i)
#pragma unroll
        for (int k = 0; k < 2; ++k)
            if constexpr (PIECE == 2)
                to[i].at[k] = square[k].at[i];
            else
                to[i].at[k] = __byte_perm(square[2 * k].at[i / 2], square[2 * k + 1].at[i / 2],
                                          i % 2 ? 0x7632 : 0x5410);
#pragma unroll
    for (int i = 0; i < PIECE; ++i) square[i] = to[i];
}

// Planes that lie `stride` elements apart, `count` of them there.
template <typename T>
struct PlanesOf {
    T* first;
    index_t stride;
    int count;
};

// Of `size` elements of them, whole pieces, the columns.
struct Tile {
    Column* at;
    int half, size;
};

// Which half of the planes a thread moves, and its place among those who do. Of 16 bits four threads
// have either half in turns: with halves APART, eight neighbours meet no bank.
constexpr int APART = PIECE == 4 ? 2 : 0;

template <int THREADS>
struct Mover {
    static constexpr int SIDE = PIECE == 4 ? 4 : THREADS / 2;
    int half, place;

    __device__ __forceinline__ Mover()
        : half(threadIdx.x / SIDE % 2),
          place(threadIdx.x / (2 * SIDE) * SIDE + threadIdx.x % SIDE) {}
};

// Planes into a tile.
template <int THREADS, bool VECTORS>
__device__ __forceinline__ void load_planes(PlanesOf<const scalar_t> x, const Tile& tile) {
    const Mover<THREADS> who;
    if (who.half) x.first += PIECE * x.stride;
#pragma unroll 2
    for (int t = who.place * PIECE; t < tile.size; t += THREADS / 2 * PIECE) {
        const scalar_t* from = x.first + t;
        Column square[PIECE];
#pragma unroll
        for (int k = 0; k < PIECE; ++k) {
            square[k] = Column{};
            if (who.half * PIECE + k < x.count) {
                if (VECTORS) {
                    square[k] = *reinterpret_cast<const Column*>(from);
                } else {
                    bits_t each[PIECE];
#pragma unroll
                    for (int i = 0; i < PIECE; ++i)
                        each[i] = reinterpret_cast<const bits_t*>(from)[i];
                    memcpy(&square[k], each, sizeof(each));
                }
            }
            from += x.stride;
        }
        transpose(square);
        Column* const to = tile.at + who.half * tile.half + t;
#pragma unroll
        for (int k = 0; k < PIECE; k += 2)
            *reinterpret_cast<Block<unsigned, 4>*>(to + k) = {
                square[k].at[0], square[k].at[1], square[k + 1].at[0], square[k + 1].at[1]};
    }
}

// And back.
template <int THREADS, bool VECTORS>
__device__ __forceinline__ void store_planes(PlanesOf<scalar_t> y, const Tile& tile) {
    const Mover<THREADS> who;
    if (who.half) y.first += PIECE * y.stride;
#pragma unroll 1
    for (int t = who.place * PIECE; t < tile.size; t += THREADS / 2 * PIECE) {
        scalar_t* to = y.first + t;
        const Column* const from = tile.at + who.half * tile.half + t;
        Column square[PIECE];
#pragma unroll
        for (int k = 0; k < PIECE; k += 2) {
            const auto two = *reinterpret_cast<const Block<unsigned, 4>*>(from + k);
            square[k] = {two.at[0], two.at[1]};
            square[k + 1] = {two.at[2], two.at[3]};
        }
        transpose(square);
#pragma unroll
        for (int k = 0; k < PIECE; ++k) {
            if (who.half * PIECE + k < y.count) {
                if (VECTORS) {
                    unsigned long long bytes;  // NVRTC would store two words one by one
                    memcpy(&bytes, &square[k], sizeof(bytes));
                    *reinterpret_cast<unsigned long long*>(to) = bytes;
                } else {
                    bits_t each[PIECE];
                    memcpy(each, &square[k], sizeof(each));
#pragma unroll
                    for (int i = 0; i < PIECE; ++i) reinterpret_cast<bits_t*>(to)[i] = each[i];
                }
            }
            to += y.stride;
        }
    }
}

// A column of all planes, as it lies in a tile, and as numbers.
struct Raw {
    Column half[2];
};
struct Lane {
    acc_t at[PLANES];
};

__device__ __forceinline__ Raw load_column(const Column* from, int half) {
    return {from[0], from[half]};
}

__device__ __forceinline__ Lane numbers(const Raw& raw) {
    const unsigned words[4] = {raw.half[0].at[0], raw.half[0].at[1], raw.half[1].at[0],
                               raw.half[1].at[1]};
    Lane lane;
    unpack_words(words, lane.at);
    return lane;
}

__device__ __forceinline__ void store_column(Column* to, int half, const Lane& lane) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
        Block<scalar_t, PIECE> block;
#pragma unroll
        for (int k = 0; k < PIECE; ++k) block.at[k] = from_acc(lane.at[h * PIECE + k]);
        *reinterpret_cast<Block<scalar_t, PIECE>*>(to + h * half) = block;
    }
}

// Where a block's rows of the result are, and which planes it takes in turns.
struct Band {
    int row = 0, rows;
    unsigned first, end;  // planes

    __device__ __forceinline__ Band(const Resize& v, int height) {
        const int band = static_cast<int>(v.band);
        unsigned block = blockIdx.x;
        if (v.strips > 1) row = next_coordinate(block, static_cast<unsigned>(v.strips)) * band;
        rows = height - row < band ? height - row : band;
        const unsigned many = static_cast<unsigned>(v.turns) * PLANES;
        first = block * many;
        const unsigned left = static_cast<unsigned>(v.outer) - first;
        end = first + (left < many ? left : many);
    }
    // Of what is read, where a plane begins.
    static __device__ __forceinline__ index_t image(const Resize& v, unsigned plane) {
        unsigned n = 0;
        if (v.channels < v.outer) {
            n = plane;
            plane = next_coordinate(n, static_cast<unsigned>(v.channels));
        }
        return n * v.n + plane * v.c;
    }
};

// Which column of the result a thread has, and which rows of the band, if any.
struct Walk {
    int column, row, stop;
    bool there;

    __device__ __forceinline__ Walk(const Resize& v, const Band& band, int columns) {
        const unsigned thread = threadIdx.x, turn = thread * static_cast<unsigned>(v.inverse) >> 16;
        const int lanes = static_cast<int>(v.lanes), half = lanes / 2;
        column = static_cast<int>(thread) - static_cast<int>(turn) * lanes;
        if (v.second) column = 2 * column - (column < half ? 0 : 2 * half - 1);
        row = static_cast<int>(turn) * static_cast<int>(v.walk);
        stop = row + static_cast<int>(v.walk);
        stop = stop < band.rows ? stop : band.rows;
        there = column < columns && row < stop;
        if (!there) column = 0;
    }
};

// Planes of x come into a tile, `of` makes those of y, and these go: a block's planes in turns.
template <int THREADS, bool VECTORS, typename Of>
__device__ __forceinline__ void by_turns(const scalar_t* x, const Tile& from, scalar_t* y, int plane,
                                         const Tile& to, const Band& band, const Resize& v, Of of) {
#pragma unroll 1
    for (unsigned first = band.first; first < band.end; first += PLANES) {
        const int count = static_cast<int>(band.end - first);
        load_planes<THREADS, VECTORS>({x + band.image(v, first), v.c, count}, from);
        __syncthreads();
        of();
        __syncthreads();
        store_planes<THREADS, VECTORS>({y + static_cast<index_t>(first) * plane, plane, count}, to);
    }
}
