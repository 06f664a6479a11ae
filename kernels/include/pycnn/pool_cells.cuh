// pycnn/pool_cells.cuh: gradients of windows of 2x2 or 3x3 elements and stride 2, in registers:
// kernels/pool/channels_backward.cu and planes_backward.cu.
//
// A window and its neighbours overlap by no more than a row and a column. So dx is divided into
// cells of two rows, the first two of a window: over the first of them lies the window above too, if
// it has three rows. A thread walks down a strip of cells and reads every row of windows once.
#pragma once

#include <pycnn/pool_vectors.cuh>

// What a window sends to the element that was its maximum.
struct Sent {
    acc_t dy;
    int at;
    __device__ __forceinline__ void add_to(acc_t& sum, int element) const {
        if (at == element) sum += dy;
    }
    static __device__ __forceinline__ Sent nothing() { return {0, -1}; }
};

// What a window sends to all of its elements.
struct Share {
    acc_t dy;
    __device__ __forceinline__ void add_to(acc_t& sum, int) const { sum += dy; }
    static __device__ __forceinline__ Share nothing() { return {0}; }
};

// An index as it counts within a plane; what is none there is negative.
__device__ __forceinline__ int place_of(index_t index) {
    return index >> 32 ? -1 : static_cast<int>(index);
}

// The columns of a thread: those of OUTPUTS windows, or one further on (BEFORE), where those begin
// with padding and vectors are to begin where x does.
template <int OUTPUTS, int BEFORE>
struct Columns {
    static constexpr int SPAN = STRIDE * OUTPUTS;
    static constexpr int EXTRA = BEFORE || WINDOW > STRIDE;  // a window more lies over them,
    static constexpr int FIRST = EXTRA && !BEFORE ? -1 : 0;  // the one in front or the one behind
    static constexpr int WINDOWS = OUTPUTS + EXTRA;

    // Whether column `u` is of window FIRST + d.
    static __device__ __forceinline__ bool covered(int d, int u) {
        const int at = u + BEFORE - STRIDE * (FIRST + d);
        return at >= 0 && at < WINDOW;
    }
};

// load(row of windows, what they send) and store(row of dx, its columns) for a strip of cells, the
// columns of which begin at `left`.
template <typename Of, typename Cols, int LANES, typename Load, typename Store>
__device__ __forceinline__ void each_cell(const Pool& p, int first, int left, Load load,
                                          Store store) {
    const PoolAxis& rows = p.axis[1];
    const int height = rows.extent, width = p.axis[2].extent, outs = rows.windows;
    const int low = rows.low;
    using Row = Of[Cols::WINDOWS][LANES];
    using Sums = acc_t[Cols::SPAN][LANES];
    const auto load_row = [&](int i, Row& row) {
#pragma unroll
        for (int d = 0; d < Cols::WINDOWS; ++d)
#pragma unroll
            for (int k = 0; k < LANES; ++k) row[d][k] = Of::nothing();
        if (inside(i, outs)) load(i, row);
    };
    // Adds what a row of windows sends to row h of dx.
    const auto add = [&](const Row& row, int h, Sums& sum) {
#pragma unroll
        for (int u = 0; u < Cols::SPAN; ++u)
#pragma unroll
            for (int k = 0; k < LANES; ++k)
#pragma unroll
                for (int d = 0; d < Cols::WINDOWS; ++d)
                    if (Cols::covered(d, u)) row[d][k].add_to(sum[u][k], h * width + left + u);
    };

    Row row;
    Sums below = {};  // what windows send to the row under their cell: fewer numbers than they are
    int h = first * STRIDE - low;
    if (WINDOW > STRIDE) {
        load_row(first - 1, row);
        add(row, h, below);
    }
#pragma unroll 1
    for (int i = first; true; ++i, h += STRIDE) {
        load_row(i, row);
        if (inside(h, height)) {
            add(row, h, below);
            store(h, below);
        }
        if (inside(h + 1, height)) {
            Sums sum = {};
            add(row, h + 1, sum);
            store(h + 1, sum);
        }
        if (i + 1 == first + static_cast<int>(rows.tile)) break;
        memset(below, 0, sizeof(below));
        if (WINDOW > STRIDE) add(row, h + STRIDE, below);
    }
}

// Rows and columns of cells.
__device__ __forceinline__ unsigned cells(const PoolAxis& a) {
    return (static_cast<unsigned>(a.extent) + static_cast<unsigned>(a.low) + 1) / STRIDE;
}
