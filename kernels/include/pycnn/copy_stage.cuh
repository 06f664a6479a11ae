// pycnn/copy_stage.cuh: pieces of global memory, read and written in whole sectors.
//
// A loop over consecutive elements begins as far in front of the first one as that lies behind
// the start of a sector, so that no warp touches a sector that another one touches as well.
#pragma once

#include <pycnn/block.cuh>

constexpr index_t OUTSIDE = -0x7fffffffffffffffll;  // offset of what is nowhere in memory

// Elements from the start of the sector to `first`.
template <typename T>
__device__ __forceinline__ int sector_skew(const T* first) {
    return static_cast<int>(reinterpret_cast<unsigned long long>(first) / sizeof(T) %
                            (32 / sizeof(T)));
}

// Of rows of `width` elements, row and column of every element first, first + THREADS ... from 0 on:
// divided once, and carried on.
template <int THREADS>
struct RowWalk {
    int t, row, column;

    __device__ __forceinline__ RowWalk(int first, int its_width) : width(its_width) {
        t = first < 0 ? first + THREADS : first;
        row = static_cast<unsigned>(t) / static_cast<unsigned>(width);
        column = t - row * width;
        rows_on = static_cast<unsigned>(THREADS) / static_cast<unsigned>(width);
        columns_on = THREADS - rows_on * width;
    }
    __device__ __forceinline__ void next() {
        t += THREADS;
        row += rows_on;
        column += columns_on;
        if (column < width) return;
        column -= width;
        ++row;
    }

private:
    int width, rows_on, columns_on;
};

// Rows of `width` elements at x + offset[r], one after the other into sX; `step` is the
// distance of neighbours. Rows at OUTSIDE are left out. By all threads of the block.
// `vectors`: neighbours are neighbours in memory, and rows begin and end where 16 bytes do.
template <int THREADS, typename T>
__device__ __forceinline__ void load_rows(const T* x, const index_t* offset, int rows, int width,
                                          index_t step, T* sX, bool vectors) {
    if (vectors) {
        constexpr int MANY = 16 / sizeof(T);
        using Vec = Block<T, MANY>;
        const int count = rows * (width / MANY);
        RowWalk<THREADS> at(threadIdx.x, width / MANY);
#pragma unroll 2
        for (; at.t < count; at.next()) {
            const index_t from = offset[at.row];
            if (from != OUTSIDE)
                reinterpret_cast<Vec*>(sX)[at.t] =
                    *reinterpret_cast<const Vec*>(x + from + at.column * MANY);
        }
        return;
    }
    int known = 0;  // a row that is somewhere
    while (known < rows - 1 && offset[known] == OUTSIDE) ++known;
    const index_t there = offset[known] == OUTSIDE ? 0 : offset[known];
    const int skew = sector_skew(x + there - static_cast<index_t>(known) * width);
    const int count = rows * width;
#pragma unroll 4
    for (RowWalk<THREADS> at(static_cast<int>(threadIdx.x) - skew, width); at.t < count; at.next()) {
        const index_t from = offset[at.row];
        if (from != OUTSIDE) sX[at.t] = x[from + at.column * step];
    }
}
