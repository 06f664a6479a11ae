// resize/resize_backward.cu: gradient of interpolation: every element of x gathers its share.
//
// Computes   dx[i] = sum of weight(o, i) dy[o] over the elements o of y that are made from i
// Layout     dy any strides; dx contiguous, (N,C,D,H,W) or with C last
// Launch     resize_planes_backward, resize_any_backward: one thread for a column of dx and `band`
//            rows; resize_channels_backward: for 16 bytes of channels of one. Block 256, all of the
//            same rows; grid flat, strips of rows fastest; shared: taps of rows and columns, and what
//            reaches a column
// Traffic    |dy| + |dx| bytes; 2 TAPS^axes flop an element of dy. A row of dy is gathered once, for
//            both rows of dx that it goes to
// Range      extents of an axis below 2^31, 64-bit offsets; deterministic: in the order of dy
// Siblings   double_backward.cu: from twice the size
// Source     the transposed map of resize.cu
//
// entry resize_planes_backward    two axes, columns are neighbours; at most SPAN reach one
// entry resize_channels_backward  two axes, channels are neighbours, and whole vectors
// entry resize_any_backward       any number of axes, any strides, any number of columns
// variant SCALAR = floating
// variant TAPS = 1, 2
// variant SPAN = 0, 4, 8
// only resize_planes_backward SPAN = 4, 8
// only resize_any_backward SPAN = 0
#include <pycnn/resize.cuh>

#ifndef SPAN
#define SPAN 0
#endif

constexpr int TURN = 64;  // rows of dy whose taps are in shared memory at a time

constexpr int RESIDENT = sizeof(scalar_t) == 2 && SPAN == 4 ? 3 : 1;  // blocks at once: 80 registers

struct Shared {
    Tap columns[RESIZE_TABLE], rows[TURN];
    int first[RESIZE_TABLE], last[RESIZE_TABLE];  // of the columns of dy that reach one of dx
};

// One for all ways that a kernel may go.
__device__ __forceinline__ Shared& shared_tables() {
    __shared__ Shared tables;
    return tables;
}

