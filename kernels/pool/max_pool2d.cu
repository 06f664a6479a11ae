// pool/max_pool2d.cu: maximum over sliding windows, and its gradient as a gather.
//
// Computes   y[n,c,p,q] = max_{r,s} x[n, c, p*stride_h - top + r*dilation_h,
//                                           q*stride_w - left + s*dilation_w], padding as -inf;
//            dx[n,c,h,w] = sum of dy[n,c,p,q] over the windows whose index is h*W + w
// Layout     x, dy and the indices given to backward: any strides; results contiguous
// Launch     one thread an element of the result; block 256; no shared memory
// Traffic    |x| + |y| (+ |indices|), backward |dy| + |indices| + |dx| bytes at best: overlapping
//            windows read again, from the caches; N*C*P*Q*R*S comparisons, backward at most
//            N*C*H*W * ceil(R*dilation_h/stride_h) * ceil(S*dilation_w/stride_w)
// Range      any extents, 64-bit index arithmetic. As in PyTorch the index is that of the first
//            maximum in row-major order, or of the last NaN. A window without any element of x
//            (dilation can step over it) gives -inf and index -1
// Siblings   avg_pool2d.cu. A scatter of dy would do less work where windows do not overlap, but
//            wants atomics where they do, and with them a sum in no fixed order
// Source     Ranzato et al.: Unsupervised learning of invariant feature hierarchies, 2007
//
// entry max_pool2d           maximum of every window, optionally with its index
// entry max_pool2d_backward  gradient with respect to x, gathered, deterministic
// variant SCALAR = float, double
#include <pycnn/kernel.cuh>
#include <pycnn/pool.cuh>

extern "C" __global__ void __launch_bounds__(256, 1)
    max_pool2d(const scalar* __restrict__ x, scalar* __restrict__ y,
               index_t* __restrict__ indices, Pool p) {
    const index_t out = flat_thread();
    if (out >= p.count) return;
    const Position at = position(out, p.C, p.P, p.Q);
    const scalar* plane = x + at.n * p.n + at.c * p.c;
    const index_t h0 = at.h * p.stride_h - p.top, w0 = at.w * p.stride_w - p.left;

    scalar best = -limits<scalar>::infinity();
    index_t best_at = -1;
    for (index_t r = 0; r < p.R; ++r) {
        const index_t h = h0 + r * p.dilation_h;
        if (h < 0 || h >= p.H) continue;
        for (index_t s = 0; s < p.S; ++s) {
            const index_t w = w0 + s * p.dilation_w;
            if (w < 0 || w >= p.W) continue;
            const scalar value = __ldg(plane + h * p.h + w * p.w);
            if (value > best || value != value || best_at < 0) {
                best = value;
                best_at = h * p.W + w;
            }
        }
    }
    y[out] = best;
    if (indices) indices[out] = best_at;
}

extern "C" __global__ void __launch_bounds__(256, 1)
    max_pool2d_backward(const scalar* __restrict__ dy, const index_t* __restrict__ indices,
                        scalar* __restrict__ dx, Pool p) {
    const index_t in = flat_thread();
    if (in >= p.count) return;
    const Position at = position(in, p.C, p.H, p.W);
    const Range rows = windows_over(at.h, p.top, p.R, p.dilation_h, p.stride_h, p.P);
    const Range cols = windows_over(at.w, p.left, p.S, p.dilation_w, p.stride_w, p.Q);
    const scalar* dy_plane = dy + at.n * p.n + at.c * p.c;
    const index_t* index_plane = indices + at.n * p.other_n + at.c * p.other_c;
    const index_t mine = at.h * p.W + at.w;

    scalar sum = 0;
    for (index_t i = rows.first; i < rows.last; ++i)
#pragma unroll 1  // few windows meet here: more threads help more than more loads of each
        for (index_t j = cols.first; j < cols.last; ++j)
            if (__ldg(index_plane + i * p.other_h + j * p.other_w) == mine)
                sum += __ldg(dy_plane + i * p.h + j * p.w);
    dx[in] = sum;
}
