// pycnn/resize.cuh: which elements of x an element of a resized y is made from, and the inverse.
// TAPS: elements along an axis, 1 for nearest, 2 for linear.
#pragma once

#ifndef TAPS
#define TAPS 2
#endif

#include <pycnn/block.cuh>
#include <pycnn/narrow.cuh>

enum Rounding { FLOOR, CEIL, PREFER_FLOOR, PREFER_CEIL };

struct Tap {
    int lower;     // the element; with the one behind it,
    acc_t weight;  // whose weight this is; negative: without it

    __device__ __forceinline__ bool single() const { return TAPS == 1 || weight < 0; }
    __device__ __forceinline__ int upper() const { return lower + !single(); }
    __device__ __forceinline__ bool reaches(int i) const { return i == lower || i == upper(); }

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
        const int last = static_cast<int>(extent_x) - 1;
        if (last == 0) return {0, -1};
        const double at = (o + shift) * numerator / denominator + offset;
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

    // Among these are all elements of y that are made from elements [begin, end) of x.
    __device__ __forceinline__ Range window(index_t begin, index_t end) const {
        const double count = static_cast<double>(extent_y), each = denominator / numerator;
        double first = 0, last = count;
        if (numerator > 0) {
            if (begin > 0) first = (begin - 1 - offset) * each - shift - 2;
            if (end < extent_x) last = (end - offset) * each - shift + 3;
        }
        return {static_cast<int>(first < 0 ? 0 : first < count ? first : count),
                static_cast<int>(last < 0 ? 0 : last < count ? last : count)};
    }
};

struct Resize {
    ResizeAxis d, h, w;
    index_t outer, channels;          // images times channels, and channels among them
    index_t inner;                    // channels that are neighbours in memory: NHWC
    index_t band, strips;             // rows of the result of a thread, or of a tile; how often
    index_t staged, turns;            // of tiles: columns that half the planes have; how often a block
    index_t walk, lanes, inverse;     // rows of a thread; threads side by side, 2^16 divided by them
    index_t second;                   // whether the first half of these has every second column
    index_t n, c, sd, sh, sw, si;     // strides of what is read

    __device__ __forceinline__ index_t image(index_t o) const {
        return o / channels * n + o % channels * c;
    }
};

constexpr int RESIZE_THREADS = 256;
constexpr int RESIZE_TABLE = 1024;  // columns of y whose taps a block keeps in shared memory
constexpr int RESIZE_LANES = 16 / sizeof(scalar_t);

// Taps of elements [first, last) of an axis, by all threads of the block.
__device__ __forceinline__ void fill_taps(Tap* table, const ResizeAxis& axis, int first, int last) {
    for (int o = first + static_cast<int>(threadIdx.x); o < last; o += RESIZE_THREADS)
        table[o - first] = axis.tap(o);
}

// Of elements [begin, begin + count) of x the first of `many` taps that reaches each, and the one behind
// the last: both ends of a tap never go back. By all threads of the block.
template <int THREADS>
__device__ __forceinline__ void fill_reach(const Tap* taps, int many, int begin, int count, int* first,
                                           int* last) {
    for (int o = static_cast<int>(threadIdx.x); o <= many; o += THREADS) {
        int i = o ? taps[o - 1].upper() + 1 - begin : 0, j = o ? taps[o - 1].lower - begin : 0;
        const int upper = o < many ? taps[o].upper() - begin : count;
        const int lower = o < many ? taps[o].lower - begin : count;
        for (i = i > 0 ? i : 0; i <= upper && i < count; ++i) first[i] = o;
        for (j = j > 0 ? j : 0; j < lower && j < count; ++j) last[j] = o;
    }
}

template <bool LARGE>
struct NumberOf {
    using type = unsigned;
};
template <>
struct NumberOf<true> {
    using type = index_t;
};
template <bool LARGE>
using Number = typename NumberOf<LARGE>::type;

// What a thread works on: PIXELS columns from q on, of LANES channels from `channel` on, of rows
// [row, row + rows) of the result. All threads of a block have the same rows. Index: what counts
// threads.
template <int PIXELS, int LANES, typename Index>
struct Strip {
    index_t outer, image, channel = 0;
    int depth = 0, row, rows, q;
    bool there;

    __device__ __forceinline__ Strip(const Resize& v, index_t depths, index_t height,
                                     index_t width) {
        constexpr bool ANY = sizeof(Index) > 4;
        unsigned block = blockIdx.x;
        row = next_coordinate(block, static_cast<unsigned>(v.strips)) * static_cast<int>(v.band);
        rows = static_cast<int>(height - row < v.band ? height - row : v.band);
        if (ANY) depth = next_coordinate(block, static_cast<unsigned>(depths));
        Index number = static_cast<Index>(block) * RESIZE_THREADS + threadIdx.x;
        if (ANY || LANES > 1)
            channel = next_coordinate(number, static_cast<Index>(v.inner) / LANES) * LANES;
        q = static_cast<int>(next_coordinate(number, static_cast<Index>(width) / PIXELS) * PIXELS);
        there = number < static_cast<Index>(v.outer);
        outer = number;
        image = next_coordinate(number, static_cast<Index>(v.channels)) * v.c;
        image += number * v.n + channel * v.si;
    }
};

template <int LANES>
__device__ __forceinline__ void numbers(const Block<scalar_t, LANES>& block,
                                        acc_t (&value)[LANES]) {
    if constexpr (LANES > 1)
        unpack(block.at, value);
    else
        value[0] = to_acc(block.at[0]);
}
