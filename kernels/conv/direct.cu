// conv/direct.cu: convolution and its gradient with respect to x, one thread an output.
//
// Computes   y[n,k,z,p,q] = epilogue(sum_{c,t,r,s} w[k,c,t,r,s] x[n,c, d(z,t), h(p,r), w(q,s)])
//            with h(p,r) = p*stride_h - top + r*dilation_h, d and w alike; beyond the edges of x
//            zero, or the element that reflection, the nearest edge or the period leads to
//            dx[n,c,d,h,w] = epilogue(sum over k and the (t,r,s,z,p,q) that touch (d,h,w) of
//            w[k,c,t,r,s] dy[n,k,z,p,q]), which is also the transposed convolution of dy
// Layout     x (N,C,D,H,W), w (K,C/G,T,R,S), bias, y (N,K,Z,P,Q): any strides; threads follow the
//            result in memory, channels first or last. D, T and Z are 1 with two spatial axes
// Launch     one thread an output; block 256; grid ceil(outputs / 256); no shared memory
// Traffic    |x| + |w| + |y| at best; two loads a multiplication, from L1 where neighbours share
//            them; 2 N K Z P Q (C/G) T R S flop
// Range      extents up to 2^31 - 2^16 with padding, 64-bit offsets. Zeros beyond x are
//            multiplied: an infinite weight over them gives NaN, as in im2col
// Siblings   direct_tiled reuses every load many times and is faster wherever a group has several
//            filters; depthwise keeps rows in registers where it has one; this one has no limits
// Source     the definition
//
// entry direct_forward           convolution, one thread an output, with an epilogue
// entry direct_backward_input    gradient with respect to x, gathered, with an epilogue
// variant SCALAR = floating
// variant FILTER = 0, 3
#include <pycnn/conv.cuh>
#include <pycnn/epilogue.cuh>

#ifndef FILTER
#define FILTER 0  // R and S where they are equal and known at compile time; 0: any
#endif

constexpr int THREADS = 256;

// Taps and what they meet, along lines: the first of one channel, and element strides.
struct Lines {
    const scalar_t* first;
    index_t channel, plane, row, col;
};

// Sum over taps of x w, channel by channel: short sums added up are more exact than one long one,
// and do not wait for each other.
template <int SIDE>
__device__ __forceinline__ acc_t correlate(Lines x, Lines w, int channels, int planes, int rows,
                                           int cols) {
    const int R = SIDE ? SIDE : rows, S = SIDE ? SIDE : cols;
    acc_t sum = 0;
#pragma unroll 1  // the taps are unrolled: more would spill
    for (int c = 0; c < channels; ++c) {
        acc_t of_channel = 0;
#pragma unroll 1
        for (int t = 0; t < planes; ++t) {
#pragma unroll(SIDE ? SIDE : 1)
            for (int r = 0; r < R; ++r) {
                const scalar_t* const x_row = x.first + t * x.plane + r * x.row;
                const scalar_t* const w_row = w.first + t * w.plane + r * w.row;
#pragma unroll(SIDE ? SIDE : 1)
                for (int s = 0; s < S; ++s)
                    of_channel += to_acc(x_row[s * x.col]) * to_acc(w_row[s * w.col]);
            }
        }
        sum += of_channel;
        x.first += x.channel;
        w.first += w.channel;
    }
    return sum;
}

// A window whose places are found once for all channels.
template <int SIDE>
struct Places {
    int at[SIDE];
    __device__ explicit Places(const Window& window) {
#pragma unroll
        for (int i = 0; i < SIDE; ++i) at[i] = window(i);
    }
    __device__ int operator()(int tap) const { return at[tap]; }
};

// The same sum where the window reaches beyond the edges; x.first is the corner of the image.
template <int SIDE, typename Side>
__device__ __forceinline__ acc_t correlate_beyond(Lines x, Lines w, const ConvParams& v,
                                                  const Window& planes, const Side& rows,
                                                  const Side& cols) {
    const int R = SIDE ? SIDE : v.r, S = SIDE ? SIDE : v.s;
    acc_t sum = 0;
#pragma unroll 1
    for (int c = 0; c < v.c; ++c) {
        acc_t of_channel = 0;
#pragma unroll 1
        for (int t = 0; t < v.t; ++t) {
            const int d = planes(t);
#pragma unroll(SIDE ? SIDE : 1)
            for (int r = 0; r < R; ++r) {
                const int h = rows(r);
                const scalar_t* const x_row = x.first + d * x.plane + h * x.row;
                const scalar_t* const w_row = w.first + t * w.plane + r * w.row;
#pragma unroll(SIDE ? SIDE : 1)
                for (int s = 0; s < S; ++s) {
                    const int at = cols(s);
                    const bool exists = (d | h | at) >= 0;
                    of_channel += (exists ? to_acc(x_row[at * x.col]) : acc_t(0)) *
                                  to_acc(w_row[s * w.col]);
                }
            }
        }
        sum += of_channel;
        x.first += x.channel;
        w.first += w.channel;
    }
    return sum;
}

