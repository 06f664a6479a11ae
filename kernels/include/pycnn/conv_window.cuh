// pycnn/conv_window.cuh: where the windows of a convolution lie, as copies by im2col maps need it.
#pragma once

// Extents and steps in pixels of x, channels innermost. Structs of kernels that only one
// architecture compiles stand apart from its instructions, so that a host's compiler reads them.
struct ConvWindow {
    int p, q;  // of y
    int stride_h, stride_w;
    int top, left;  // padding
    int dilation_h, dilation_w;
    int s, chunks;          // taps in a row, and copies that the channels of one tap take
    int channels, filters;  // of a group
};
