// resize/grid_sample.cu: x at the points of a grid, and the gradients of both.
//
// Computes   y[n,c,p] = sum over elements e near g[n,p] of weight(e, g[n,p]) x[n,c,e], in a plane or
//            a volume: the nearest one, linear or cubic weights along every axis. g is in [-1, 1]
//            from one end of an axis to the other; beyond are zeros, the border, or reflections.
//            dx[n,c,e] = sum over p of weight(e, g[n,p]) dy[n,c,p];
//            dgrid[n,p,k] = sum over c and e of dy[n,c,p] x[n,c,e] d weight(e, g[n,p]) / d g[n,p,k]
// Layout     x (N,C,(D,)H,W), grid (N,...,2 or 3), dy (N,C,...) any strides; results contiguous
// Launch     grid_sample, _backward_grid: block 256, one thread a point of an image, which walks
//            over the channels. _bin: one block of 256 an image. _backward_input: block 256, one
//            thread an element of dx
// Traffic    forward |grid| + |y| + what the points touch of x; backward twice that, and 16 bytes a
//            point and element near it, written once and read once a channel
// Range      any extents, 64-bit index arithmetic; coordinates in double. No floating-point atomics:
//            _bin sorts what goes to an element by point, and dx is added up in that order
// Siblings   resize.cu for grids that are a product of axes
// Source     Jaderberg et al.: Spatial transformer networks, 2015; cubic: Keys, 1981
//
// entry grid_sample                 x at the points
// entry grid_sample_bin             for every element of x the points that it is part of
// entry grid_sample_backward_input  gradient of x, gathered from these, deterministic
// entry grid_sample_backward_grid   gradient of the points
// variant SCALAR = floating
// variant KIND = 0, 1, 2, 3, 4
#include <pycnn/grid_sample.cuh>

constexpr int THREADS = 256;

extern "C" __global__ void __launch_bounds__(THREADS, 1)
grid_sample(const scalar_t* __restrict__ x, const scalar_t* __restrict__ grid,
            scalar_t* __restrict__ y, GridSample p) {
    const index_t thread = flat_thread();
    if (thread >= p.images * p.points) return;
    const index_t n = thread / p.points, point = thread - n * p.points;
    index_t at[2];
    p.point.locate(point, at);
    const PointTaps taps(grid + n * p.grid_n + at[0], p);
    x += n * p.x_n;
    y += n * p.channels * p.points + point;
#pragma unroll 1
    for (index_t c = 0; c < p.channels; ++c, x += p.x_c, y += p.points) {
        acc_t sum = 0;
        taps.each(p.x_stride, [&](index_t offset, acc_t weight, const int (&)[3]) {
            sum += weight * to_acc(ldg(x + offset));
        });
        *y = from_acc(sum);
    }
}

// What one tap of one point adds to: entries are numbered by point, and within it by tap.
struct Share {
    index_t element = -1;
    acc_t weight = 0;

    __device__ __forceinline__ Share(const scalar_t* grid, index_t entry, const GridSample& p) {
        if (entry >= p.points * TAPS) return;
        index_t at[2];
        p.point.locate(entry / TAPS, at);
        const PointTaps taps(grid + at[0], p);
        int tap = static_cast<int>(entry % TAPS);
        index_t number = 0, step = 1;
        weight = 1;
#pragma unroll
        for (int a = AXES - 1; a >= 0; --a) {
            index_t along = 0;
            acc_t share = 0;
            taps.axis[a].pick(tap % WIDTH, along, share);
            tap /= WIDTH;
            if (along < 0) return;
            number += along * step;
            step *= p.extent[a];
            weight *= share;
        }
        element = number;
    }
};

