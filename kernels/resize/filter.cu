// resize/filter.cu: interpolation along one axis by a filter of several taps, and its gradient.
//
// Computes   y[o] = sum over i of w(o, i) x[i]; dx[i] = sum over o of w(o, i) dy[o], by `kind`:
//            CUBIC         the four elements around the coordinate (o + shift) numerator /
//                          denominator + offset, those outside being the outermost; Keys, a = -3/4
//            LINEAR_AREA   elements within one distance of the centre, which is the ratio of
//            CUBIC_AREA    extents where that is above 1: a triangle, and Keys, a = -1/2 within
//                          two; weights add up to one
// Layout     x and dy any strides; y and dx contiguous, and what lies between two passes
// Launch     one thread an element of the result, block 256, a launch for each axis; between the
//            two, the results of the first in the type of sums
// Traffic    |x| + |y| bytes a pass, read through the caches once for each tap
// Range      extents of an axis below 2^31, 64-bit offsets; deterministic: gathers, in order
// Siblings   resize.cu, resize_backward.cu: nearest and linear, two taps at most
// Source     Keys: Cubic convolution interpolation for digital image processing, 1981
//
// entry resize_filter_first           the first of two axes
// entry resize_filter_last            the second
// entry resize_filter_backward_first  gradient, the first of two axes
// entry resize_filter_backward_last   gradient, the second
// variant SCALAR = floating
#include <pycnn/kernel.cuh>
#include <pycnn/strided.cuh>

constexpr int THREADS = 256;

enum Kind { CUBIC, LINEAR_AREA, CUBIC_AREA };

// The elements [first, first + count) of x, before they are clamped, and where the filter takes
// them: start, start + step ...
struct Span {
    int first, count;
    acc_t start, step;
};

struct FilterAxis {
    double numerator, denominator, shift, offset;
    index_t extent_x, extent_y;
    index_t kind;

    // In double: the same elements as in the plan, whatever SCALAR is.
    __device__ __forceinline__ Span span(int o) const {
        if (kind == CUBIC) {
            const double at = (o + shift) * numerator / denominator + offset;
            const double lower = floor(at);
            const int first = static_cast<int>(lower) - 1;
            return {first, 4, static_cast<acc_t>(lower - at) - 1, 1};
        }
        const double ratio = numerator / denominator, wide = ratio > 1 ? ratio : 1;
        const double centre = (o + 0.5) * numerator / denominator;
        const double reach = (kind == LINEAR_AREA ? 1 : 2) * wide;
        const double begin = centre - reach + 0.5, end = centre + reach + 0.5;
        const int first = begin <= 0 ? 0 : static_cast<int>(begin);
        const int last = static_cast<int>(end >= extent_x ? extent_x : static_cast<index_t>(end));
        return {first, last - first, static_cast<acc_t>((first - centre + 0.5) / wide),
                static_cast<acc_t>(1 / wide)};
    }

    __device__ __forceinline__ acc_t filter(acc_t at) const {
        const acc_t u = fabs(at), a = kind == CUBIC ? acc_t(-0.75) : acc_t(-0.5);
        if (kind == LINEAR_AREA) return u < 1 ? 1 - u : acc_t(0);
        if (u <= 1) return ((a + 2) * u - (a + 3)) * u * u + 1;
        return u < 2 ? (((u - 5) * u + 8) * u - 4) * a : acc_t(0);
    }

    // What all weights of a span are divided by.
    __device__ __forceinline__ acc_t total(const Span& s) const {
        if (kind == CUBIC) return 1;
        acc_t sum = 0;
        for (int k = 0; k < s.count; ++k) sum += filter(s.start + k * s.step);
        return sum;
    }

    __device__ __forceinline__ int clamped(int i) const {
        const int last = static_cast<int>(extent_x) - 1;
        return i < 0 ? 0 : i > last ? last : i;
    }

