// pycnn/pool.cuh: the geometry of pooling, forward and backward alike.
//
// Forward, a result is an element of y, made from the elements of x under its window. Backward, it
// is an element of dx, made from the elements of dy whose windows lie over it. Both ways every
// result has, along each axis, a span of `sources`; only how it is found differs.
//
// An array has outer planes (N * C, or N with channels last), three spatial axes of which those
// that the operation lacks have extent 1, and inner channels (1, or C with channels last).
// The plan is in pycnn/plan/pool.py.
#pragma once

#include <pycnn/kernel.cuh>

constexpr int POOL_THREADS = 256;

// One spatial axis: `windows` of them over `extent` elements. With kernel 0 they are adaptive.
struct PoolAxis {
    index_t extent, windows, kernel, stride, dilation, low, high;
    index_t step;   // from a source of a result to the next
    index_t tile;   // results of a block along it
    index_t whole;  // a block brings in all sources, whether a window covers them or not
};

// Strides of an operand, in elements.
struct PoolStrides {
    index_t n, c, axis[3], inner;
    index_t joined;  // so many axes, from the last on, make sources of a tile neighbours in memory
};

// Operands are what the sources are read from.
struct Pool {
    index_t images, channels, inner;  // outer planes are images * channels; channels or inner is 1
    index_t planes_tile, inner_tile;
    PoolAxis axis[3];
    PoolStrides operand[2];
    index_t count_include_pad, divisor;  // of a mean; divisor 0: the elements are counted
};

// Sources from first up to, not including, last.
template <typename Int>
struct Span {
    Int first, last;
};

// What window `i` covers of x, `step` apart.
__device__ __forceinline__ Span<index_t> window_at(const PoolAxis& a, index_t i) {
    if (a.kernel == 0)
        return {i * a.extent / a.windows, ceil_div((i + 1) * a.extent, a.windows)};
    index_t first = i * a.stride - a.low, last = first + (a.kernel - 1) * a.dilation + 1;
    if (first < 0) first += ceil_div(-first, a.dilation) * a.dilation;
    return {first, last < a.extent ? last : a.extent};
}

// The first window that reaches over element `i` of x, whether a tap meets the element or not.
__device__ __forceinline__ index_t first_over(const PoolAxis& a, index_t i) {
    const index_t before = i + a.low - (a.kernel - 1) * a.dilation;
    return before > 0 ? ceil_div(before, a.stride) : 0;
}

// The windows with a tap on element `i` of x, `step` apart. Those of adaptive pooling are found as
// the elements of a window are, with the two extents exchanged.
__device__ __forceinline__ Span<index_t> windows_over(const PoolAxis& a, index_t i) {
    if (a.kernel == 0)
        return {i * a.windows / a.extent, ceil_div((i + 1) * a.windows, a.extent)};
    const index_t padded = i + a.low, end = padded / a.stride + 1;
    const index_t last = end < a.windows ? end : a.windows;
    index_t first = first_over(a, i);
    if (a.dilation > 1)  // the first may have the element between its taps, and so may all
        while (first < last && (padded - first * a.stride) % a.dilation) ++first;
    return {first, last};
}

template <bool BACKWARD>
__device__ __forceinline__ Span<index_t> sources_of(const PoolAxis& a, index_t result) {
    return BACKWARD ? windows_over(a, result) : window_at(a, result);
}

// Elements of window `i` along one axis that a mean divides by: with `include_pad` those of the
// padding too, but never what ceil mode lets hang over beyond it. A window without any counts 1.
__device__ __forceinline__ index_t counted(const PoolAxis& a, index_t i, bool include_pad) {
    Span<index_t> s = window_at(a, i);
    if (include_pad && a.kernel) {
        const index_t limit = a.extent + a.high;
        s.first = i * a.stride - a.low;
        s.last = s.first + (a.kernel - 1) * a.dilation + 1;
        if (s.last > limit) s.last = limit;
    }
    const index_t taps = ceil_div(s.last - s.first, a.dilation);
    return taps > 0 ? taps : 1;
}

// What the sum of window (i, j, k) is divided by.
__device__ __forceinline__ acc_t count_of(const Pool& p, index_t i, index_t j, index_t k) {
    if (p.divisor) return static_cast<acc_t>(p.divisor);
    const bool pad = p.count_include_pad;
    return static_cast<acc_t>(counted(p.axis[0], i, pad) * counted(p.axis[1], j, pad) *
                              counted(p.axis[2], k, pad));
}

// Without a tile: one result, and its sources where they lie. For windows too large or too far
// apart to be brought into shared memory.
template <bool BACKWARD>
struct Single {
    const Pool& p;
    index_t number, plane, inner, at[3];
    Span<index_t> span[3];
    bool there;

    __device__ __forceinline__ explicit Single(const Pool& pool) : p(pool), number(flat_thread()) {
        index_t rest = number;
        inner = next_coordinate(rest, p.inner);
#pragma unroll
        for (int a = 2; a >= 0; --a) {
            at[a] = next_coordinate(rest, BACKWARD ? p.axis[a].extent : p.axis[a].windows);
            span[a] = sources_of<BACKWARD>(p.axis[a], at[a]);
        }
        plane = rest;
        there = plane < p.images * p.channels;
    }

    template <typename T>
    __device__ __forceinline__ const T* begin(const T* from, const PoolStrides& s) const {
        const index_t image = plane / p.channels;
        return from + image * s.n + (plane - image * p.channels) * s.c + inner * s.inner;
    }
    static __device__ __forceinline__ index_t offset(const PoolStrides& s, index_t i, index_t j,
                                                     index_t k) {
        return i * s.axis[0] + j * s.axis[1] + k * s.axis[2];
    }

    // body(coordinates) for every source.
    template <typename Body>
    __device__ __forceinline__ void each_source(Body body) const {
        const PoolAxis& of_last = p.axis[2];
        for (index_t i = span[0].first; i < span[0].last; i += p.axis[0].step)
            for (index_t j = span[1].first; j < span[1].last; j += p.axis[1].step)
#pragma unroll 1  // what is rare stays small
                for (index_t k = span[2].first; k < span[2].last; k += of_last.step) body(i, j, k);
    }
};
