// conv/im2col.cu: windows of x as the columns of a matrix, and the sum back from it.
//
// Computes   columns[n, (c,r,s), (p,q)] = x[n, c, h(p,r), w(q,s)], 0 in padding,
//            with h(p,r) = p*stride_h - top + r*dilation_h, w(q,s) alike
//            dx[n,c,h,w] = sum over the (r,s,p,q) that touch (h,w) of columns[n, (c,r,s), (p,q)]
// Layout     x (N,C,H,W) any strides; dx and columns (N, C R S, P Q) contiguous. With a 1x1 filter
//            it is a copy to contiguous, which the plan uses for weights and dy of odd strides
// Launch     one thread an (n,c,p,q), or an element of dx; block 256; grid ceil(threads / 256)
// Traffic    |x| + |columns|, |columns| = N C R S P Q elements; no multiplication
// Range      any extents; 64-bit index arithmetic; col2im gathers: deterministic
// Siblings   direct and direct_tiled read x in place and need no columns
// Source     K. Chellapilla, S. Puri, P. Simard, "High performance convolutional neural networks
//            for document processing", 2006, section 3.1
//
// entry im2col                   columns of x, one for each output pixel
// entry col2im                   gradient with respect to x, gathered from its columns
// variant SCALAR = float, double
#include <pycnn/conv.cuh>

constexpr int THREADS = 256;

extern "C" __global__ void __launch_bounds__(THREADS)
im2col(const scalar* __restrict__ x, scalar* __restrict__ columns, ConvParams v) {
    const index_t channels = static_cast<index_t>(v.groups) * v.c;
    const index_t plane = static_cast<index_t>(v.p) * v.q;
    index_t i = flat_thread();
    if (i >= v.n * channels * plane) return;
    const int q = i % v.q;
    i /= v.q;
    const int p = i % v.p;
    i /= v.p;  // n * channels + c
    const scalar* const image = x + i / channels * v.x_n + i % channels * v.x_c;
    scalar* to = columns + i * v.r * v.s * plane + static_cast<index_t>(p) * v.q + q;
    for (int r = 0; r < v.r; ++r) {
        const int h = p * v.stride_h - v.top + r * v.dilation_h;
        for (int s = 0; s < v.s; ++s, to += plane) {
            const int w = q * v.stride_w - v.left + s * v.dilation_w;
            const bool exists = inside(h, v.h) && inside(w, v.w);
            *to = exists ? image[h * v.x_h + w * v.x_w] : scalar(0);
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
col2im(const scalar* __restrict__ columns, scalar* __restrict__ dx, ConvParams v) {
    const index_t plane = static_cast<index_t>(v.p) * v.q;
    const index_t flat = flat_thread();
    index_t i = flat;
    if (i >= static_cast<index_t>(v.n) * v.groups * v.c * v.h * v.w) return;
    const int w = i % v.w;
    i /= v.w;
    const int h = i % v.h;
    i /= v.h;  // n * channels + c
    const Reach rows = reach_h(v, h), cols = reach_w(v, w);
    scalar sum = 0;
    for (int a = 0; a < rows.count; ++a) {
        const index_t row_of_taps = (i * v.r + rows.tap + a * v.tap_step_h) * v.s;
        const index_t row_of_outputs = static_cast<index_t>(rows.out - a * v.out_step_h) * v.q;
        for (int b = 0; b < cols.count; ++b)
            sum += columns[(row_of_taps + cols.tap + b * v.tap_step_w) * plane + row_of_outputs +
                           cols.out - b * v.out_step_w];
    }
    dx[flat] = sum;
}
