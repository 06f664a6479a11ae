// conv/direct_weight.cu: gradient of a convolution with respect to w, a block for a few taps.
//
// Computes   dw[k,c,t,r,s] = sum_{n,z,p,q} dy[n,k,z,p,q] x[n,c, d(z,t), h(p,r), w(q,s)]
//            with h(p,r) = p*stride_h - top + r*dilation_h, d and w alike; beyond the edges of x
//            zero, or the element that reflection, the nearest edge or the period leads to
// Layout     dy (N,K,Z,P,Q), x (N,C,D,H,W): any strides; dw (K,C/G,T,R,S) contiguous
// Launch     a block for every (k, c, t, r) and 4 taps of s; block 32 to 256 threads, which stride
//            over (n, z, p, q); grid K (C/G) T R ceil(S/4); 256 bytes of shared memory in double
// Traffic    dy is read (C/G) T R ceil(S/4) times and x K/G T R times, through L2;
//            2 N K Z P Q (C/G) T R S flop
// Range      as direct.cu; zeros beyond x are multiplied. The sum is a tree of fixed shape:
//            deterministic
// Siblings   im2col turns it into a matrix product, which is faster where C/G R S and K/G are not
//            small; this one needs no workspace
// Source     the definition
//
// entry direct_backward_weight   gradient with respect to the filters
// variant SCALAR = floating
#include <pycnn/conv.cuh>
#include <pycnn/reduce.cuh>

constexpr int THREADS = 256;
constexpr int TAPS = 4;  // of one filter row, which share the loads of dy; `TAPS` in the plan

extern "C" __global__ void __launch_bounds__(THREADS, 1)
direct_backward_weight(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
                       scalar_t* __restrict__ dweight, ConvParams v) {
    __shared__ acc_t partial[WARP];
    unsigned block = blockIdx.x;
    const int s = next_tile(block, v.s, TAPS);
    const int r = next_coordinate(block, v.r), t = next_coordinate(block, v.t);
    const int c = next_coordinate(block, v.c), k = block;

    const scalar_t* const of_filter = dy + k * v.y_k;
    const scalar_t* const of_channel = x + (static_cast<index_t>(k / v.k) * v.c + c) * v.x_c;
    const int taps = v.s - s < TAPS ? v.s - s : TAPS;
    const index_t outputs = static_cast<index_t>(v.n) * v.z * v.p * v.q;
    acc_t sum[TAPS] = {};
    OutputIterator at(v, threadIdx.x, blockDim.x);
    for (index_t i = threadIdx.x; i < outputs; i += blockDim.x, at.advance(v)) {
        const acc_t gradient = to_acc(of_filter[at.offset(v)]);
        const int d = window_d(v, at.z)(t), h = window_h(v, at.p)(r);
        const Window cols = window_w(v, at.q);
        const scalar_t* const row = of_channel + at.n * v.x_n + d * v.x_d + h * v.x_h;
#pragma unroll
        for (int i = 0; i < TAPS; ++i) {
            const int w = i < taps ? cols(s + i) : -1;
            const bool exists = (d | h | w) >= 0;
            sum[i] += gradient * (exists ? to_acc(row[w * v.x_w]) : acc_t(0));
        }
    }
    const index_t first = (((static_cast<index_t>(k) * v.c + c) * v.t + t) * v.r + r) * v.s + s;
#pragma unroll
    for (int i = 0; i < TAPS; ++i) {
        if (i == taps) break;
        const acc_t total = block_reduce(sum[i], Sum(), partial);
        if (threadIdx.x == 0) dweight[first + i] = from_acc(total);
    }
}
