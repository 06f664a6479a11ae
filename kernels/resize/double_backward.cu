// resize/double_backward.cu: gradient of interpolation to twice as many rows and columns.
//
// Computes   dx[i] = 3/4 (dy[2i] + dy[2i+1]) + 1/4 (dy[2i-1] + dy[2i+2]) along both axes, dy being
//            continued by its outermost elements; or dy[2i] + dy[2i+1]
// Layout     dy (N,C,2H,2W) with columns that are neighbours, or (N,2H,2W,C) with channels that are
//            whole vectors; any strides along the others; dx contiguous
// Launch     double_planes_backward: one thread for COLUMNS of dx and a strip of `band` rows;
//            double_channels_backward: for one column and 16 bytes of channels. Block 128; grid
//            flat, columns or channels fastest; no shared memory
// Traffic    |dy| + |dx| bytes; linear: two rows more of every strip, from L1
// Range      fewer than 2^31 threads, rows and columns of y; 64-bit offsets; deterministic
// Siblings   resize_backward.cu takes any extents and coordinates
// Source     the transposed map of double.cu
//
// entry double_planes_backward    columns are neighbours
// entry double_channels_backward  channels are neighbours
// variant SCALAR COLUMNS = halves 1, halves 2, halves 4, single 1, single 2, doubles 1
// variant TAPS = 1, 2
// only double_channels_backward COLUMNS = 1
#include <pycnn/resize_double.cuh>

template <typename Of, bool VECTORS>
__device__ __forceinline__ void strip(const scalar_t* dy, scalar_t* dx, const Resize& v) {
    constexpr int PIXELS = Of::PIXELS, LANES = Of::LANES;
    using Row = Line<PIXELS, LANES>;
    const DoubleStrip<Of> at(v);
    if (!at.there) return;
    const int height = static_cast<int>(v.h.extent_x), width = static_cast<int>(v.w.extent_x);
    dy += v.image(at.outer) + at.channel;
    dx += at.outer * height * width * v.inner + at.channel;
    const auto load = [&](int row) {
        const scalar_t* const from = dy + clamped(row, 2 * height) * v.sh;
        return halved<PIXELS, LANES>(
            Of::template load<2 * PIXELS, HALO>(from, v.sw, 2 * at.q, 2 * width, VECTORS));
    };

    const int end = at.row + static_cast<int>(v.band);
    Row above, upper;
    if constexpr (TAPS == 2) {
        above = load(2 * at.row - 1);
        upper = load(2 * at.row);
    }
#pragma unroll 1
    for (int i = at.row; i < end && i < height; ++i) {
        if constexpr (TAPS == 1) upper = load(2 * i);
        const Row lower = load(2 * i + 1);
        Row below, sum;
        if constexpr (TAPS == 2) below = load(2 * i + 2);
#pragma unroll
        for (int u = 0; u < PIXELS; ++u)
#pragma unroll
            for (int k = 0; k < LANES; ++k) {
                if constexpr (TAPS == 1)
                    sum.at[u][k] = upper.at[u][k] + lower.at[u][k];
                else
                    sum.at[u][k] = weighted(above.at[u][k], upper.at[u][k], lower.at[u][k],
                                            below.at[u][k]);
            }
        Of::template store<PIXELS>(dx + static_cast<index_t>(i) * width * v.inner, v.inner, at.q,
                                   VECTORS, sum);
        if constexpr (TAPS == 2) {
            above = lower;
            upper = below;
        }
    }
}

extern "C" __global__ void __launch_bounds__(DOUBLE_THREADS, 1)
double_planes_backward(const scalar_t* __restrict__ dy, scalar_t* __restrict__ dx, Resize v) {
    if (in_vectors<Planes>(dx, dy))
        strip<Planes, true>(dy, dx, v);
    else
        strip<Planes, false>(dy, dx, v);
}

extern "C" __global__ void __launch_bounds__(DOUBLE_THREADS, 1)
double_channels_backward(const scalar_t* __restrict__ dy, scalar_t* __restrict__ dx, Resize v) {
    if (in_vectors<Channels>(dx, dy))
        strip<Channels, true>(dy, dx, v);
    else
        strip<Channels, false>(dy, dx, v);
}
