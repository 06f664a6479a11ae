// pool/avg_pool2d.cu: mean over sliding windows, and its gradient as a gather.
//
// Computes   y[n,c,p,q] = 1/d(p,q) sum_{r,s} x[n, c, p*stride_h - top + r, q*stride_w - left + s],
//            padding as 0; dx[n,c,h,w] = sum of dy[n,c,p,q] / d(p,q) over the windows on (h,w)
// Layout     x, dy any strides; results contiguous
// Launch     one thread an element of the result; block 256; no shared memory
// Traffic    |x| + |y|, backward |dy| + |dx| bytes at best: overlapping windows read again, from
//            the caches; N*C*P*Q*R*S additions, backward N*C*H*W * ceil(R/stride_h) *
//            ceil(S/stride_w) with a division each
// Range      any extents, 64-bit index arithmetic. The divisor d counts the elements of x, with
//            count_include_pad those of the padding too, but never what ceil mode lets hang over
//            beyond it; a given divisor replaces it
// Siblings   max_pool2d.cu
// Source     LeCun et al.: Gradient-based learning applied to document recognition, 1998
//
// entry avg_pool2d           mean of every window
// entry avg_pool2d_backward  gradient with respect to x, gathered, deterministic
// variant SCALAR = float, double
#include <pycnn/kernel.cuh>
#include <pycnn/pool.cuh>

// Elements along one axis that the divisor counts.
__device__ __forceinline__ index_t counted(index_t start, index_t taps, index_t extent,
                                           index_t pad_after, bool include_pad) {
    const index_t limit = include_pad ? extent + pad_after : extent;
    const index_t stop = start + taps < limit ? start + taps : limit;
    return stop - (include_pad || start > 0 ? start : 0);
}

// What the sum of window (i, j) is divided by.
__device__ __forceinline__ scalar divisor(index_t i, index_t j, const Pool& p) {
    if (p.divisor) return static_cast<scalar>(p.divisor);
    const bool pad = p.count_include_pad;
    return static_cast<scalar>(counted(i * p.stride_h - p.top, p.R, p.H, p.bottom, pad) *
                               counted(j * p.stride_w - p.left, p.S, p.W, p.right, pad));
}

extern "C" __global__ void __launch_bounds__(256, 1)
    avg_pool2d(const scalar* __restrict__ x, scalar* __restrict__ y, Pool p) {
    const index_t out = flat_thread();
    if (out >= p.count) return;
    const Position at = position(out, p.C, p.P, p.Q);
    const scalar* plane = x + at.n * p.n + at.c * p.c;
    const index_t h0 = at.h * p.stride_h - p.top, w0 = at.w * p.stride_w - p.left;

    scalar sum = 0;
    for (index_t r = 0; r < p.R; ++r) {
        const index_t h = h0 + r;
        if (h < 0 || h >= p.H) continue;
        for (index_t s = 0; s < p.S; ++s) {
            const index_t w = w0 + s;
            if (w >= 0 && w < p.W) sum += __ldg(plane + h * p.h + w * p.w);
        }
    }
    y[out] = sum / divisor(at.h, at.w, p);
}

extern "C" __global__ void __launch_bounds__(256, 1)
    avg_pool2d_backward(const scalar* __restrict__ dy, scalar* __restrict__ dx, Pool p) {
    const index_t in = flat_thread();
    if (in >= p.count) return;
    const Position at = position(in, p.C, p.H, p.W);
    const Range rows = windows_over(at.h, p.top, p.R, 1, p.stride_h, p.P);
    const Range cols = windows_over(at.w, p.left, p.S, 1, p.stride_w, p.Q);
    const scalar* plane = dy + at.n * p.n + at.c * p.c;

    scalar sum = 0;
    for (index_t i = rows.first; i < rows.last; ++i)
#pragma unroll 1  // the divisions would be unrolled with it, at the price of half the occupancy
        for (index_t j = cols.first; j < cols.last; ++j)
            sum += __ldg(plane + i * p.h + j * p.w) / divisor(i, j, p);
    dx[in] = sum;
}
