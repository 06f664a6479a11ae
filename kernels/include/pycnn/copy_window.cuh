// pycnn/copy_window.cuh: sliding windows over the planes of (N, C, H, W), as unfold and fold see
// them.
#pragma once

struct Windows {
    index_t N, C, H, W, P, Q, R, S;
    index_t stride_h, stride_w, top, left, dilation_h, dilation_w;
    index_t band;               // of unfold: rows of P that a block takes
    index_t n, c, h, w;         // strides of x; of fold: n, window element, -, pixel
};

// Quotients of a divisor > 0, rounded to the lower integer.
__device__ __forceinline__ index_t floor_div(index_t a, index_t b) {
    return a >= 0 ? a / b : -((b - 1 - a) / b);
}