extern "C" __global__ void __launch_bounds__(THREADS, 3)
direct_forward(const scalar_t* __restrict__ x, const scalar_t* __restrict__ weight,
               const scalar_t* __restrict__ bias, const scalar_t* __restrict__ scale,
               const scalar_t* __restrict__ shift, const scalar_t* __restrict__ residual,
               scalar_t* __restrict__ y, ConvParams v, EpilogueParams e) {
    const int filters = v.groups * v.k;
    const index_t i = flat_thread();
    if (i >= static_cast<index_t>(v.n) * filters * v.z * v.p * v.q) return;
    const Element at(i, filters, v.z, v.p, v.q, v.channels_last);
    const int group = at.c / v.k;
    const Window planes = window_d(v, at.d), rows = window_h(v, at.h), cols = window_w(v, at.w);

    const scalar_t* const image = x + at.n * v.x_n + static_cast<index_t>(group) * v.c * v.x_c;
    const Lines filter = {weight + group * v.w_g + at.c % v.k * v.w_k, v.w_c, v.w_t, v.w_r, v.w_s};
    const Lines whole = {image, v.x_c, v.x_d, v.x_h, v.x_w};
    acc_t sum;
    if (planes.lies_inside(v.t) && rows.lies_inside(v.r) && cols.lies_inside(v.s)) {
        const Lines met = {image + planes.first * v.x_d + rows.first * v.x_h + cols.first * v.x_w,
                           v.x_c, planes.step * v.x_d, rows.step * v.x_h, cols.step * v.x_w};
        sum = correlate<FILTER>(met, filter, v.c, v.t, v.r, v.s);
    } else if constexpr (FILTER > 0) {
        using Side = Places<FILTER ? FILTER : 1>;
        sum = correlate_beyond<FILTER>(whole, filter, v, planes, Side(rows), Side(cols));
    } else {
        sum = correlate_beyond<0>(whole, filter, v, planes, rows, cols);
    }
    const Epilogue finish{bias, scale, shift, residual, e};
    const index_t beside = at.n * e.residual_n + at.c * e.residual_k + at.d * e.residual_z +
                           at.h * e.residual_p + at.w * e.residual_q;
    y[at.n * v.y_n + at.c * v.y_k + at.d * v.y_z + at.h * v.y_p + at.w * v.y_q] =
        from_acc(finish(sum, at.c, beside));
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
direct_backward_input(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ weight,
                      const scalar_t* __restrict__ bias, const scalar_t* __restrict__ scale,
                      const scalar_t* __restrict__ shift, const scalar_t* __restrict__ residual,
                      scalar_t* __restrict__ dx, ConvParams v, EpilogueParams e) {
    const int channels = v.groups * v.c;
    const index_t i = flat_thread();
    if (i >= static_cast<index_t>(v.n) * channels * v.d * v.h * v.w) return;
    const Element at(i, channels, v.d, v.h, v.w, v.channels_last);
    const int group = at.c / v.c;

    const scalar_t* const image = dy + at.n * v.y_n + static_cast<index_t>(group) * v.k * v.y_k;
    const scalar_t* const filter = weight + group * v.w_g + at.c % v.c * v.w_c;
    acc_t sum = 0;
    const Copies in_d = copies_d(v, at.d), in_h = copies_h(v, at.h), in_w = copies_w(v, at.w);
#pragma unroll 1
    for (int d = in_d.first(); d <= in_d.highest; d = in_d.after(d)) {
        const Reach planes = reach_d(v, d);
#pragma unroll 1
        for (int h = in_h.first(); h <= in_h.highest; h = in_h.after(h)) {
            const Reach rows = reach_h(v, h);
#pragma unroll 1
            for (int w = in_w.first(); w <= in_w.highest; w = in_w.after(w)) {
                const Reach cols = reach_w(v, w);
                const Lines outputs = {
                    image + planes.out * v.y_z + rows.out * v.y_p + cols.out * v.y_q, v.y_k,
                    -v.out_step_d * v.y_z, -v.out_step_h * v.y_p, -v.out_step_w * v.y_q};
                const Lines taps = {
                    filter + planes.tap * v.w_t + rows.tap * v.w_r + cols.tap * v.w_s, v.w_k,
                    v.tap_step_d * v.w_t, v.tap_step_h * v.w_r, v.tap_step_w * v.w_s};
                if (FILTER && rows.count == FILTER && cols.count == FILTER)
                    sum += correlate<FILTER>(outputs, taps, v.k, planes.count, FILTER, FILTER);
                else
                    sum += correlate<0>(outputs, taps, v.k, planes.count, rows.count, cols.count);
            }
        }
    }
    const Epilogue finish{bias, scale, shift, residual, e};
    const index_t beside = at.n * e.residual_n + at.c * e.residual_k + at.d * e.residual_z +
                           at.h * e.residual_p + at.w * e.residual_q;
    dx[at.n * v.x_n + at.c * v.x_c + at.d * v.x_d + at.h * v.x_h + at.w * v.x_w] =
        from_acc(finish(sum, at.c, beside));
}
