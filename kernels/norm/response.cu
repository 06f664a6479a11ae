// norm/response.cu: local response normalisation across channels, and its gradient as a gather.
//
// Computes   y[c] = x[c] * d[c]^-beta,  d[c] = k + alpha / size * sum of x[j]^2 over the window
//            c - size/2 <= j < c - size/2 + size, zeros outside, at every pixel
//            dx[c] = dy[c] * d[c]^-beta - 2 alpha beta / size * x[c] *
//                    sum of dy[j] * x[j] * d[j]^(-beta-1) over the j whose window holds c
// Layout     x, dy any strides; results of either layout, contiguous
// Launch     planes: a thread a pixel and `tile` channels, one after the other; its window slides
//            through a ring in shared memory. rows: block 256, `tile` channels of `rows` pixels
//            with the windows' ends in shared memory. grid (pixels, tiles)
// Traffic    |x| + |y|, backward |dy| + |x| + |dx| bytes, and the windows' ends between tiles
// Range      any extents, 64-bit index arithmetic; window as far as shared memory holds it. Every
//            window is summed anew, so nothing drifts and one NaN reaches its window alone; once more,
//            scaled, where squares overflow
// Siblings   planes where pixels are neighbours (NCHW), rows where channels are (NHWC);
//            response_vectors.cu for the usual window of 5 and power of 3/4
// Source     Krizhevsky, Sutskever, Hinton: ImageNet classification, 2012, section 3.3
//
// entry response_planes           normalised responses, pixels being neighbours
// entry response_rows             normalised responses, channels being neighbours
// entry response_backward_planes  gradient with respect to x, pixels being neighbours
// entry response_backward_rows    gradient with respect to x, channels being neighbours
// variant SCALAR = floating
#include <pycnn/response.cuh>

constexpr int AHEAD = 4;  // loads that a thread has in flight

// Sum of the squares of `size` neighbours, times unit.
__device__ __forceinline__ acc_t squares_of(const acc_t* window, int size, acc_t unit) {
    acc_t total = 0;
    for (int s = 0; s < size; ++s) total += (window[s] * unit) * (window[s] * unit);
    return total;
}

// One channel of a pixel after the other, zeros outside.
struct Column {
    const scalar_t* from;
    index_t stride, channels;

    __device__ __forceinline__ acc_t at(index_t c) const {
        return c >= 0 && c < channels ? to_acc(from[c * stride]) : acc_t(0);
    }
};

// The last `size` values of each thread, in shared memory.
struct Ring {
    acc_t* mine;
    int size;

    __device__ __forceinline__ Ring(acc_t* shared, int number, int length)
        : mine(shared + number * length * blockDim.x + threadIdx.x), size(length) {}
    __device__ __forceinline__ acc_t& operator[](int slot) const {
        return mine[slot * blockDim.x];
    }
    __device__ __forceinline__ acc_t sum() const {
        acc_t total = 0;
        for (int s = 0; s < size; ++s) total += (*this)[s];
        return total;
    }
    __device__ __forceinline__ acc_t squares(acc_t unit) const {
        acc_t total = 0;
        for (int s = 0; s < size; ++s) total += ((*this)[s] * unit) * ((*this)[s] * unit);
        return total;
    }
    __device__ __forceinline__ int around(int slot) const {
        return slot >= size ? slot - size : slot;
    }
};

