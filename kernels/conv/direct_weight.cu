// conv/direct_weight.cu: gradient of a convolution with respect to w, a block for a few taps.
//
// Computes   dw[k,c,r,s] = sum_{n,p,q} dy[n,k,p,q] x[n,c, p*stride_h - top + r*dilation_h, ...]
// Layout     dy (N,K,P,Q), x (N,C,H,W): any strides; dw (K,C/G,R,S) contiguous
// Launch     a block for every (k, c, r) and 4 taps of s; block 32 to 256 threads, which stride
//            over (n, p, q); grid K (C/G) R ceil(S/4); 256 bytes of shared memory in double
// Traffic    dy is read (C/G) R ceil(S/4) times and x K/G R times, through L2; 2 N K P Q (C/G) R S
//            flop
// Range      as direct.cu; padding of x is zeros that are multiplied. The sum is a tree of fixed
//            shape: deterministic
// Siblings   im2col turns it into a matrix product, which is faster where C/G R S and K/G are not
//            small; this one needs no workspace
// Source     the definition
//
// entry direct_backward_weight   gradient with respect to the filters
// variant SCALAR = float, double
#include <pycnn/conv.cuh>
#include <pycnn/reduce.cuh>

constexpr int THREADS = 256;
constexpr int TAPS = 4;  // of one filter row, which share the loads of dy; `TAPS` in the plan

extern "C" __global__ void __launch_bounds__(THREADS)
direct_backward_weight(const scalar* __restrict__ dy, const scalar* __restrict__ x,
                       scalar* __restrict__ dweight, ConvParams v) {
    __shared__ scalar partial[WARP];
    const unsigned parts = (v.s + TAPS - 1) / TAPS;
    unsigned block = blockIdx.x;
    const int s = block % parts * TAPS;
    block /= parts;
    const int r = block % v.r;
    block /= v.r;
    const int c = block % v.c, k = block / v.c;

    const scalar* const of_filter = dy + k * v.y_k;
    const scalar* const of_channel = x + (static_cast<index_t>(k / v.k) * v.c + c) * v.x_c;
    const int taps = v.s - s < TAPS ? v.s - s : TAPS;
    const index_t outputs = static_cast<index_t>(v.n) * v.p * v.q;
    scalar sum[TAPS] = {};
    Walk at(v, threadIdx.x, blockDim.x);
    for (index_t i = threadIdx.x; i < outputs; i += blockDim.x, at.advance(v)) {
        const scalar gradient = of_filter[at.n * v.y_n + at.p * v.y_p + at.q * v.y_q];
        const int h = at.p * v.stride_h - v.top + r * v.dilation_h;
        const int w = at.q * v.stride_w - v.left + s * v.dilation_w;
        const scalar* const row = of_channel + at.n * v.x_n + h * v.x_h;
        const bool row_exists = inside(h, v.h);
#pragma unroll
        for (int t = 0; t < TAPS; ++t) {
            const int w_t = w + t * v.dilation_w;
            const bool exists = t < taps && row_exists && inside(w_t, v.w);
            sum[t] += gradient * (exists ? row[w_t * v.x_w] : scalar(0));
        }
    }
    const index_t first = ((static_cast<index_t>(k) * v.c + c) * v.r + r) * v.s + s;
#pragma unroll
    for (int t = 0; t < TAPS; ++t) {
        if (t == taps) break;
        const scalar total = block_reduce(sum[t], Sum(), partial);
        if (threadIdx.x == 0) dweight[first + t] = total;
    }
}
