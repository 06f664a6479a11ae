// pycnn/conv.cuh: what the kernels of kernels/conv share: the problem, what lies beyond the edges
// of x, the taps that contribute to a position, and coordinates of results and outputs.
#pragma once

#include <pycnn/kernel.cuh>

// y[n, k, z, p, q] = sum over c, t, r, s of x[n, c, d, h, w] weight[k, c, t, r, s], where
// h = p*stride_h - top + r*dilation_h, and d and w alike; with two spatial axes d, t and z are 0.
// Extents c and k are those of one group; strides are in elements; every extent, padding included,
// fits an int, every offset an index_t.
struct ConvParams {
    index_t x_n, x_c, x_h, x_w;
    index_t w_g, w_k, w_c, w_r, w_s;  // w_g: from the filters of one group to those of the next
    index_t y_n, y_k, y_p, y_q;
    index_t bias_k;
    index_t x_d, w_t, y_z;
    int n, groups, c, h, w, k, r, s, p, q;
    int stride_h, stride_w, top, left, dilation_h, dilation_w;
    int tap_step_h, tap_step_w;  // stride / gcd(stride, dilation)
    int out_step_h, out_step_w;  // dilation / gcd(stride, dilation)
    int d, t, z, stride_d, front, dilation_d, tap_step_d, out_step_d;
    int mode;           // enum PaddingMode
    int channels_last;  // of the result in memory: threads follow it
};

// What a position beyond the edges of x stands for: `MODES` in pycnn/plan/conv_problem.py.
enum PaddingMode { ZEROS, REFLECT, REPLICATE, CIRCULAR };

__device__ __forceinline__ bool inside(int at, int extent) {
    return static_cast<unsigned>(at) < static_cast<unsigned>(extent);
}

// Along one axis, the element that position `at` stands for; -1: zero.
__device__ __forceinline__ int element_at(int at, int extent, int mode) {
    if (inside(at, extent)) return at;
    switch (mode) {
        case REFLECT: return at < 0 ? -at : 2 * (extent - 1) - at;
        case REPLICATE: return at < 0 ? 0 : extent - 1;
        case CIRCULAR: return at < 0 ? at + extent : at - extent;
        default: return -1;
    }
}

// Along one axis, the elements that the taps of a window meet.
struct Window {
    int first, step, extent, mode;  // `first`: the position of tap 0

    __device__ int operator()(int tap) const { return element_at(first + tap * step, extent, mode); }
    __device__ bool lies_inside(int taps) const {
        return first >= 0 && first + (taps - 1) * step < extent;
    }
};

__device__ __forceinline__ Window window_d(const ConvParams& v, int z) {
    return {z * v.stride_d - v.front, v.dilation_d, v.d, v.mode};
}

__device__ __forceinline__ Window window_h(const ConvParams& v, int p) {
    return {p * v.stride_h - v.top, v.dilation_h, v.h, v.mode};
}

__device__ __forceinline__ Window window_w(const ConvParams& v, int q) {
    return {q * v.stride_w - v.left, v.dilation_w, v.w, v.mode};
}

// Along one axis, the positions that stand for the element `at`, in rising order: itself, and its
// aliases in the padding, of all from `lowest` to `highest`, that windows reach.
struct PaddingAliases {
    int at, extent, lowest, highest, mode;

    __device__ PaddingAliases(int at, int extent, int before, int outs, int taps, int stride,
                              int dilation, int mode)
        : at(at),
          extent(extent),
          lowest(-before),
          highest((outs - 1) * stride - before + (taps - 1) * dilation),
          mode(mode) {}

    __device__ int first() const {
        if (mode == REFLECT && at > 0 && -at >= lowest) return -at;
        if (mode == REPLICATE && at == 0) return lowest;
        if (mode == CIRCULAR && at - extent >= lowest) return at - extent;
        return at;
    }
    __device__ int next(int alias) const {
        const int none = highest < alias ? alias + 1 : highest + 1;
        switch (mode) {
            case REFLECT:
                if (alias < at) return at;
                return alias == at && at < extent - 1 ? 2 * (extent - 1) - at : none;
            case REPLICATE: return alias < at || at == extent - 1 ? alias + 1 : none;
            case CIRCULAR: return alias + extent;
            default: return none;
        }
    }
};

__device__ __forceinline__ PaddingAliases aliases_d(const ConvParams& v, int d) {
    return {d, v.d, v.front, v.z, v.t, v.stride_d, v.dilation_d, v.mode};
}

__device__ __forceinline__ PaddingAliases aliases_h(const ConvParams& v, int h) {
    return {h, v.h, v.top, v.p, v.r, v.stride_h, v.dilation_h, v.mode};
}

__device__ __forceinline__ PaddingAliases aliases_w(const ConvParams& v, int w) {
    return {w, v.w, v.left, v.q, v.s, v.stride_w, v.dilation_w, v.mode};
}

// Along one axis, the taps through which a position of x contributes to y: the taps
// tap + i*tap_step for i < count, which belong to the outputs out - i*out_step.
struct ContributingTaps {
    int tap, out, count;

    // `at` is the position counted from the first padded one.
    __device__ ContributingTaps(int at, int taps, int outs, int stride, int dilation, int tap_step,
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

__device__ __forceinline__ ContributingTaps contributing_d(const ConvParams& v, int d) {
    return {d + v.front, v.t, v.z, v.stride_d, v.dilation_d, v.tap_step_d, v.out_step_d};
}

__device__ __forceinline__ ContributingTaps contributing_h(const ConvParams& v, int h) {
    return {h + v.top, v.r, v.p, v.stride_h, v.dilation_h, v.tap_step_h, v.out_step_h};
}

__device__ __forceinline__ ContributingTaps contributing_w(const ConvParams& v, int w) {
    return {w + v.left, v.s, v.q, v.stride_w, v.dilation_w, v.tap_step_w, v.out_step_w};
}

// Coordinates of element number `i` of a contiguous array, in the order of memory.
struct ElementCoord {
    int n, c, d, h, w;  // c over all groups

    __device__ ElementCoord(index_t i, int channels, int depth, int height, int width,
                            bool channels_last) {
        if (channels_last) c = next_coordinate(i, channels);
        w = next_coordinate(i, width);
        h = next_coordinate(i, height);
        d = depth == 1 ? 0 : next_coordinate(i, depth);
        if (!channels_last) c = next_coordinate(i, channels);
        n = i;
    }
};

// Iterates over positions (n, z, p, q) of y, a fixed number of elements apart, with no division.
struct OutputIterator {
    int n, z, p, q;
    int step_n, step_z, step_p, step_q;

    __device__ OutputIterator(const ConvParams& v, index_t first, unsigned step) {
        const index_t plane = static_cast<index_t>(v.p) * v.q, volume = plane * v.z;
        n = first / volume;
        z = first % volume / plane;
        p = first % plane / v.q;
        q = first % v.q;
        step_n = step / volume;
        step_z = step % volume / plane;
        step_p = step % plane / v.q;
        step_q = step % v.q;
    }

    __device__ __forceinline__ void advance(const ConvParams& v) {
        q += step_q;
        p += step_p;
        z += step_z;
        n += step_n;
        if (q >= v.q) {
            q -= v.q;
            ++p;
        }
        if (p >= v.p) {
            p -= v.p;
            ++z;
        }
        if (z >= v.z) {
            z -= v.z;
            ++n;
        }
    }

    __device__ __forceinline__ index_t offset(const ConvParams& v) const {
        return n * v.y_n + z * v.y_z + p * v.y_p + q * v.y_q;
    }
};
