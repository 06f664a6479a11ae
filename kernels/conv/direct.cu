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
// variant KSIZE = 0, 3
#include <pycnn/conv.cuh>
#include <pycnn/epilogue.cuh>

#ifndef KSIZE
#define KSIZE 0  // R and S where they are equal and known at compile time; 0: any
#endif

constexpr int THREADS = 256;

// Taps, or the elements under them: the first one of a channel, and element strides.
struct StridedView {
    const scalar_t* first;
    index_t channel, plane, row, col;
};

// Sum over taps of x w, channel by channel: short sums added up are more exact than one long one,
// and do not wait for each other.
template <int SIZE>
__device__ __forceinline__ acc_t correlate(StridedView x, StridedView w, int channels, int planes,
                                           int rows, int cols) {
    const int R = SIZE ? SIZE : rows, S = SIZE ? SIZE : cols;
    acc_t sum = 0;
#pragma unroll 1  // the taps are unrolled: more would spill
    for (int c = 0; c < channels; ++c) {
        acc_t of_channel = 0;
#pragma unroll 1
        for (int t = 0; t < planes; ++t) {
#pragma unroll(SIZE ? SIZE : 1)
            for (int r = 0; r < R; ++r) {
                const scalar_t* const x_row = x.first + t * x.plane + r * x.row;
                const scalar_t* const w_row = w.first + t * w.plane + r * w.row;
#pragma unroll(SIZE ? SIZE : 1)
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

// A window whose elements are looked up once for all channels.
template <int SIZE>
struct IndexTable {
    int at[SIZE];
    __device__ explicit IndexTable(const Window& window) {
#pragma unroll
        for (int i = 0; i < SIZE; ++i) at[i] = window(i);
    }
    __device__ int operator()(int tap) const { return at[tap]; }
};

// The same sum where the window reaches beyond the edges; x.first is element 0 of the image.
template <int SIZE, typename Indices>
__device__ __forceinline__ acc_t correlate_beyond(StridedView x, StridedView w, const ConvParams& v,
                                                  const Window& planes, const Indices& rows,
                                                  const Indices& cols) {
    const int R = SIZE ? SIZE : v.r, S = SIZE ? SIZE : v.s;
    acc_t sum = 0;
#pragma unroll 1
    for (int c = 0; c < v.c; ++c) {
        acc_t of_channel = 0;
#pragma unroll 1
        for (int t = 0; t < v.t; ++t) {
            const int d = planes(t);
#pragma unroll(SIZE ? SIZE : 1)
            for (int r = 0; r < R; ++r) {
                const int h = rows(r);
                const scalar_t* const x_row = x.first + d * x.plane + h * x.row;
                const scalar_t* const w_row = w.first + t * w.plane + r * w.row;
#pragma unroll(SIZE ? SIZE : 1)
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
    const ElementCoord at(i, filters, v.z, v.p, v.q, v.channels_last);
    const int group = at.c / v.k;
    const Window planes = window_d(v, at.d), rows = window_h(v, at.h), cols = window_w(v, at.w);

    const scalar_t* const image = x + at.n * v.x_n + static_cast<index_t>(group) * v.c * v.x_c;
    const StridedView filter = {weight + group * v.w_g + at.c % v.k * v.w_k, v.w_c, v.w_t, v.w_r,
                                v.w_s};
    const StridedView image_view = {image, v.x_c, v.x_d, v.x_h, v.x_w};
    acc_t sum;
    if (planes.lies_inside(v.t) && rows.lies_inside(v.r) && cols.lies_inside(v.s)) {
        const StridedView view = {
            image + planes.first * v.x_d + rows.first * v.x_h + cols.first * v.x_w,
            v.x_c, planes.step * v.x_d, rows.step * v.x_h, cols.step * v.x_w};
        sum = correlate<KSIZE>(view, filter, v.c, v.t, v.r, v.s);
    } else if constexpr (KSIZE > 0) {
        using Indices = IndexTable<KSIZE ? KSIZE : 1>;
        sum = correlate_beyond<KSIZE>(image_view, filter, v, planes, Indices(rows), Indices(cols));
    } else {
        sum = correlate_beyond<0>(image_view, filter, v, planes, rows, cols);
    }
    const Epilogue epilogue{bias, scale, shift, residual, e};
    const index_t residual_at = at.n * e.residual_n + at.c * e.residual_k + at.d * e.residual_z +
                                at.h * e.residual_p + at.w * e.residual_q;
    y[at.n * v.y_n + at.c * v.y_k + at.d * v.y_z + at.h * v.y_p + at.w * v.y_q] =
        from_acc(epilogue(sum, at.c, residual_at));
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
direct_backward_input(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ weight,
                      const scalar_t* __restrict__ bias, const scalar_t* __restrict__ scale,
                      const scalar_t* __restrict__ shift, const scalar_t* __restrict__ residual,
                      scalar_t* __restrict__ dx, ConvParams v, EpilogueParams e) {
    const int channels = v.groups * v.c;
    const index_t i = flat_thread();
    if (i >= static_cast<index_t>(v.n) * channels * v.d * v.h * v.w) return;
    const ElementCoord at(i, channels, v.d, v.h, v.w, v.channels_last);
    const int group = at.c / v.c;

    const scalar_t* const image = dy + at.n * v.y_n + static_cast<index_t>(group) * v.k * v.y_k;
    const scalar_t* const filter = weight + group * v.w_g + at.c % v.c * v.w_c;
    acc_t sum = 0;
    const PaddingAliases in_d = aliases_d(v, at.d), in_h = aliases_h(v, at.h);
    const PaddingAliases in_w = aliases_w(v, at.w);
#pragma unroll 1
    for (int d = in_d.first(); d <= in_d.highest; d = in_d.next(d)) {
        const ContributingTaps planes = contributing_d(v, d);
#pragma unroll 1
        for (int h = in_h.first(); h <= in_h.highest; h = in_h.next(h)) {
            const ContributingTaps rows = contributing_h(v, h);
#pragma unroll 1
            for (int w = in_w.first(); w <= in_w.highest; w = in_w.next(w)) {
                const ContributingTaps cols = contributing_w(v, w);
                const StridedView outputs = {
                    image + planes.out * v.y_z + rows.out * v.y_p + cols.out * v.y_q, v.y_k,
                    -v.out_step_d * v.y_z, -v.out_step_h * v.y_p, -v.out_step_w * v.y_q};
                const StridedView taps = {
                    filter + planes.tap * v.w_t + rows.tap * v.w_r + cols.tap * v.w_s, v.w_k,
                    v.tap_step_d * v.w_t, v.tap_step_h * v.w_r, v.tap_step_w * v.w_s};
                if (KSIZE && rows.count == KSIZE && cols.count == KSIZE)
                    sum += correlate<KSIZE>(outputs, taps, v.k, planes.count, KSIZE, KSIZE);
                else
                    sum += correlate<0>(outputs, taps, v.k, planes.count, rows.count, cols.count);
            }
        }
    }
    const Epilogue epilogue{bias, scale, shift, residual, e};
    const index_t residual_at = at.n * e.residual_n + at.c * e.residual_k + at.d * e.residual_z +
                                at.h * e.residual_p + at.w * e.residual_q;
    dx[at.n * v.x_n + at.c * v.x_c + at.d * v.x_d + at.h * v.x_h + at.w * v.x_w] =
        from_acc(epilogue(sum, at.c, residual_at));
}
