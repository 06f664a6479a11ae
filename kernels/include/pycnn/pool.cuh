// pycnn/pool.cuh: the geometry of pooling, forward and backward alike.
#pragma once

// pycnn.plan.pool.PARAMS. The first operand is what is read under the windows or gathered from
// (x forward, dy backward); the second is the indices of max pooling's backward.
struct Pool {
    index_t count;  // elements of the result
    index_t C, H, W, P, Q, R, S;
    index_t stride_h, stride_w, dilation_h, dilation_w;
    index_t top, bottom, left, right;         // padding
    index_t n, c, h, w;                       // strides of the first operand
    index_t other_n, other_c, other_h, other_w;
    index_t count_include_pad, divisor;       // divisor 0: the elements are counted
};

struct Position {
    index_t n, c, h, w;
};

// Where the element with row-major number `index` stands in an array (N, C, rows, cols).
__device__ __forceinline__ Position position(index_t index, index_t C, index_t rows, index_t cols) {
    const index_t line = index / cols, plane = line / rows, image = plane / C;
    return {image, plane - image * C, line - plane * rows, index - line * cols};
}

// The windows along one axis that can reach element `at`: from first up to, not including, last.
struct Range {
    index_t first, last;
};

__device__ __forceinline__ Range windows_over(index_t at, index_t pad, index_t taps,
                                              index_t dilation, index_t stride, index_t windows) {
    const index_t padded = at + pad, before = padded - (taps - 1) * dilation;
    const index_t last = padded / stride + 1;
    return {before > 0 ? (before + stride - 1) / stride : 0, last < windows ? last : windows};
}
