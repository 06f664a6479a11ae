// resize/resize_backward.cu: gradient of interpolation: every element of x gathers its share.
//
// Computes   dx[i] = sum of weight(o, i) dy[o] over the elements o of y that are made from i
// Layout     dy any strides; dx contiguous, (N,C,D,H,W) or with C last
// Launch     resize_backward: a band of rows of a plane of dx a block, with a chunk of the
//            channels where these are neighbours, block 256; shared: the rows of dy that are made
//            from it, plane after plane, the taps of these, what reaches its rows and columns, and
//            its sums. resize_backward_direct: one thread an element of dx
// Traffic    |dy| + |dx| bytes; 2 TAPS^axes flop an element of dy
// Range      extents of an axis below 2^31, 64-bit offsets; deterministic: in the order of dy
// Siblings   resize_backward reads every element of dy about once. resize_backward_direct is for
//            rows that shared memory does not hold
// Source     the transposed map of resize.cu
//
// entry resize_backward         through shared memory
// entry resize_backward_direct  one element a thread
// variant SCALAR = floating
// variant TAPS = 1, 2
#include <pycnn/resize.cuh>

constexpr int THREADS = 256;

extern "C" __global__ void __launch_bounds__(THREADS, 1)
resize_backward(const scalar_t* __restrict__ dy, scalar_t* __restrict__ dx, Resize v) {
    extern __shared__ __align__(16) unsigned char shared[];
    const BlockCoord blk(v, v.d.extent_x, v.h.extent_x);
    const int thread = static_cast<int>(threadIdx.x), channels = blk.channels;
    const int width = static_cast<int>(v.w.extent_x), columns = static_cast<int>(v.w.extent_y);
    const Range planes = v.d.range(blk.depth);
    const int first = v.h.range(blk.row).first;
    const int rows = v.h.range(blk.row + blk.rows - 1).last - first;
    Tap* const row_taps = reinterpret_cast<Tap*>(shared);
    Tap* const column_taps = row_taps + rows;
    Range* const row_ranges = reinterpret_cast<Range*>(column_taps + columns);
    Range* const column_ranges = row_ranges + v.band;
    acc_t* const sums = reinterpret_cast<acc_t*>(column_ranges + width);
    scalar_t* const sDy = reinterpret_cast<scalar_t*>(sums + v.band * width * v.chunk);

    for (int t = thread; t < rows; t += THREADS) row_taps[t] = v.h.tap(first + t);
    for (int t = thread; t < columns; t += THREADS) column_taps[t] = v.w.tap(t);
    for (int t = thread; t < blk.rows; t += THREADS) row_ranges[t] = v.h.range(blk.row + t);
    for (int t = thread; t < width; t += THREADS) column_ranges[t] = v.w.range(t);
    const int count = blk.rows * width * channels;
    for (int t = thread; t < count; t += THREADS) sums[t] = 0;
    __syncthreads();

    dy += v.image(blk.outer) + blk.channel * v.si;
    for (int o = planes.first; o < planes.last; ++o) {
        const acc_t of_plane = v.d.tap(o).of(blk.depth);
        load_plane<THREADS>(dy + o * v.sd, v, first, rows, columns, channels, sDy);
        __syncthreads();
        for (int t = thread; t < count; t += THREADS) {
            const unsigned pixel = static_cast<unsigned>(t) / static_cast<unsigned>(channels);
            const int r = pixel / static_cast<unsigned>(width), w = pixel - r * width;
            const Range down = row_ranges[r], across = column_ranges[w];
            acc_t sum = 0;
            for (int p = down.first; p < down.last; ++p) {
                const scalar_t* const from =
                    sDy + (p - first) * columns * channels + (t - pixel * channels);
                acc_t along = 0;
                for (int q = across.first; q < across.last; ++q)
                    along += column_taps[q].of(w) * to_acc(from[q * channels]);
                sum += row_taps[p - first].of(blk.row + r) * along;
            }
            sums[t] += of_plane * sum;
        }
        __syncthreads();
    }

    dx += (((blk.outer * v.d.extent_x + blk.depth) * v.h.extent_x + blk.row) * width) *
              v.inner + blk.channel;
    for (int t = thread - (channels == v.inner ? sector_skew(dx) : 0); t < count; t += THREADS) {
        if (t < 0) continue;
        const unsigned pixel = static_cast<unsigned>(t) / static_cast<unsigned>(channels);
        dx[static_cast<index_t>(pixel) * v.inner + (t - pixel * channels)] = from_acc(sums[t]);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
resize_backward_direct(const scalar_t* __restrict__ dy, scalar_t* __restrict__ dx, Resize v) {
    index_t rest = flat_thread();
    dx += rest;
    const index_t i = rest % v.inner;
    rest /= v.inner;
    const int w = static_cast<int>(rest % v.w.extent_x);
    rest /= v.w.extent_x;
    const int h = static_cast<int>(rest % v.h.extent_x);
    rest /= v.h.extent_x;
    const int d = static_cast<int>(rest % v.d.extent_x);
    rest /= v.d.extent_x;
    if (rest >= v.outer) return;
    dy += v.image(rest) + i * v.si;
    const Range planes = v.d.range(d), down = v.h.range(h), across = v.w.range(w);
    acc_t sum = 0;
    for (int o = planes.first; o < planes.last; ++o)
        for (int p = down.first; p < down.last; ++p) {
            const acc_t of_row = v.d.tap(o).of(d) * v.h.tap(p).of(h);
            acc_t along = 0;
            for (int q = across.first; q < across.last; ++q)
                along += v.w.tap(q).of(w) * to_acc(dy[o * v.sd + p * v.sh + q * v.sw]);
            sum += of_row * along;
        }
    *dx = from_acc(sum);
}
