// conv/im2col.cu: windows of x as the columns of a matrix, and the sum back from it.
//
// Computes   columns[n, (c,t,r,s), (z,p,q)] = x[n, c, d(z,t), h(p,r), w(q,s)]
//            with h(p,r) = p*stride_h - top + r*dilation_h, d and w alike; beyond the edges of x
//            zero, or the element that reflection, the nearest edge or the period leads to
//            dx[n,c,d,h,w] = sum over the (t,r,s,z,p,q) that touch (d,h,w) of
//            columns[n, (c,t,r,s), (z,p,q)]
// Layout     x and dx (N,C,D,H,W): any strides; columns (N, C T R S, Z P Q) contiguous. D, T and Z
//            are 1 with two spatial axes. With a 1x1 filter it is a copy to contiguous, which the
//            plan uses for weights and dy of odd strides
// Launch     one thread an (n,c,z,p,q), or an element of dx; block 256; grid ceil(threads / 256)
// Traffic    |x| + |columns|, |columns| = N C T R S Z P Q elements; no multiplication
// Range      any extents; 64-bit index arithmetic; col2im gathers: deterministic
// Siblings   movement/unfold.cu makes columns of plain x where rows of y are whole vectors; direct and
//            direct_tiled read x in place and need none
// Source     K. Chellapilla, S. Puri, P. Simard, "High performance convolutional neural networks
//            for document processing", 2006, section 3.1
//
// entry im2col                   columns of x, one for each output pixel
// entry col2im                   gradient with respect to x, gathered from its columns
// variant SCALAR = floating
#include <pycnn/conv.cuh>

constexpr int THREADS = 256;

extern "C" __global__ void __launch_bounds__(THREADS)
im2col(const scalar_t* __restrict__ x, scalar_t* __restrict__ columns, ConvParams v) {
    const int channels = v.groups * v.c;
    const index_t pixels = static_cast<index_t>(v.z) * v.p * v.q;
    const index_t i = flat_thread();
    if (i >= pixels * channels * v.n) return;
    const ElementCoord at(i, channels, v.z, v.p, v.q, false);
    const Window planes = window_d(v, at.d), rows = window_h(v, at.h), cols = window_w(v, at.w);
    const scalar_t* const image = x + at.n * v.x_n + at.c * v.x_c;
    scalar_t* to = columns + i / pixels * v.t * v.r * v.s * pixels + i % pixels;
    for (int t = 0; t < v.t; ++t) {
        const int d = planes(t);
        for (int r = 0; r < v.r; ++r) {
            const int h = rows(r);
            const scalar_t* const row = image + d * v.x_d + h * v.x_h;
            for (int s = 0; s < v.s; ++s, to += pixels) {
                const int w = cols(s);
                *to = (d | h | w) >= 0 ? row[w * v.x_w] : from_acc(acc_t(0));
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
col2im(const acc_t* __restrict__ columns, scalar_t* __restrict__ dx, ConvParams v) {
    const int channels = v.groups * v.c;
    const index_t plane = static_cast<index_t>(v.p) * v.q, pixels = plane * v.z;
    const index_t i = flat_thread();
    if (i >= static_cast<index_t>(v.n) * channels * v.d * v.h * v.w) return;
    const ElementCoord at(i, channels, v.d, v.h, v.w, v.channels_last);
    const index_t taps = (static_cast<index_t>(at.n) * channels + at.c) * v.t * v.r * v.s;
    acc_t sum = 0;
    const auto gather = [&](const ContributingTaps& planes, const ContributingTaps& rows,
                            const ContributingTaps& cols) {
        for (int a = 0; a < planes.count; ++a) {
            const index_t tap_plane = planes.tap + a * v.tap_step_d;
            const index_t out_plane = planes.out - a * v.out_step_d;
            for (int b = 0; b < rows.count; ++b) {
                const index_t tap_row = tap_plane * v.r + rows.tap + b * v.tap_step_h;
                const index_t out_row = out_plane * v.p + rows.out - b * v.out_step_h;
                for (int c = 0; c < cols.count; ++c) {
                    const index_t tap = tap_row * v.s + cols.tap + c * v.tap_step_w;
                    const index_t out = out_row * v.q + cols.out - c * v.out_step_w;
                    sum += columns[(taps + tap) * pixels + out];
                }
            }
        }
    };
    const PaddingAliases in_d = aliases_d(v, at.d), in_h = aliases_h(v, at.h);
    const PaddingAliases in_w = aliases_w(v, at.w);
    for (int d = in_d.first(); d <= in_d.highest; d = in_d.next(d))
        for (int h = in_h.first(); h <= in_h.highest; h = in_h.next(h))
            for (int w = in_w.first(); w <= in_w.highest; w = in_w.next(w))
                gather(contributing_d(v, d), contributing_h(v, h), contributing_w(v, w));
    dx[at.n * v.x_n + at.c * v.x_c + at.d * v.x_d + at.h * v.x_h + at.w * v.x_w] = from_acc(sum);
}
