// resize/resize.cu: interpolation to other extents, along one to three axes.
//
// Computes   y[..., o, ...] = x[i] (nearest), or (1 - f) x[i] + f x[i + 1] (linear), along every
//            axis: i + f is the coordinate of o in x, (o + shift) numerator / denominator + offset
// Layout     x any strides; y contiguous, (N,C,D,P,Q) or with C last
// Launch     resize_planes: one thread for COLUMNS of y and `band` rows; resize_channels: for one
//            column and 16 bytes of channels; resize_any: for one column of one channel. Block 256,
//            all of the same rows; grid flat, strips of rows fastest; shared: taps of rows and columns
// Traffic    |x| + |y| bytes; linear: 3 (2^axes - 1) flop an element. A row of x is stretched once
//            for all rows of a strip that are made from it; rows that none needs are not read
// Range      extents of an axis below 2^31, 64-bit offsets
// Siblings   double.cu: to twice the size
// Source     operator Resize of ONNX, which names the conventions
//
// entry resize_planes    two axes, columns are neighbours
// entry resize_channels  two axes, channels are neighbours, and whole vectors
// entry resize_any       any number of axes and any strides
// variant SCALAR COLUMNS = floating 1, floating 2, halves 4, single 4
// variant TAPS = 1, 2
// only resize_channels COLUMNS = 1
// only resize_any COLUMNS = 1
#include <pycnn/resize.cuh>

#ifndef COLUMNS
#define COLUMNS 1
#endif

constexpr int BAND = 16;  // the most rows of a strip

struct Shared {
    Tap columns[RESIZE_TABLE], rows[BAND], depth;
};

// One for all ways that a kernel may go.
__device__ __forceinline__ Shared& shared_tables() {
    __shared__ Shared tables;
    return tables;
}

