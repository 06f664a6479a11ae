// resize/double.cu: interpolation to twice as many rows and columns, nearest or linear.
//
// Computes   y[2i] = 1/4 x[i-1] + 3/4 x[i], y[2i+1] = 3/4 x[i] + 1/4 x[i+1] along both axes, x being
//            continued by its outermost elements; or both x[i]
// Layout     x (N,C,H,W) with columns that are neighbours, or (N,H,W,C) with channels that are whole
//            vectors; any strides along the others; y contiguous
// Launch     double_planes: one thread for COLUMNS of x and 4 rows; double_channels: for one column,
//            16 bytes of channels and 2 rows. Block 128; grid flat, columns or channels fastest; no
//            shared memory
// Traffic    |x| + |y| bytes; linear: a row on either side of a strip again, from L1
// Range      fewer than 2^31 threads, rows and columns of y; 64-bit offsets
// Siblings   resize.cu takes any extents and coordinates
// Source     as resize.cu, with half-pixel centres
//
// entry double_planes    columns are neighbours
// entry double_channels  channels are neighbours
// variant SCALAR COLUMNS = halves 1, halves 2, halves 4, single 1, single 2, doubles 1
// variant TAPS = 1, 2
// only double_channels COLUMNS = 1
#include <pycnn/resize_double.cuh>

// All rows of a strip are asked for before the first is used.
template <typename Of, int ROWS, bool VECTORS>
__device__ __forceinline__ void strip(const scalar_t* x, scalar_t* y, const Resize& v) {
    constexpr int PIXELS = Of::PIXELS, LANES = Of::LANES;
    const DoubleStrip<Of> at(v);
    if (!at.there) return;
    const int height = static_cast<int>(v.h.extent_x), width = static_cast<int>(v.w.extent_x);
    x += v.image(at.outer) + at.channel;
    y += at.outer * 4 * height * width * v.inner + at.channel;

    Line<2 * PIXELS, LANES> row[ROWS + 2 * HALO];
#pragma unroll
    for (int r = 0; r < ROWS + 2 * HALO; ++r) {
        const scalar_t* const from = x + clamped(at.row + r - HALO, height) * v.sh;
        row[r] = doubled<PIXELS, LANES>(
            Of::template load<PIXELS, HALO>(from, v.sw, at.q, width, VECTORS));
    }
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
        if (at.row + r >= height) return;
        Line<2 * PIXELS, LANES> upper, lower;
#pragma unroll
        for (int i = 0; i < 2 * PIXELS; ++i)
#pragma unroll
            for (int k = 0; k < LANES; ++k) {
                const auto own = row[r + HALO].at[i][k];
                if constexpr (TAPS == 1) {
                    upper.at[i][k] = lower.at[i][k] = own;
                } else {
                    const acc_t most = acc_t(0.75) * own;
                    upper.at[i][k] = acc_t(0.25) * row[r].at[i][k] + most;
                    lower.at[i][k] = acc_t(0.25) * row[r + 2].at[i][k] + most;
                }
            }
        scalar_t* const to = y + index_t(2) * (at.row + r) * 2 * width * v.inner;
        Of::template store<2 * PIXELS>(to, v.inner, 2 * at.q, VECTORS, upper);
        Of::template store<2 * PIXELS>(to + index_t(2) * width * v.inner, v.inner, 2 * at.q,
                                       VECTORS, lower);
    }
}

extern "C" __global__ void __launch_bounds__(DOUBLE_THREADS, 1)
double_planes(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Resize v) {
    if (in_vectors<Planes>(x, y))
        strip<Planes, 4, true>(x, y, v);
    else
        strip<Planes, 4, false>(x, y, v);
}

extern "C" __global__ void __launch_bounds__(DOUBLE_THREADS, 1)
double_channels(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Resize v) {
    if (in_vectors<Channels>(x, y))
        strip<Channels, 2, true>(x, y, v);
    else
        strip<Channels, 2, false>(x, y, v);
}
