// pycnn/resize_double.cuh: twice as many rows and columns: kernels/resize/double.cu and
// double_backward.cu.
//
// Element 2i of y is 1/4 x[i-1] + 3/4 x[i], element 2i+1 is 3/4 x[i] + 1/4 x[i+1]: along both axes,
// and with the outermost element in place of one that is not there. Or both are x[i] (TAPS 1).
#pragma once

#include <pycnn/resize.cuh>

#ifndef COLUMNS
#define COLUMNS 1
#endif

constexpr int DOUBLE_THREADS = 128;
constexpr int HALO = TAPS - 1;  // elements beside those that a thread has, on either side
constexpr int VEC_SIZE = 16 / sizeof(scalar_t);

__device__ __forceinline__ int clamped(int at, int extent) {
    return at < 0 ? 0 : at < extent ? at : extent - 1;
}

// What a thread has of a row of x: PIXELS neighbouring columns, of each LANES channels.
template <int PIXELS, int LANES>
struct Line {
    acc_t at[PIXELS][LANES];
};

// A line of y, of what stands over and beside its columns.
template <int PIXELS, int LANES>
__device__ __forceinline__ Line<2 * PIXELS, LANES> doubled(
    const Line<PIXELS + 2 * HALO, LANES>& x) {
    Line<2 * PIXELS, LANES> y;
#pragma unroll
    for (int i = 0; i < PIXELS; ++i)
#pragma unroll
        for (int k = 0; k < LANES; ++k) {
            if constexpr (TAPS == 1) {
                y.at[2 * i][k] = y.at[2 * i + 1][k] = x.at[i][k];
            } else {
                const acc_t most = acc_t(0.75) * x.at[i + 1][k];
                y.at[2 * i][k] = acc_t(0.25) * x.at[i][k] + most;
                y.at[2 * i + 1][k] = acc_t(0.25) * x.at[i + 2][k] + most;
            }
        }
    return y;
}

// What four neighbours of dy add to the element under the middle two. Each is multiplied by itself: of
// two large ones the sum may overflow where the gradient does not.
__device__ __forceinline__ acc_t weighted(acc_t before, acc_t upper, acc_t lower, acc_t after) {
    const acc_t outer = acc_t(0.25) * before + acc_t(0.25) * after;
    return acc_t(0.75) * upper + (acc_t(0.75) * lower + outer);
}

// The gradient of x's columns, of a line of dy.
template <int PIXELS, int LANES>
__device__ __forceinline__ Line<PIXELS, LANES> halved(
    const Line<2 * (PIXELS + HALO), LANES>& dy) {
    Line<PIXELS, LANES> dx;
#pragma unroll
    for (int i = 0; i < PIXELS; ++i)
#pragma unroll
        for (int k = 0; k < LANES; ++k) {
            if constexpr (TAPS == 1)
                dx.at[i][k] = dy.at[2 * i][k] + dy.at[2 * i + 1][k];
            else
                dx.at[i][k] = weighted(dy.at[2 * i][k], dy.at[2 * i + 1][k], dy.at[2 * i + 2][k],
                                       dy.at[2 * i + 3][k]);
        }
    return dx;
}

// Where neighbouring columns are neighbours in memory: a thread has COLUMNS of x, by vectors.
struct Planes {
    static constexpr int PIXELS = COLUMNS, LANES = 1;

    // Columns [q, q + COUNT), which there are, and EACH on either side.
    template <int COUNT, int EACH>
    static __device__ __forceinline__ Line<COUNT + 2 * EACH, 1> load(const scalar_t* row, index_t,
                                                                    int q, int width,
                                                                    bool vectors) {
        Line<COUNT + 2 * EACH, 1> line;
        const auto block = load_block<scalar_t, COUNT>(row + q, vectors);
        acc_t value[COUNT];
        if constexpr (COUNT % 2 == 0)
            unpack(block.at, value);
        else
            value[0] = to_acc(block.at[0]);
#pragma unroll
        for (int i = 0; i < COUNT; ++i) line.at[EACH + i][0] = value[i];
        if constexpr (EACH > 0) {
            line.at[0][0] = to_acc(ldg(row + clamped(q - 1, width)));
            line.at[COUNT + 1][0] = to_acc(ldg(row + clamped(q + COUNT, width)));
        }
        return line;
    }
    template <int COUNT>
    static __device__ __forceinline__ void store(scalar_t* row, index_t, int q, bool vectors,
                                                 const Line<COUNT, 1>& line) {
        Block<scalar_t, COUNT> block;
#pragma unroll
        for (int i = 0; i < COUNT; ++i) block.at[i] = from_acc(line.at[i][0]);
        store_block(row + q, block, vectors);
    }
};

// Where channels are: a thread has one column of x, and a vector of channels.
struct Channels {
    static constexpr int PIXELS = 1, LANES = VEC_SIZE;

    template <int COUNT, int EACH>
    static __device__ __forceinline__ Line<COUNT + 2 * EACH, VEC_SIZE> load(const scalar_t* row,
                                                                           index_t step, int q,
                                                                           int width,
                                                                           bool vectors) {
        Line<COUNT + 2 * EACH, VEC_SIZE> line;
#pragma unroll
        for (int i = 0; i < COUNT + 2 * EACH; ++i) {
            const index_t at = clamped(q - EACH + i, width) * step;
            unpack(load_block<scalar_t, VEC_SIZE>(row + at, vectors).at, line.at[i]);
        }
        return line;
    }
    template <int COUNT>
    static __device__ __forceinline__ void store(scalar_t* row, index_t step, int q, bool vectors,
                                                 const Line<COUNT, VEC_SIZE>& line) {
#pragma unroll
        for (int i = 0; i < COUNT; ++i) {
            Block<scalar_t, VEC_SIZE> block;
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) block.at[k] = from_acc(line.at[i][k]);
            store_block(row + (q + i) * step, block, vectors);
        }
    }
};

// Whether addresses allow vectors, of x and of what is twice as large; asked once, in front of all.
template <typename Of>
__device__ __forceinline__ bool in_vectors(const scalar_t* x, const scalar_t* y) {
    constexpr int ALONG = Of::PIXELS * Of::LANES;
    return aligned_to<scalar_t, ALONG>(x) &&
           aligned_to<scalar_t, (Of::LANES > 1 ? ALONG : 2 * ALONG)>(y);
}

// Where a thread is: columns from q on and rows from `row` on of x, and channels from `channel` on.
template <typename Of>
struct DoubleStrip {
    int row, q, channel;
    index_t outer;
    bool there;

    __device__ __forceinline__ explicit DoubleStrip(const Resize& v) {
        unsigned number = blockIdx.x * DOUBLE_THREADS + threadIdx.x;
        channel = 0;
        if constexpr (Of::LANES > 1)
            channel = next_coordinate(number, static_cast<unsigned>(v.inner) / Of::LANES) *
                      Of::LANES;
        q = next_coordinate(number, static_cast<unsigned>(v.w.extent_x) / Of::PIXELS) * Of::PIXELS;
        row = next_tile(number, static_cast<unsigned>(v.h.extent_x),
                        static_cast<unsigned>(v.band));
        outer = number;
        there = outer < v.outer;
    }
};
