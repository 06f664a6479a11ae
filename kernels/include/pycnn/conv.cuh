// pycnn/conv.cuh: what the kernels of kernels/conv share: the problem, the taps that reach a
// position, and a walk over the outputs.
#pragma once

#include <pycnn/kernel.cuh>

// y[n, k, p, q] = bias[k] + sum over c, r, s of x[n, c, h, w] weight[k, c, r, s], where
// h = p*stride_h - top + r*dilation_h and w = q*stride_w - left + s*dilation_w.
// Extents c and k are those of one group; strides are in elements; every extent, padding included,
// fits an int, every offset an index_t. Built as `PARAMS` in pycnn/plan/conv_problem.py.
struct ConvParams {
    index_t x_n, x_c, x_h, x_w;
    index_t w_g, w_k, w_c, w_r, w_s;  // w_g: from the filters of one group to those of the next
    index_t y_n, y_k, y_p, y_q;
    index_t bias_k;
    int n, groups, c, h, w, k, r, s, p, q;
    int stride_h, stride_w, top, left, dilation_h, dilation_w;
    int tap_step_h, tap_step_w;  // stride / gcd(stride, dilation)
    int out_step_h, out_step_w;  // dilation / gcd(stride, dilation)
};
static_assert(sizeof(ConvParams) == 192, "as PARAMS in pycnn/plan/conv_problem.py");

__device__ __forceinline__ bool inside(int at, int extent) {
    return static_cast<unsigned>(at) < static_cast<unsigned>(extent);
}

// Along one axis, the taps through which a position of x contributes to y: the taps
// tap + i*tap_step for i < count, which belong to the outputs out - i*out_step.
struct Reach {
    int tap, out, count;

    // `at` is the position counted from the first padded one.
    __device__ Reach(int at, int taps, int outs, int stride, int dilation, int tap_step,
                     int out_step)
        : tap(0), out(0), count(0) {
        while (tap < taps && (at - tap * dilation) % stride != 0) ++tap;
        if (tap == taps) return;
        out = (at - tap * dilation) / stride;
        if (out >= outs) {  // the window of `out` starts beyond the last one
            const int skip = (out - outs) / out_step + 1;
            tap += skip * tap_step;
            out -= skip * out_step;
        }
        if (tap >= taps || out < 0) return;
        const int by_tap = (taps - 1 - tap) / tap_step, by_out = out / out_step;
        count = 1 + (by_tap < by_out ? by_tap : by_out);
    }
};

__device__ __forceinline__ Reach reach_h(const ConvParams& v, int h) {
    return {h + v.top, v.r, v.p, v.stride_h, v.dilation_h, v.tap_step_h, v.out_step_h};
}

__device__ __forceinline__ Reach reach_w(const ConvParams& v, int w) {
    return {w + v.left, v.s, v.q, v.stride_w, v.dilation_w, v.tap_step_w, v.out_step_w};
}

// A position (n, p, q) of y that moves on by a fixed number of elements, with no division.
struct Walk {
    int n, p, q;
    int step_n, step_p, step_q;

    __device__ Walk(const ConvParams& v, index_t first, unsigned step) {
        const index_t plane = static_cast<index_t>(v.p) * v.q;
        n = first / plane;
        p = first % plane / v.q;
        q = first % v.q;
        step_n = step / plane;
        step_p = step % plane / v.q;
        step_q = step % v.q;
    }

    __device__ __forceinline__ void advance(const ConvParams& v) {
        q += step_q;
        p += step_p;
        n += step_n;
        if (q >= v.q) {
            q -= v.q;
            ++p;
        }
        if (p >= v.p) {
            p -= v.p;
            ++n;
        }
    }
};
