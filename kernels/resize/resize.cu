// resize/resize.cu: interpolation to other extents, along one to three axes.
//
// Computes   y[..., o, ...] = x[i] (nearest), or (1 - f) x[i] + f x[i + 1] (linear), along every
//            axis: i + f is the coordinate of o in x, (o + shift) numerator / denominator + offset
// Layout     x any strides; y contiguous, (N,C,D,P,Q) or with C last
// Launch     resize: a band of rows of a plane a block, with a chunk of the channels where these
//            are neighbours, block 256; shared: the rows of x it is made from, and the taps of its
//            rows and columns. resize_direct: one thread an element of y
// Traffic    |x| + |y| bytes; linear: 3 (2^axes - 1) flop an element
// Range      extents of an axis below 2^31, 64-bit offsets
// Siblings   resize reads every element of x about once. resize_direct is for shrinking, where
//            most of x is not read, and for rows that shared memory does not hold
// Source     operator Resize of ONNX, which names the conventions
//
// entry resize         through shared memory
// entry resize_direct  one element a thread
// variant SCALAR = floating
// variant TAPS = 1, 2
#include <pycnn/resize.cuh>

constexpr int THREADS = 256;

template <typename Offset>
__device__ __forceinline__ acc_t bilinear(const scalar_t* from, const Tap& down, Offset next,
                                          const Tap& across, Offset step) {
    return down.mix(across.mix(to_acc(from[0]), to_acc(from[step])),
                    across.mix(to_acc(from[next]), to_acc(from[next + step])));
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
resize(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Resize v) {
    extern __shared__ __align__(16) unsigned char shared[];
    const BlockCoord blk(v, v.d.extent_y, v.h.extent_y);
    const int thread = static_cast<int>(threadIdx.x), channels = blk.channels;
    const int width = static_cast<int>(v.w.extent_x), columns = static_cast<int>(v.w.extent_y);
    Tap* const row_taps = reinterpret_cast<Tap*>(shared);
    Tap* const column_taps = row_taps + v.band;
    scalar_t* const sX = reinterpret_cast<scalar_t*>(column_taps + columns);

    for (int t = thread; t < blk.rows + columns; t += THREADS)
        if (t < blk.rows)
            row_taps[t] = v.h.tap(blk.row + t);
        else
            column_taps[t - blk.rows] = v.w.tap(t - blk.rows);
    const Tap depth = v.d.tap(blk.depth);
    __syncthreads();
    const int row = row_taps[0].lower, rows = row_taps[blk.rows - 1].upper() + 1 - row;
    x += v.image(blk.outer) + depth.lower * v.sd + blk.channel * v.si;
    load_plane<THREADS>(x, v, row, rows, width, channels, sX);
    const int plane = rows * width * channels;
    if (!depth.single())
        load_plane<THREADS>(x + v.sd, v, row, rows, width, channels, sX + plane);
    __syncthreads();

    y += (((blk.outer * v.d.extent_y + blk.depth) * v.h.extent_y + blk.row) * columns) *
             v.inner + blk.channel;
    const int count = blk.rows * columns * channels;
    for (int t = thread - (channels == v.inner ? sector_skew(y) : 0); t < count; t += THREADS) {
        if (t < 0) continue;
        const unsigned pixel = static_cast<unsigned>(t) / static_cast<unsigned>(channels);
        const int p = pixel / static_cast<unsigned>(columns), q = pixel - p * columns;
        const Tap down = row_taps[p], across = column_taps[q];
        const int step = channels * !across.single();
        const scalar_t* from = sX + ((down.lower - row) * width + across.lower) * channels +
                             (t - pixel * channels);
        scalar_t* const to = y + static_cast<index_t>(pixel) * v.inner + (t - pixel * channels);
        if (TAPS == 1) {
            *to = *from;
            continue;
        }
        const int next = width * channels * !down.single();
        acc_t value = bilinear(from, down, next, across, step);
        if (!depth.single())
            value = depth.mix(value, bilinear(from + plane, down, next, across, step));
        *to = from_acc(value);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
resize_direct(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Resize v) {
    index_t rest = flat_thread();
    y += rest;
    const index_t i = rest % v.inner;
    rest /= v.inner;
    const Tap across = v.w.tap(static_cast<int>(rest % v.w.extent_y));
    rest /= v.w.extent_y;
    const Tap down = v.h.tap(static_cast<int>(rest % v.h.extent_y));
    rest /= v.h.extent_y;
    const Tap depth = v.d.tap(static_cast<int>(rest % v.d.extent_y));
    rest /= v.d.extent_y;
    if (rest >= v.outer) return;
    x += v.image(rest) + i * v.si + depth.lower * v.sd + down.lower * v.sh + across.lower * v.sw;
    if (TAPS == 1) {
        *y = *x;
        return;
    }
    const index_t step = across.single() ? 0 : v.sw, next = down.single() ? 0 : v.sh;
    acc_t value = bilinear(x, down, next, across, step);
    if (!depth.single()) value = depth.mix(value, bilinear(x + v.sd, down, next, across, step));
    *y = from_acc(value);
}
