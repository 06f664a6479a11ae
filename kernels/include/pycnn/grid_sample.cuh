// pycnn/grid_sample.cuh: which elements of x a point of a grid is made from, and how it moves there.
// KIND: 0, 1, 2 nearest, linear and cubic in a plane, 3, 4 nearest and linear in a volume.
#pragma once

#ifndef KIND
#define KIND 1
#endif

#include <pycnn/kernel.cuh>
#include <pycnn/strided.cuh>

constexpr int AXES = KIND >= 3 ? 3 : 2;
constexpr bool LINEAR = KIND % 3 == 1, CUBIC = KIND % 3 == 2;
constexpr int WIDTH = CUBIC ? 4 : LINEAR ? 2 : 1;  // elements along an axis
constexpr int TAPS = WIDTH * WIDTH * (AXES == 3 ? WIDTH : 1);

constexpr int MOST_AXES = 3;

enum Padding { ZEROS, BORDER, REFLECTION };

struct GridSample {
    index_t images, channels, points, elements;
    index_t extent[MOST_AXES];              // of x: (D,) H, W
    index_t x_n, x_c, x_stride[MOST_AXES];  // strides of x
    index_t grid_n, grid_k, dy_n, dy_c;     // strides of the grid and of dy
    index_t padding, align_corners;
    Strided<2> point;                       // in the grid and in dy
};

// A coordinate in elements, and how fast it moves with the grid's.
struct Coordinate {
    double at, rate;
};

__device__ __forceinline__ Coordinate clipped(Coordinate c, double last) {
    if (!(c.at > 0)) return {0, 0};  // not a number: the first one
    if (c.at >= last) return {last, 0};
    return c;
}

// Between the centres of the outer elements, or between their outer edges.
__device__ __forceinline__ Coordinate reflected(Coordinate c, double extent, bool centres) {
    const double low = centres ? 0 : -0.5, span = centres ? extent - 1 : extent;
    if (span <= 0) return {0, 0};
    double from = c.at - low, rate = c.rate;
    if (from < 0) {
        from = -from;
        rate = -rate;
    }
    const double extra = fmod(from, span);
    const bool even = fmod(floor(from / span), 2.0) == 0;
    return even ? Coordinate{extra + low, rate} : Coordinate{span - extra + low, -rate};
}

__device__ __forceinline__ Coordinate padded(Coordinate c, double extent, const GridSample& p) {
    if (p.padding == REFLECTION) c = reflected(c, extent, p.align_corners);
    return p.padding == ZEROS ? c : clipped(c, extent - 1);
}

// The elements along an axis, -1 for those outside; their weights, and how these move.
struct AxisTaps {
    index_t element[WIDTH];
    acc_t weight[WIDTH], slope[WIDTH];

    __device__ __forceinline__ void set(int k, double at, double extent, double w, double s) {
        element[k] = at >= 0 && at < extent ? static_cast<index_t>(at) : -1;
        weight[k] = static_cast<acc_t>(w);
        slope[k] = static_cast<acc_t>(s);
    }
    // By a number that the compiler does not know: registers have no index.
    __device__ __forceinline__ void pick(int k, index_t& e, acc_t& w) const {
#pragma unroll
        for (int i = 0; i < WIDTH; ++i)
            if (i == k) {
                e = element[i];
                w = weight[i];
            }
    }
};

// Keys' cubic with a = -3/4: near the middle, and from 1 to 2 away; and how they move.
__device__ __forceinline__ double near_cubic(double d) { return (1.25 * d - 2.25) * d * d + 1; }
__device__ __forceinline__ double near_slope(double d) { return (3.75 * d - 4.5) * d; }
__device__ __forceinline__ double far_cubic(double d) {
    return ((-0.75 * d + 3.75) * d - 6) * d + 3;
}
__device__ __forceinline__ double far_slope(double d) { return (-2.25 * d + 7.5) * d - 6; }

// In double: the same elements as PyTorch's in float64, whatever SCALAR is.
__device__ __forceinline__ AxisTaps axis_taps(double g, index_t length, const GridSample& p) {
    AxisTaps taps;
    const double extent = static_cast<double>(length);
    Coordinate c{((g + 1) * extent - 1) / 2, extent / 2};
    if (p.align_corners) c = {(g + 1) / 2 * (extent - 1), (extent - 1) / 2};
    if (!CUBIC) c = padded(c, extent, p);
    if (!CUBIC && !LINEAR) {
        taps.set(0, rint(c.at), extent, 1, 0);
        return taps;
    }
    const double lower = floor(c.at), t = c.at - lower;
    if (LINEAR) {
        taps.set(0, lower, extent, 1 - t, -c.rate);
        taps.set(WIDTH - 1, lower + 1, extent, t, c.rate);
        return taps;
    }
    const double weight[4] = {far_cubic(1 + t), near_cubic(t), near_cubic(1 - t), far_cubic(2 - t)};
    const double slope[4] = {far_slope(1 + t), near_slope(t), -near_slope(1 - t), -far_slope(2 - t)};
#pragma unroll
    for (int k = 0; k < WIDTH; ++k)
        taps.set(k, padded({lower + k - 1, 0}, extent, p).at, extent, weight[k], slope[k] * c.rate);
    return taps;
}

// All elements that a point is made from.
struct PointTaps {
    AxisTaps axis[AXES];

    // The first coordinate of the grid is that of the last axis.
    __device__ __forceinline__ PointTaps(const scalar_t* grid, const GridSample& p) {
#pragma unroll
        for (int a = 0; a < AXES; ++a)
            axis[a] = axis_taps(to_acc(ldg(grid + (AXES - 1 - a) * p.grid_k)), p.extent[a], p);
    }
    // f(offset, weight, k): k the numbers of the elements along the axes; those outside left out.
    template <typename F>
    __device__ __forceinline__ void each(const index_t (&stride)[MOST_AXES], F f) const {
#pragma unroll
        for (int tap = 0; tap < TAPS; ++tap) {
            const int k[3] = {tap % WIDTH, tap / WIDTH % WIDTH, tap / (WIDTH * WIDTH)};
            index_t offset = 0;
            acc_t weight = 1;
            bool inside = true;
#pragma unroll
            for (int a = 0; a < AXES; ++a) {
                const int along = k[AXES - 1 - a];
                inside = inside && axis[a].element[along] >= 0;
                offset += axis[a].element[along] * stride[a];
                weight *= axis[a].weight[along];
            }
            if (inside) f(offset, weight, k);
        }
    }
};
