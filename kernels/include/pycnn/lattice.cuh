// pycnn/lattice.cuh: rows of any width, shared out to the threads of a block without divisions.
#pragma once

#include <pycnn/kernel.cuh>

constexpr int LATTICE_THREADS = 256;

// What each thread of a block, a power of two of them, has of rows that are `columns` wide, which is more than none: powers of
// two threads a row, so that nothing is divided.
struct Lattice {
    int row, column, down, across;

    __device__ __forceinline__ explicit Lattice(int columns, int threads = LATTICE_THREADS) {
        const int shift = columns > threads / 2 ? 31 - __clz(threads)
                          : columns > 1         ? 32 - __clz(columns - 1)
                                                : 0;
        across = 1 << shift;
        down = threads >> shift;
        row = static_cast<int>(threadIdx.x) >> shift;
        column = static_cast<int>(threadIdx.x) & (across - 1);
    }
};
