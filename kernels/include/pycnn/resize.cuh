// pycnn/resize.cuh: which elements of x an element of a resized y is made from, and the inverse.
// TAPS: elements along an axis, 1 for nearest, 2 for linear.
#pragma once

#ifndef TAPS
#define TAPS 2
#endif

#include <pycnn/kernel.cuh>
#include <pycnn/copy_stage.cuh>

enum Rounding { FLOOR, CEIL, PREFER_FLOOR, PREFER_CEIL };

struct Tap {
    int lower;     // the element; with the one behind it,
    acc_t weight;  // whose weight this is; negative: without it

    __device__ __forceinline__ bool single() const { return TAPS == 1 || weight < 0; }
    __device__ __forceinline__ int upper() const { return lower + !single(); }

    __device__ __forceinline__ acc_t mix(acc_t at_lower, acc_t at_upper) const {
        return single() ? at_lower : (1 - weight) * at_lower + weight * at_upper;
    }
    // Weight of element i, which is lower or upper.
    __device__ __forceinline__ acc_t of(int i) const {
        return single() ? acc_t(1) : i == lower ? 1 - weight : weight;
    }
};

struct Range {
    int first, last;  // the last one not among them
};

struct ResizeAxis {
    double numerator, denominator, shift, offset;
    index_t extent_x, extent_y;
    index_t rounding;

    // In double: the same elements as in the plan, whatever SCALAR is.
    __device__ __forceinline__ Tap tap(int o) const {
        const double at = (o + shift) * numerator / denominator + offset;
        const int last = static_cast<int>(extent_x) - 1;
        if (TAPS == 1) {
            const double near = rounding == FLOOR          ? floor(at)
                                : rounding == CEIL         ? ceil(at)
                                : rounding == PREFER_FLOOR ? ceil(at - 0.5)
                                                           : floor(at + 0.5);
            return {near <= 0 ? 0 : near >= last ? last : static_cast<int>(near), -1};
        }
        if (at < 0) return {0, -1};
        if (at >= last) return {last, -1};
        const int lower = static_cast<int>(at);
        return {lower, static_cast<acc_t>(at - lower)};
    }

    // The elements of y that are made from element i of x.
    __device__ __forceinline__ Range range(int i) const {
        const int count = static_cast<int>(extent_y);
        int first = 0;
        if (i > 0 && numerator > 0) {  // begin a little in front of where x is i - 1
            const double guess = (i - 1 - offset) * denominator / numerator - shift - 2;
            first = guess <= 0 ? 0 : guess >= count ? count : static_cast<int>(guess);
        }
        while (first < count && tap(first).upper() < i) ++first;
        int last = first;
        while (last < count && tap(last).lower <= i) ++last;
        return {first, last};
    }
};

struct Resize {
    ResizeAxis d, h, w;
    index_t outer, channels;          // images times channels, and channels among them
    index_t inner;                    // channels that are neighbours in memory: NHWC
    index_t band, chunk;              // rows, and neighbouring channels, that a block takes
    index_t n, c, sd, sh, sw, si;     // strides of what is read

    __device__ __forceinline__ index_t image(index_t o) const {
        return o / channels * n + o % channels * c;
    }
};

// What a block works on: rows [row, row + rows) of a plane of the result, and some channels.
struct BlockCoord {
    index_t outer;
    int depth, row, rows, channel, channels;

    __device__ __forceinline__ BlockCoord(const Resize& v, index_t depths, index_t height) {
        index_t block = blockIdx.x;
        channel = static_cast<int>(next_tile(block, v.inner, v.chunk));
        row = static_cast<int>(next_tile(block, height, v.band));
        depth = static_cast<int>(next_coordinate(block, depths));
        outer = block;
        rows = static_cast<int>(height - row < v.band ? height - row : v.band);
        channels = static_cast<int>(v.inner - channel < v.chunk ? v.inner - channel : v.chunk);
    }
};

// Rows [row, row + rows) of a plane that is `width` wide, with some channels, into sX.
template <int THREADS>
__device__ __forceinline__ void load_plane(const scalar_t* plane, const Resize& v, int row,
                                           int rows, int width, int channels, scalar_t* sX) {
    plane += row * v.sh;
    const int count = rows * width * channels;
    for (int t = static_cast<int>(threadIdx.x) - sector_skew(plane); t < count; t += THREADS) {
        if (t < 0) continue;
        const unsigned pixel = static_cast<unsigned>(t) / static_cast<unsigned>(channels);
        const unsigned r = pixel / static_cast<unsigned>(width);
        const index_t at = r * v.sh + (pixel - r * width) * v.sw + (t - pixel * channels) * v.si;
        sX[t] = plane[at];
    }
}
