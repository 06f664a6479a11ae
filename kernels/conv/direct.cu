// conv/direct.cu: convolution and its gradient with respect to x, one thread an output.
//
// Computes   y[n,k,p,q]  = bias[k] + sum_{c,r,s} w[k,c,r,s] x[n,c, h(p,r), w(q,s)]
//            with h(p,r) = p*stride_h - top + r*dilation_h, w(q,s) alike
//            dx[n,c,h,w] = sum over k and the (r,s,p,q) that touch (h,w) of w[k,c,r,s] dy[n,k,p,q]
// Layout     x (N,C,H,W), w (K,C/G,R,S), bias, y (N,K,P,Q): any strides
// Launch     one thread an output; block 256; grid ceil(outputs / 256); no shared memory
// Traffic    |x| + |w| + |y| at best; two loads a multiplication, from L1 where neighbours share
//            them; 2 N K P Q (C/G) R S flop
// Range      extents up to 2^31 - 2^16 with padding, 64-bit offsets. Padding of x is zeros that are
//            multiplied: an infinite weight over it gives NaN, as in im2col
// Siblings   direct_tiled reuses every load many times and is faster wherever a group has several
//            filters; this one has no idle threads when it has one (depthwise), and no limits
// Source     the definition
//
// entry direct_forward           convolution, one thread an output, optionally with a bias
// entry direct_backward_input    gradient with respect to x, gathered, deterministic
// variant SCALAR = float, double
// variant FILTER = 0, 3
#include <pycnn/conv.cuh>

#ifndef FILTER
#define FILTER 0  // R and S where they are equal and known at compile time; 0: any
#endif

constexpr int THREADS = 256;

// An image channel, or a filter of one channel.
struct Plane {
    const scalar* first;
    index_t row, col;  // element strides
};

// Which taps of the window that starts at (h, w) lie in the image.
struct InImage {
    const ConvParams& v;
    int h, w;
    __device__ bool operator()(int r, int s) const {
        return inside(h + r * v.dilation_h, v.h) && inside(w + s * v.dilation_w, v.w);
    }
};

// The same as one bit a tap, found once for all channels.
template <int SIDE>
struct TapBits {
    unsigned bits = 0;
    __device__ explicit TapBits(InImage in_image) {
        for (int i = 0; i < SIDE * SIDE; ++i) bits |= in_image(i / SIDE, i % SIDE) << i;
    }
    __device__ bool operator()(int r, int s) const { return bits >> (r * SIDE + s) & 1; }
};

struct AllTaps {
    __device__ bool operator()(int, int) const { return true; }
};

// Sum over taps of x w, channel by channel: short sums added up are more exact than one long one,
// and do not wait for each other. `used(r, s)` tells whether a tap of x exists; if not it is zero.
template <int SIDE, typename Used>
__device__ __forceinline__ scalar correlate(Plane x, Plane w, index_t x_step, index_t w_step,
                                            int channels, int rows, int cols, Used used) {
    const int R = SIDE ? SIDE : rows, S = SIDE ? SIDE : cols;
    scalar sum = 0;
#pragma unroll 1  // the taps are unrolled: more would spill
    for (int c = 0; c < channels; ++c) {
        scalar of_channel = 0;
#pragma unroll(SIDE ? SIDE : 1)
        for (int r = 0; r < R; ++r) {
            const scalar* const x_row = x.first + r * x.row;
            const scalar* const w_row = w.first + r * w.row;
#pragma unroll(SIDE ? SIDE : 1)
            for (int s = 0; s < S; ++s)
                of_channel += (used(r, s) ? x_row[s * x.col] : scalar(0)) * w_row[s * w.col];
        }
        sum += of_channel;
        x.first += x_step;
        w.first += w_step;
    }
    return sum;
}

extern "C" __global__ void __launch_bounds__(THREADS, 3)
direct_forward(const scalar* __restrict__ x, const scalar* __restrict__ weight,
               const scalar* __restrict__ bias, scalar* __restrict__ y, ConvParams v) {
    const index_t filters = static_cast<index_t>(v.groups) * v.k;
    index_t i = flat_thread();
    if (i >= v.n * filters * v.p * v.q) return;
    const int q = i % v.q;
    i /= v.q;
    const int p = i % v.p;
    i /= v.p;
    const int k = i % filters, n = i / filters;
    const int group = k / v.k;
    const int h = p * v.stride_h - v.top, w = q * v.stride_w - v.left;  // of tap (0, 0)

    const index_t first_c = static_cast<index_t>(group) * v.c;
    const scalar* const corner = x + n * v.x_n + first_c * v.x_c + h * v.x_h + w * v.x_w;
    const Plane window = {corner, v.dilation_h * v.x_h, v.dilation_w * v.x_w};
    const Plane filter = {weight + group * v.w_g + k % v.k * v.w_k, v.w_r, v.w_s};

    const bool whole = h >= 0 && h + (v.r - 1) * v.dilation_h < v.h &&  // no tap in the padding
                       w >= 0 && w + (v.s - 1) * v.dilation_w < v.w;
    const InImage in_image{v, h, w};
    const auto over = [&](auto used) {
        return correlate<FILTER>(window, filter, v.x_c, v.w_c, v.c, v.r, v.s, used);
    };
    scalar sum;
    if (whole)
        sum = over(AllTaps());
    else if constexpr (FILTER > 0)
        sum = over(TapBits<FILTER>(in_image));
    else
        sum = over(in_image);
    if (bias) sum += bias[k * v.bias_k];
    y[n * v.y_n + k * v.y_k + p * v.y_p + q * v.y_q] = sum;
}

extern "C" __global__ void __launch_bounds__(THREADS, 3)
direct_backward_input(const scalar* __restrict__ dy, const scalar* __restrict__ weight,
                      scalar* __restrict__ dx, ConvParams v) {
    const index_t channels = static_cast<index_t>(v.groups) * v.c;
    index_t i = flat_thread();
    if (i >= v.n * channels * v.h * v.w) return;
    const int w = i % v.w;
    i /= v.w;
    const int h = i % v.h;
    i /= v.h;
    const int c = i % channels, n = i / channels;
    const int group = c / v.c;

    const Reach rows = reach_h(v, h), cols = reach_w(v, w);
    const index_t first_k = static_cast<index_t>(group) * v.k;
    const Plane outputs = {dy + n * v.y_n + first_k * v.y_k + rows.out * v.y_p + cols.out * v.y_q,
                           -v.out_step_h * v.y_p, -v.out_step_w * v.y_q};
    const Plane taps = {weight + group * v.w_g + c % v.c * v.w_c + rows.tap * v.w_r +
                            cols.tap * v.w_s,
                        v.tap_step_h * v.w_r, v.tap_step_w * v.w_s};
    scalar sum;
    if (FILTER && rows.count == FILTER && cols.count == FILTER)
        sum = correlate<FILTER>(outputs, taps, v.y_k, v.w_k, v.k, FILTER, FILTER, AllTaps());
    else
        sum = correlate<0>(outputs, taps, v.y_k, v.w_k, v.k, rows.count, cols.count, AllTaps());
    dx[n * v.x_n + c * v.x_c + h * v.x_h + w * v.x_w] = sum;
}
