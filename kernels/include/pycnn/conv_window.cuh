// pycnn/conv_window.cuh: where the windows of a convolution lie, as copies by im2col maps need it.
#pragma once

#include <pycnn/kernel.cuh>

// Divides numbers below 2^31 by one that does not change: `divisor` of pycnn/plan/conv_wgmma.py.
struct Divisor {
    unsigned multiplier, shift;

    __device__ __forceinline__ int operator()(int n) const {
        return static_cast<int>(static_cast<unsigned long long>(n) * multiplier >> shift);
    }
};

struct Pixel {
    int n, p, q;
};

// Extents and steps in pixels of x, channels innermost; x is dy, and y is dx, where that is computed.
// Structs of kernels that only one architecture compiles stand apart from its instructions, so that
// a host's compiler reads them.
struct ConvWindow {
    index_t y_n, y_p, y_q;  // element strides
    int p, q;               // of y
    Divisor by_p, by_q;
    int stride_h, stride_w;
    int top, left;         // padding
    int first_h, first_w;  // from a window's corner to the first tap of the weight
    int step_h, step_w;    // and from there to the next
    int s, chunks;         // taps in a row, and copies that the channels of one tap take
    int per_split;         // copies that a tile sums up, if not all
    int x_group;           // channels of x from one group to the next
    int w_group, w_row;    // the same of the weight (or dy), and its filters

    // That of y with an index.
    __device__ __forceinline__ Pixel pixel(int index) const {
        const int line = by_q(index), n = by_p(line);
        return {n, line - n * p, index - line * q};
    }
};