// PIXELS: where columns of x are neighbours, and of y. VECTORS: of channels. DEPTH: there is an
// axis more.
template <int PIXELS, int LANES, bool VECTORS, bool DEPTH>
__device__ __forceinline__ void strip(const scalar_t* x, scalar_t* y, const Resize& v) {
    using Raw = Block<scalar_t, LANES>;
    struct Row {
        Raw lower[PIXELS], upper[PIXELS];
    };
    struct Line {
        acc_t at[PIXELS][LANES];
    };
    constexpr bool UNIT = LANES == 1 && !DEPTH;
    Shared& s = shared_tables();
    const Strip<PIXELS, LANES, Number<DEPTH>> at(v, v.d.extent_y, v.h.extent_y, v.w.extent_y);
    const bool fits = v.w.extent_y <= RESIZE_TABLE;
    if (fits) fill_taps(s.columns, v.w, 0, static_cast<int>(v.w.extent_y));
    fill_taps(s.rows, v.h, at.row, at.row + at.rows);
    if (DEPTH && threadIdx.x == RESIZE_THREADS - 1) s.depth = v.d.tap(at.depth);
    __syncthreads();
    if (!at.there) return;

    x += at.image;
    index_t next = 1;
    int from[PIXELS];
    acc_t weight[PIXELS];
    bool single[PIXELS];
#pragma unroll
    for (int k = 0; k < PIXELS; ++k) {
        const Tap tap = fits ? s.columns[at.q + k] : v.w.tap(at.q + k);
        single[k] = tap.single();
        from[k] = UNIT ? tap.lower : 0;
        if (!UNIT) x += tap.lower * v.sw;
        weight[k] = single[k] ? acc_t(-0.0) : tap.weight;  // of a zero: changes no sign either
    }
    if (!UNIT) next = v.sw;
    if (DEPTH) x += s.depth.lower * v.sd;
    const auto fetch = [&](const scalar_t* row) {
        Row raw;
#pragma unroll
        for (int k = 0; k < PIXELS; ++k) {
            raw.lower[k] = load_block<scalar_t, LANES>(row + from[k], VECTORS);
            raw.upper[k] = Raw{};
            if (TAPS == 2 && !single[k])
                raw.upper[k] = load_block<scalar_t, LANES>(row + from[k] + next, VECTORS);
        }
        return raw;
    };
    const auto stretched = [&](const Row& raw) {
        Line line;
#pragma unroll
        for (int k = 0; k < PIXELS; ++k) {
            acc_t upper[LANES];
            numbers(raw.lower[k], line.at[k]);
            numbers(raw.upper[k], upper);
#pragma unroll
            for (int i = 0; i < LANES; ++i)
                if (TAPS == 2)
                    line.at[k][i] = (1 - weight[k]) * line.at[k][i] + weight[k] * upper[i];
        }
        return line;
    };
    // The row behind the one that is taken is asked for, where all are needed.
    const int last = UNIT && v.h.extent_y >= v.h.extent_x ? s.rows[at.rows - 1].upper() : 0;
    Row ahead;
    int there = -1;  // the row that is in `ahead`
    const auto take = [&](int row) {
        const scalar_t* const own = x + row * v.sh;
        Line line = stretched(UNIT && row == there ? ahead : fetch(own));
        if (UNIT && row < last) {
            ahead = fetch(own + v.sh);
            there = row + 1;
        }
        if (!DEPTH || s.depth.single()) return line;
        const Line behind = stretched(fetch(own + v.sd));
#pragma unroll
        for (int k = 0; k < PIXELS; ++k)
#pragma unroll
            for (int i = 0; i < LANES; ++i)
                line.at[k][i] = s.depth.mix(line.at[k][i], behind.at[k][i]);
        return line;
    };

    const index_t width = v.w.extent_y * v.inner;
    y += ((at.outer * v.d.extent_y + at.depth) * v.h.extent_y + at.row) * width +
         at.q * v.inner + at.channel;
    const bool together = aligned_to<scalar_t, PIXELS>(y);
    Line upper, lower;
    int have = -2;      // the row of x that `upper` is
    bool both = false;  // `lower` is the next one
#pragma unroll 1
    for (int p = 0; p < at.rows; ++p, y += width) {
        const Tap down = s.rows[p];
        if (down.lower != have) {
            if (both && down.lower == have + 1)
                upper = lower;
            else
                upper = take(down.lower);
            have = down.lower;
            both = false;
        }
        Line made = upper;
        if (!down.single()) {
            if (!both) lower = take(have + 1);
            both = true;
#pragma unroll
            for (int k = 0; k < PIXELS; ++k)
#pragma unroll
                for (int i = 0; i < LANES; ++i)
                    made.at[k][i] = (1 - down.weight) * upper.at[k][i] +
                                    down.weight * lower.at[k][i];
        }
        Block<scalar_t, PIXELS * LANES> block;
#pragma unroll
        for (int k = 0; k < PIXELS; ++k)
#pragma unroll
            for (int i = 0; i < LANES; ++i) block.at[k * LANES + i] = from_acc(made.at[k][i]);
        store_block(y, block, LANES > 1 ? VECTORS : together);
    }
}

extern "C" __global__ void __launch_bounds__(RESIZE_THREADS, 1)
resize_planes(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Resize v) {
    strip<COLUMNS, 1, false, false>(x, y, v);
}

extern "C" __global__ void __launch_bounds__(RESIZE_THREADS, 1)
resize_channels(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Resize v) {
    if (aligned_to<scalar_t, RESIZE_LANES>(x) && aligned_to<scalar_t, RESIZE_LANES>(y))
        strip<1, RESIZE_LANES, true, false>(x, y, v);
    else
        strip<1, RESIZE_LANES, false, false>(x, y, v);
}

extern "C" __global__ void __launch_bounds__(RESIZE_THREADS, 1)
resize_any(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Resize v) {
    strip<1, 1, false, true>(x, y, v);
}