    // The first element of y whose span reaches i, or, with `beyond`, begins behind it.
    __device__ __forceinline__ int bound(int i, bool beyond) const {
        int low = 0, high = static_cast<int>(extent_y);
        while (low < high) {
            const int middle = low + (high - low) / 2;
            const Span s = span(middle);
            const bool found =
                beyond ? clamped(s.first) > i : clamped(s.first + s.count - 1) >= i;
            if (found)
                high = middle;
            else
                low = middle + 1;
        }
        return low;
    }
};

struct FilterPass {
    FilterAxis axis;
    index_t count, inner, step;  // results; elements behind one of the axis; stride of the axis
    Strided<1> rest;             // where an element of the other axes begins
};

// Where what a result is made from begins, and the result's place along the axis.
struct Place {
    index_t from;
    int along;

    __device__ __forceinline__ Place(const FilterPass& p, index_t extent, index_t flat) {
        const index_t line = flat / p.inner, outer = line / extent;
        along = static_cast<int>(line - outer * extent);
        index_t at[1];
        p.rest.locate(outer * p.inner + (flat - line * p.inner), at);
        from = at[0];
    }
};

__device__ __forceinline__ void put(float* to, float value) { *to = value; }
__device__ __forceinline__ void put(double* to, double value) { *to = value; }
#if PYCNN_JOIN(PYCNN_IS_, SCALAR) != 0
__device__ __forceinline__ void put(scalar_t* to, acc_t value) { *to = from_acc(value); }
#endif

template <typename From, typename To>
__device__ __forceinline__ void forward(const From* __restrict__ x, To* __restrict__ y,
                                        const FilterPass& p) {
    const index_t flat = flat_thread();
    if (flat >= p.count) return;
    const Place place(p, p.axis.extent_y, flat);
    const Span s = p.axis.span(place.along);
    acc_t sum = 0, total = 0;
    for (int k = 0; k < s.count; ++k) {
        const acc_t weight = p.axis.filter(s.start + k * s.step);
        sum += weight * to_acc(x[place.from + p.axis.clamped(s.first + k) * p.step]);
        total += weight;
    }
    put(y + flat, p.axis.kind == CUBIC ? sum : sum / total);
}

template <typename From, typename To>
__device__ __forceinline__ void backward(const From* __restrict__ dy, To* __restrict__ dx,
                                         const FilterPass& p) {
    const index_t flat = flat_thread();
    if (flat >= p.count) return;
    const Place place(p, p.axis.extent_x, flat);
    const int i = place.along;
    acc_t sum = 0;
    const int last = p.axis.bound(i, true);
    for (int o = p.axis.bound(i, false); o < last; ++o) {
        const Span s = p.axis.span(o);
        acc_t weight = 0;
        for (int k = 0; k < s.count; ++k)
            if (p.axis.clamped(s.first + k) == i) weight += p.axis.filter(s.start + k * s.step);
        sum += weight / p.axis.total(s) * to_acc(dy[place.from + o * p.step]);
    }
    put(dx + flat, sum);
}

extern "C" __global__ void __launch_bounds__(THREADS)
resize_filter_first(const scalar_t* __restrict__ x, acc_t* __restrict__ y, FilterPass p) {
    forward(x, y, p);
}

extern "C" __global__ void __launch_bounds__(THREADS)
resize_filter_last(const acc_t* __restrict__ x, scalar_t* __restrict__ y, FilterPass p) {
    forward(x, y, p);
}

extern "C" __global__ void __launch_bounds__(THREADS)
resize_filter_backward_first(const scalar_t* __restrict__ dy, acc_t* __restrict__ dx,
                             FilterPass p) {
    backward(dy, dx, p);
}

extern "C" __global__ void __launch_bounds__(THREADS)
resize_filter_backward_last(const acc_t* __restrict__ dy, scalar_t* __restrict__ dx,
                            FilterPass p) {
    backward(dy, dx, p);
}