// `end` (N, elements): where the shares of an element end; they begin where those before it do.
extern "C" __global__ void __launch_bounds__(THREADS, 1)
grid_sample_bin(const scalar_t* __restrict__ grid, index_t* __restrict__ end,
                index_t* __restrict__ points, acc_t* __restrict__ weights, GridSample p) {
    __shared__ index_t elements[THREADS];
    const int thread = static_cast<int>(threadIdx.x);
    const index_t n = blockIdx.x, entries = p.points * TAPS;
    grid += n * p.grid_n;
    end += n * p.elements;
    points += n * entries;
    weights += n * entries;

    for (index_t e = thread; e < p.elements; e += THREADS) end[e] = 0;
    __syncthreads();
    for (index_t i = thread; i < entries; i += THREADS) {
        const Share share(grid, i, p);
        if (share.element >= 0)
            atomicAdd(reinterpret_cast<unsigned long long*>(end + share.element), 1ull);
    }
    __syncthreads();

    // Counts become places: each thread adds up a piece of them.
    const index_t piece = ceil_div(p.elements, static_cast<index_t>(THREADS));
    const index_t first = thread * piece;
    const index_t last = first + piece < p.elements ? first + piece : p.elements;
    index_t total = 0;
    for (index_t e = first; e < last; ++e) total += end[e];
    elements[thread] = total;
    __syncthreads();
    index_t place = 0;
    for (int t = 0; t < thread; ++t) place += elements[t];
    for (index_t e = first; e < last; ++e) {
        const index_t count = end[e];
        end[e] = place;
        place += count;
    }
    __syncthreads();

    for (index_t start = 0; start < entries; start += THREADS) {
        const Share share(grid, start + thread, p);
        elements[thread] = share.element;
        __syncthreads();
        int before = 0, after = 0;
        if (share.element >= 0) {
            for (int t = 0; t < THREADS; ++t)
                if (elements[t] == share.element) (t < thread ? before : after) += t != thread;
            const index_t to = end[share.element] + before;
            points[to] = (start + thread) / TAPS;
            weights[to] = share.weight;
        }
        __syncthreads();
        // The next round reads it behind its first barrier.
        if (share.element >= 0 && after == 0) end[share.element] += before + 1;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
grid_sample_backward_input(const scalar_t* __restrict__ dy, const index_t* __restrict__ end,
                           const index_t* __restrict__ points, const acc_t* __restrict__ weights,
                           scalar_t* __restrict__ dx, GridSample p) {
    const index_t thread = flat_thread();
    if (thread >= p.images * p.channels * p.elements) return;
    index_t outer = thread;
    const index_t e = next_coordinate(outer, p.elements), c = next_coordinate(outer, p.channels);
    const index_t n = outer;
    dy += n * p.dy_n + c * p.dy_c;
    end += n * p.elements;
    points += n * p.points * TAPS;
    weights += n * p.points * TAPS;
    acc_t sum = 0;
    const index_t last = end[e];
    for (index_t i = e > 0 ? end[e - 1] : 0; i < last; ++i) {
        index_t at[2];
        p.point.locate(points[i], at);
        sum += weights[i] * to_acc(ldg(dy + at[1]));
    }
    dx[thread] = from_acc(sum);
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
grid_sample_backward_grid(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
                          const scalar_t* __restrict__ grid, scalar_t* __restrict__ dgrid,
                          GridSample p) {
    const index_t thread = flat_thread();
    if (thread >= p.images * p.points) return;
    const index_t n = thread / p.points, point = thread - n * p.points;
    index_t at[2];
    p.point.locate(point, at);
    const PointTaps taps(grid + n * p.grid_n + at[0], p);
    x += n * p.x_n;
    dy += n * p.dy_n + at[1];
    acc_t sum[AXES] = {};
#pragma unroll 1
    for (index_t c = 0; c < p.channels; ++c, x += p.x_c, dy += p.dy_c) {
        const acc_t gradient = to_acc(ldg(dy));
        taps.each(p.x_stride, [&](index_t offset, acc_t, const int (&k)[3]) {
            const acc_t value = gradient * to_acc(ldg(x + offset));
#pragma unroll
            for (int moved = 0; moved < AXES; ++moved) {
                acc_t slope = value;
#pragma unroll
                for (int a = 0; a < AXES; ++a) {
                    const int along = k[AXES - 1 - a];
                    slope *= a == moved ? taps.axis[a].slope[along] : taps.axis[a].weight[along];
                }
                sum[AXES - 1 - moved] += slope;
            }
        });
    }
#pragma unroll
    for (int k = 0; k < AXES; ++k) dgrid[thread * AXES + k] = from_acc(sum[k]);
}