extern "C" __global__ void __launch_bounds__(THREADS, 1)
response_planes(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Response<2> p) {
    extern __shared__ __align__(16) acc_t shared[];
    const index_t pixel = flat_thread();
    if (pixel >= p.pixels) return;
    const Column from = {x + offset_of(p.pixel, 0, pixel), p.channel[0], p.channels};
    scalar_t* const to = y + offset_of(p.pixel, 1, pixel);
    const index_t first = static_cast<index_t>(blockIdx.y) * p.tile;
    const index_t last = first + p.tile < p.channels ? first + p.tile : p.channels;
    const acc_t share = static_cast<acc_t>(p.share), beta = static_cast<acc_t>(p.beta);
    const acc_t k = static_cast<acc_t>(p.k);
    const Ring window(shared, 0, p.size);
    for (int s = 0; s < p.size - 1; ++s) window[s] = from.at(first - p.before + s);
    int newest = p.size - 1;
    for (index_t c = first; c < last; c += AHEAD) {
        acc_t next[AHEAD];
#pragma unroll
        for (int i = 0; i < AHEAD; ++i) next[i] = from.at(c + i + p.after);
#pragma unroll
        for (int i = 0; i < AHEAD; ++i) {
            if (c + i >= last) break;
            window[newest] = next[i];
            newest = window.around(newest + 1);  // the oldest now
            const acc_t own = window[window.around(newest + p.before)];
            const Denominator d(k, share, beta, [&](acc_t unit) { return window.squares(unit); });
            to[(c + i) * p.channel[1]] = from_acc(d.of(own));
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
response_backward_planes(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
                         scalar_t* __restrict__ dx, Response<3> p) {
    extern __shared__ __align__(16) acc_t shared[];
    const index_t pixel = flat_thread();
    if (pixel >= p.pixels) return;
    const Column from_dy = {dy + offset_of(p.pixel, 0, pixel), p.channel[0], p.channels};
    const Column from_x = {x + offset_of(p.pixel, 1, pixel), p.channel[1], p.channels};
    scalar_t* const to = dx + offset_of(p.pixel, 2, pixel);
    const index_t first = static_cast<index_t>(blockIdx.y) * p.tile;
    const index_t last = first + p.tile < p.channels ? first + p.tile : p.channels;
    const acc_t share = static_cast<acc_t>(p.share), beta = static_cast<acc_t>(p.beta);
    const acc_t k = static_cast<acc_t>(p.k), twice = 2 * share * beta;
    const Ring window(shared, 0, p.size), behind(shared, 1, p.size), direct(shared, 2, p.size);
    // Channel j is worked out when x[j + after] is there, and dx[j - before] is complete then.
    index_t j = first - p.after;
    for (int s = 0; s < p.size; ++s) {
        window[s] = s < p.size - 1 ? from_x.at(j - p.before + s) : acc_t(0);
        behind[s] = direct[s] = 0;
    }
    int newest = p.size - 1;
    for (; j < last + p.before; j += AHEAD) {
        acc_t next[AHEAD], g[AHEAD];
#pragma unroll
        for (int i = 0; i < AHEAD; ++i) {
            next[i] = from_x.at(j + i + p.after);
            g[i] = from_dy.at(j + i);
        }
#pragma unroll
        for (int i = 0; i < AHEAD; ++i) {
            if (j + i >= last + p.before) break;
            window[newest] = next[i];
            const int oldest = window.around(newest + 1);
            const acc_t own = window[window.around(oldest + p.before)];
            const Denominator d(k, share, beta, [&](acc_t unit) { return window.squares(unit); });
            const acc_t scaled = d.of(g[i]);
            const bool inside = j + i >= 0 && j + i < p.channels;
            direct[newest] = inside ? scaled : acc_t(0);
            behind[newest] = inside ? d.behind(scaled, own) : acc_t(0);
            const index_t c = j + i - p.before;
            if (c >= first) {
                const int then = direct.around(newest + p.size - p.before);
                to[c * p.channel[2]] =
                    from_acc(direct[then] - twice * window[oldest] * behind.sum());
            }
            newest = oldest;
        }
    }
}

// A block's channels with `margin` more on both sides, of each of its pixels.
template <int OPERANDS>
struct Tile {
    const Response<OPERANDS>& p;
    index_t pixel, first;  // of the block
    int width, pixels;

    __device__ __forceinline__ explicit Tile(const Response<OPERANDS>& params) : p(params) {
        pixel = static_cast<index_t>(blockIdx.x) * p.rows;
        first = static_cast<index_t>(blockIdx.y) * p.tile;
        width = first + p.tile < p.channels ? p.tile : static_cast<int>(p.channels - first);
        pixels = pixel + p.rows < p.pixels ? p.rows : static_cast<int>(p.pixels - pixel);
    }
    // body(row, c): every channel from first - left up to first + width + right. Those of the
    // tile itself go first, so that warps begin where sectors do.
    template <typename Body>
    __device__ __forceinline__ void each(int left, int right, Body body) const {
        const unsigned line = width, ends = left + right;
        for (unsigned i = threadIdx.x; i < line * pixels; i += THREADS) {
            const unsigned row = i / line;
            body(static_cast<int>(row), static_cast<int>(i - row * line));
        }
        for (unsigned i = threadIdx.x; i < ends * pixels; i += THREADS) {
            const unsigned row = i / ends;
            const int c = static_cast<int>(i - row * ends) - left;
            body(static_cast<int>(row), c < 0 ? c : c + width);
        }
    }
    __device__ __forceinline__ bool inside(int c) const {
        return first + c >= 0 && first + c < p.channels;
    }
    __device__ __forceinline__ index_t offset(int operand, int row, int c) const {
        return offset_of(p.pixel, operand, pixel + row) + (first + c) * p.channel[operand];
    }
};

extern "C" __global__ void __launch_bounds__(THREADS, 1)
response_rows(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Response<2> p) {
    extern __shared__ __align__(16) acc_t shared[];
    const Tile<2> tile(p);
    const int pitch = p.tile + p.size - 1;
    const acc_t share = static_cast<acc_t>(p.share), beta = static_cast<acc_t>(p.beta);
    const acc_t k = static_cast<acc_t>(p.k);
    tile.each(p.before, p.after, [&](int row, int c) {
        shared[row * pitch + p.before + c] =
            tile.inside(c) ? to_acc(x[tile.offset(0, row, c)]) : acc_t(0);
    });
    __syncthreads();
    tile.each(0, 0, [&](int row, int c) {
        const acc_t* const window = shared + row * pitch + c;
        const Denominator d(k, share, beta,
                            [&](acc_t unit) { return squares_of(window, p.size, unit); });
        y[tile.offset(1, row, c)] = from_acc(d.of(window[p.before]));
    });
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
response_backward_rows(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
                       scalar_t* __restrict__ dx, Response<3> p) {
    extern __shared__ __align__(16) acc_t shared[];
    const Tile<3> tile(p);
    const int margin = p.size - 1, pitch = p.tile + 2 * margin;
    acc_t* const behind = shared + p.rows * pitch;
    acc_t* const direct = behind + p.rows * pitch;
    const acc_t share = static_cast<acc_t>(p.share), beta = static_cast<acc_t>(p.beta);
    const acc_t k = static_cast<acc_t>(p.k), twice = 2 * share * beta;
    tile.each(margin, margin, [&](int row, int c) {
        shared[row * pitch + margin + c] =
            tile.inside(c) ? to_acc(x[tile.offset(1, row, c)]) : acc_t(0);
    });
    __syncthreads();
    tile.each(p.after, p.before, [&](int row, int c) {
        const int at = row * pitch + margin + c;
        const acc_t* const window = shared + at - p.before;
        const Denominator d(k, share, beta,
                            [&](acc_t unit) { return squares_of(window, p.size, unit); });
        const acc_t g = tile.inside(c) ? to_acc(dy[tile.offset(0, row, c)]) : acc_t(0);
        const acc_t scaled = tile.inside(c) ? d.of(g) : acc_t(0);
        direct[at] = scaled;
        behind[at] = tile.inside(c) ? d.behind(scaled, shared[at]) : acc_t(0);
    });
    __syncthreads();
    tile.each(0, 0, [&](int row, int c) {
        const int at = row * pitch + margin + c;
        acc_t sum = 0;
        for (int s = 0; s < p.size; ++s) sum += behind[at - p.after + s];
        dx[tile.offset(2, row, c)] = from_acc(direct[at] - twice * shared[at] * sum);
    });
}