// KEPT: at most as many columns reach one, and their weights are kept; 0: any number.
template <int LANES, int KEPT, bool VECTORS, bool DEPTH>
__device__ __forceinline__ void strip(const scalar_t* dy, scalar_t* dx, const Resize& v) {
    constexpr bool UNIT = LANES == 1 && !DEPTH;
    constexpr int AHEAD = LANES > 1 || DEPTH ? 1 : KEPT > 4 ? 2 : 4;  // rows asked for at once
    constexpr int MANY = KEPT ? KEPT : 1;
    using Raw = Block<scalar_t, LANES>;
    Shared& s = shared_tables();
    const Strip<1, LANES, Number<DEPTH>> at(v, v.d.extent_x, v.h.extent_x, v.w.extent_x);
    const int width = static_cast<int>(v.w.extent_x), columns = static_cast<int>(v.w.extent_y);
    const bool fits = width <= RESIZE_TABLE && columns <= RESIZE_TABLE;
    if (KEPT || fits) {
        fill_taps(s.columns, v.w, 0, columns);
        __syncthreads();
        fill_reach<RESIZE_THREADS>(s.columns, columns, 0, width, s.first, s.last);
        __syncthreads();
    }
    Range across{0, 0};
    if (at.there)
        across = KEPT || fits ? Range{s.first[at.q], s.last[at.q]} : v.w.window(at.q, at.q + 1);
    const int count = across.last - across.first;
    acc_t weight[MANY];
#pragma unroll
    for (int j = 0; j < KEPT; ++j)
        weight[j] = j < count ? s.columns[across.first + j].of(at.q) : acc_t(0);
    const index_t step = UNIT ? 1 : v.sw;
    const index_t line = v.w.extent_x * v.inner;
    if (at.there) dy += at.image + across.first * v.sw;
    dx += ((at.outer * v.d.extent_x + at.depth) * v.h.extent_x + at.row) * line +
          at.q * v.inner + at.channel;

    const auto gather = [&](const scalar_t* row, acc_t (&sum)[LANES]) {
        for (int j = 0; j < count; ++j) {
            const int o = across.first + j;
            const Tap tap = fits ? s.columns[o] : v.w.tap(o);
            if (!tap.reaches(at.q)) continue;
            acc_t value[LANES];
            numbers(load_block<scalar_t, LANES>(row + j * step, VECTORS), value);
#pragma unroll
            for (int i = 0; i < LANES; ++i) sum[i] += tap.of(at.q) * value[i];
        }
    };
    acc_t upper[LANES] = {}, lower[LANES] = {};
    int have = at.row - 1;  // the row of dx that `upper` is; `lower` is the next one
    const int end = at.row + at.rows;
    const auto advance = [&](int to) {
#pragma unroll 1
        for (; have < to; ++have) {
            if (have >= at.row) {
                Block<scalar_t, LANES> block;
#pragma unroll
                for (int i = 0; i < LANES; ++i) block.at[i] = from_acc(upper[i]);
                store_block(dx, block, VECTORS);
                dx += line;
            }
#pragma unroll
            for (int i = 0; i < LANES; ++i) {
                upper[i] = lower[i];
                lower[i] = 0;
            }
        }
    };
    const Range lines = v.h.window(at.row, end);
    for (int turn = lines.first; turn < lines.last; turn += TURN) {
        int stop = turn + TURN < lines.last ? turn + TURN : lines.last;
        __syncthreads();
        fill_taps(s.rows, v.h, turn, stop);
        __syncthreads();
        if (!at.there) continue;
        int first = turn;  // the window is a little wide
        while (first < stop && s.rows[first - turn].upper() < at.row) ++first;
        while (first < stop && s.rows[stop - 1 - turn].lower >= end) --stop;
        const scalar_t* row = dy + first * v.sh;
#pragma unroll 1
        for (int p = first; p < stop; p += AHEAD) {
            acc_t sum[AHEAD][LANES] = {};
            if constexpr (DEPTH) {
                const Range planes = v.d.window(at.depth, at.depth + 1);
                for (int o = planes.first; o < planes.last; ++o) {
                    const Tap tap = v.d.tap(o);
                    if (!tap.reaches(at.depth)) continue;
                    acc_t of_plane[LANES] = {};
                    gather(row + o * v.sd, of_plane);
#pragma unroll
                    for (int i = 0; i < LANES; ++i) sum[0][i] += tap.of(at.depth) * of_plane[i];
                }
                row += v.sh;
            } else if constexpr (KEPT > 0) {
                Raw raw[AHEAD][MANY] = {};
#pragma unroll
                for (int r = 0; r < AHEAD; ++r) {
#pragma unroll
                    for (int j = 0; j < KEPT; ++j)
                        if (j < count && p + r < stop)
                            raw[r][j] = load_block<scalar_t, LANES>(row + j * step, VECTORS);
                    row += v.sh;
                }
#pragma unroll
                for (int r = 0; r < AHEAD; ++r)
#pragma unroll
                    for (int j = 0; j < KEPT; ++j) {
                        acc_t value[LANES];
                        numbers(raw[r][j], value);
#pragma unroll
                        for (int i = 0; i < LANES; ++i) sum[r][i] += weight[j] * value[i];
                    }
            } else {
#pragma unroll
                for (int r = 0; r < AHEAD; ++r) {
                    if (p + r < stop) gather(row, sum[r]);
                    row += v.sh;
                }
            }
#pragma unroll
            for (int r = 0; r < AHEAD; ++r) {
                if (p + r >= stop) break;
                const Tap down = s.rows[p + r - turn];
                advance(down.lower);
                const acc_t own = down.single() ? acc_t(1) : 1 - down.weight;
#pragma unroll
                for (int i = 0; i < LANES; ++i) {
                    upper[i] += own * sum[r][i];
                    if (!down.single()) lower[i] += down.weight * sum[r][i];
                }
            }
        }
    }
    if (at.there) advance(end);
}

extern "C" __global__ void __launch_bounds__(RESIZE_THREADS, 1)
resize_planes_backward(const scalar_t* __restrict__ dy, scalar_t* __restrict__ dx, Resize v) {
    strip<1, SPAN, false, false>(dy, dx, v);
}

extern "C" __global__ void __launch_bounds__(RESIZE_THREADS, RESIDENT)
resize_channels_backward(const scalar_t* __restrict__ dy, scalar_t* __restrict__ dx, Resize v) {
    if (aligned_to<scalar_t, RESIZE_LANES>(dy) && aligned_to<scalar_t, RESIZE_LANES>(dx))
        strip<RESIZE_LANES, SPAN, true, false>(dy, dx, v);
    else
        strip<RESIZE_LANES, 0, false, false>(dy, dx, v);
}

extern "C" __global__ void __launch_bounds__(RESIZE_THREADS, 1)
resize_any_backward(const scalar_t* __restrict__ dy, scalar_t* __restrict__ dx, Resize v) {
    strip<1, 0, false, true>(dy, dx, v);
}
