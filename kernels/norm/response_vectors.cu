// norm/response_vectors.cu: local response normalisation of 5 channels, to the power of 3/4.
//
// Computes   as response.cu, with windows c - 2 <= j <= c + 2 and beta = 3/4
// Layout     operands whose pixels are neighbours (planes), or whose channels are (rows) and whole
//            vectors; any strides along the others; results contiguous
// Launch     planes: a thread for PIXELS neighbours and `tile` channels, of which it keeps a window
//            in registers. rows: a thread for 16 bytes of channels of a pixel; those beside them come
//            from L1. Block 128, grid flat (planes: and tiles); no shared memory
// Traffic    |x| + |y|, backward |dy| + |x| + |dx| bytes, and four channels more of every tile
// Range      fewer than 2^31 threads and channels; 64-bit offsets; alpha >= 0, k >= 1e-30. As in
//            response.cu every window is summed anew; a thread that meets a sum that is no number
//            computes its elements once more, one by one, as response.cu does
// Siblings   response.cu takes any window and power
// Source     as response.cu
//
// entry response_vectors_planes           normalised responses, pixels being neighbours
// entry response_vectors_rows             normalised responses, channels being neighbours
// entry response_vectors_backward_planes  gradient with respect to x, pixels being neighbours
// entry response_vectors_backward_rows    gradient with respect to x, channels being neighbours
// variant SCALAR = floating
// variant PACKED = 0, 1
// only response_vectors_rows PACKED = 1
// only response_vectors_backward_rows PACKED = 1
#include <pycnn/block.cuh>
#include <pycnn/narrow.cuh>
#include <pycnn/response.cuh>

#ifndef PACKED
#define PACKED 1
#endif

constexpr int HALF = 2;  // channels of a window on either side of its own
constexpr int RESPONSE_THREADS = 128;
constexpr int STEP = 8;  // channels that a thread of planes asks for at once
// Neighbouring pixels of a thread, no more than registers hold with these channels.
constexpr int MOST = PACKED ? VEC_SIZE : 1;
constexpr int PIXELS = MOST < 4 ? MOST : 4;
constexpr int PIXELS_BACKWARD = MOST < 2 ? MOST : 2;

struct Constants {
    acc_t k, share, twice;

    template <int OPERANDS>
    __device__ __forceinline__ explicit Constants(const Response<OPERANDS>& p)
        : k(static_cast<acc_t>(p.k)), share(static_cast<acc_t>(p.share)) {
        twice = 2 * share * acc_t(0.75);
    }
};

// d^(-3/4) and 1/d of one window, where d is a number of at least k.
struct Powers {
    acc_t power, inverse;

    __device__ __forceinline__ explicit Powers(acc_t d) {
        if constexpr (sizeof(scalar_t) == 2) {
            const acc_t r = short_inverse_root(d), root = short_root(r);
            power = r * root;
            inverse = r * r;
        } else {
            const acc_t root = sqrt(d);
            power = acc_t(1) / (root * sqrt(root));
            inverse = acc_t(1) / d;
        }
    }
};

// d of the windows around x[HALF + i]; whether all are numbers: then they are at least k.
template <int COUNT>
__device__ __forceinline__ bool denominators(const Constants& by, const acc_t (&x)[COUNT + 2 * HALF],
                                             acc_t (&d)[COUNT]) {
    acc_t pair[COUNT + 2 * HALF - 1];
#pragma unroll
    for (int i = 0; i < COUNT + 2 * HALF - 1; ++i) pair[i] = x[i] * x[i] + x[i + 1] * x[i + 1];
    bool usual = true;
#pragma unroll
    for (int i = 0; i < COUNT; ++i) {
        d[i] = by.k + by.share * (pair[i] + pair[i + 2] + x[i + 4] * x[i + 4]);
        usual = usual && d[i] < limits<acc_t>::infinity();
    }
    return usual;
}

// Of pairs, which neighbouring windows share.
template <int ALL>
__device__ __forceinline__ acc_t sum_of_window(const acc_t (&of)[ALL], int i) {
    return (of[i] + of[i + 1]) + (of[i + 2] + of[i + 3]) + of[i + 4];
}

// The channels of one pixel, zeros outside, as response.cu goes about them.
struct Careful {
    const scalar_t* x;
    index_t step;
    int channels;
    Constants by;

    static __device__ __forceinline__ acc_t at(const scalar_t* from, index_t step, int c,
                                               int channels) {
        return inside(c, channels) ? to_acc(from[c * step]) : acc_t(0);
    }
    __device__ __forceinline__ acc_t own(int c) const { return at(x, step, c, channels); }
    __device__ __forceinline__ Denominator denominator(int c) const {
        return Denominator(by.k, by.share, acc_t(0.75), [&](acc_t unit) {
            acc_t total = 0;
#pragma unroll 1
            for (int j = c - HALF; j <= c + HALF; ++j) total += (own(j) * unit) * (own(j) * unit);
            return total;
        });
    }
    __device__ __forceinline__ acc_t forward(int c) const { return denominator(c).of(own(c)); }
    __device__ __forceinline__ acc_t backward(const scalar_t* dy, index_t dy_step, int c) const {
        acc_t direct = 0, sum = 0;
#pragma unroll 1
        for (int j = c - HALF; j <= c + HALF; ++j) {
            if (!inside(j, channels)) continue;
            const Denominator d = denominator(j);
            const acc_t scaled = d.of(at(dy, dy_step, j, channels));
            sum += d.behind(scaled, own(j));
            if (j == c) direct = scaled;
        }
        return direct - by.twice * own(c) * sum;
    }
};

template <int COUNT>
__device__ __forceinline__ void load(const scalar_t* from, bool there, bool vectors,
                                     acc_t (&to)[COUNT]) {
    if (!there) {
#pragma unroll
        for (int i = 0; i < COUNT; ++i) to[i] = 0;
        return;
    }
    const auto block = load_block<scalar_t, COUNT>(from, vectors);
    if constexpr (COUNT % 2 == 0)
        unpack(block.at, to);
    else
        to[0] = to_acc(block.at[0]);
}

template <int COUNT>
__device__ __forceinline__ void store(scalar_t* to, const acc_t (&value)[COUNT], bool vectors) {
    Block<scalar_t, COUNT> block;
#pragma unroll
    for (int i = 0; i < COUNT; ++i) block.at[i] = from_acc(value[i]);
    store_block(to, block, vectors);
}

// Where a thread of planes is: its pixels in every operand, and its channels.
template <int WIDTH, int OPERANDS>
struct Column {
    index_t at[OPERANDS];
    int first, last, channels;
    bool there;

    __device__ __forceinline__ explicit Column(const Response<OPERANDS>& p) {
        const unsigned number = blockIdx.x * RESPONSE_THREADS + threadIdx.x;
        const index_t pixel = static_cast<index_t>(number) * WIDTH;
        there = pixel < p.pixels;
        p.pixel.locate(there ? pixel : 0, at);
        channels = static_cast<int>(p.channels);
        first = static_cast<int>(blockIdx.y) * p.tile;
        last = first + p.tile < channels ? first + p.tile : channels;
    }
};

// Of windows of channels of COUNT pixels, what is kept for the next step.
template <int COUNT, int ALL>
__device__ __forceinline__ void slide(acc_t (&values)[COUNT][ALL]) {
#pragma unroll
    for (int k = 0; k < COUNT; ++k)
#pragma unroll
        for (int i = 0; i < ALL - STEP; ++i) values[k][i] = values[k][i + STEP];
}

// Which channels of a step are there: all, or those that are asked.
struct All {
    __device__ __forceinline__ bool operator()(int, int) const { return true; }
};
struct Some {
    __device__ __forceinline__ bool operator()(int c, int channels) const {
        return inside(c, channels);
    }
};

template <bool VECTORS>
__device__ __forceinline__ void forward_planes(const scalar_t* x, scalar_t* y,
                                               const Response<2>& p) {
    const Column<PIXELS, 2> column(p);
    if (!column.there) return;
    const Constants by(p);
    x += column.at[0];
    y += column.at[1];
    acc_t window[PIXELS][STEP + 2 * HALF];
    const auto load_channel = [&](auto there, int c, int i) {
        acc_t values[PIXELS];
        load(x + c * p.channel[0], there(c, column.channels), VECTORS, values);
#pragma unroll
        for (int k = 0; k < PIXELS; ++k) window[k][i] = values[k];
    };
#pragma unroll
    for (int i = 0; i < 2 * HALF; ++i) load_channel(Some(), column.first - HALF + i, STEP + i);
    const auto step = [&](auto there, int c) {
        slide(window);
#pragma unroll
        for (int i = 0; i < STEP; ++i) load_channel(there, c + HALF + i, 2 * HALF + i);
        acc_t result[STEP][PIXELS];
        bool usual = true;
#pragma unroll
        for (int k = 0; k < PIXELS; ++k) {
            acc_t d[STEP];
            usual = denominators<STEP>(by, window[k], d) && usual;
#pragma unroll
            for (int i = 0; i < STEP; ++i) result[i][k] = window[k][HALF + i] * Powers(d[i]).power;
        }
#pragma unroll
        for (int i = 0; i < STEP; ++i)
            if (there(c + i, column.last)) store(y + (c + i) * p.channel[1], result[i], VECTORS);
        return usual;
    };
#pragma unroll 1
    for (int c = column.first; c < column.last; c += STEP) {
        const bool all = c + STEP <= column.last && c + STEP + HALF <= column.channels;
        if (VECTORS && all ? step(All(), c) : step(Some(), c)) continue;
#pragma unroll 1
        for (int i = 0; i < STEP * PIXELS; ++i) {
            const int at = c + i / PIXELS, k = i % PIXELS;
            const Careful careful = {x + k, p.channel[0], column.channels, by};
            if (at < column.last) y[at * p.channel[1] + k] = from_acc(careful.forward(at));
        }
    }
}

template <bool VECTORS>
__device__ __forceinline__ void backward_planes(const scalar_t* dy, const scalar_t* x,
                                                scalar_t* dx, const Response<3>& p) {
    constexpr int WIDTH = PIXELS_BACKWARD;
    const Column<WIDTH, 3> column(p);
    if (!column.there) return;
    const Constants by(p);
    dy += column.at[0];
    x += column.at[1];
    dx += column.at[2];
    // Channel j is worked out when x[j + HALF] is there, and dx[j - HALF] is complete then.
    acc_t window[WIDTH][STEP + 2 * HALF], direct[WIDTH][STEP + HALF];
    acc_t behind[WIDTH][STEP + 2 * HALF];
    const auto load_x = [&](auto there, int c, int i) {
        acc_t values[WIDTH];
        load(x + c * p.channel[1], there(c, column.channels), VECTORS, values);
#pragma unroll
        for (int k = 0; k < WIDTH; ++k) window[k][i] = values[k];
    };
#pragma unroll
    for (int k = 0; k < WIDTH; ++k) {
#pragma unroll
        for (int i = 0; i < STEP + HALF; ++i) direct[k][i] = 0;
#pragma unroll
        for (int i = 0; i < STEP + 2 * HALF; ++i) behind[k][i] = 0;
    }
#pragma unroll
    for (int i = 0; i < 2 * HALF; ++i) load_x(Some(), column.first - 2 * HALF + i, STEP + i);
    const auto step = [&](auto there, int j) {
        slide(window);
        slide(direct);
        slide(behind);
        acc_t g[STEP][WIDTH];
#pragma unroll
        for (int i = 0; i < STEP; ++i) {
            load_x(there, j + HALF + i, 2 * HALF + i);
            load(dy + (j + i) * p.channel[0], there(j + i, column.channels), VECTORS, g[i]);
        }
        bool usual = true;
        acc_t result[STEP][WIDTH];
#pragma unroll
        for (int k = 0; k < WIDTH; ++k) {
            acc_t d[STEP];
            usual = denominators<STEP>(by, window[k], d) && usual;
#pragma unroll
            for (int i = 0; i < STEP; ++i) {
                const Powers of(d[i]);
                direct[k][HALF + i] = g[i][k] * of.power;
                behind[k][2 * HALF + i] =
                    direct[k][HALF + i] * window[k][HALF + i] * of.inverse;
            }
#pragma unroll
            for (int i = 0; i < STEP; ++i)
                result[i][k] =
                    direct[k][i] - by.twice * window[k][i] * sum_of_window(behind[k], i);
        }
#pragma unroll
        for (int i = 0; i < STEP; ++i) {
            const int c = j + i - HALF;
            if (there(c - column.first, column.last - column.first))
                store(dx + c * p.channel[2], result[i], VECTORS);
        }
        return usual;
    };
    bool before = true;  // whether all of what is kept of the last step was usual
#pragma unroll 1
    for (int j = column.first - HALF; j < column.last + HALF; j += STEP) {
        const bool all = j - HALF >= column.first && j + STEP - HALF <= column.last &&
                         j + STEP + HALF <= column.channels;
        const bool usual = VECTORS && all ? step(All(), j) : step(Some(), j);
        const bool both = usual && before;
        before = usual;
        if (both) continue;
#pragma unroll 1
        for (int i = 0; i < STEP * WIDTH; ++i) {
            const int c = j + i / WIDTH - HALF, k = i % WIDTH;
            const Careful careful = {x + k, p.channel[1], column.channels, by};
            if (c >= column.first && c < column.last)
                dx[c * p.channel[2] + k] =
                    from_acc(careful.backward(dy + k, p.channel[0], c));
        }
    }
}

// Where a thread of rows is: its pixel in every operand, and its channels.
template <int OPERANDS>
struct Row {
    index_t at[OPERANDS];
    int first, channels;
    bool there;

    __device__ __forceinline__ explicit Row(const Response<OPERANDS>& p) {
        unsigned number = blockIdx.x * RESPONSE_THREADS + threadIdx.x;
        channels = static_cast<int>(p.channels);
        first = next_coordinate(number, static_cast<unsigned>(channels) / VEC_SIZE) * VEC_SIZE;
        there = number < p.pixels;
        p.pixel.locate(there ? number : 0, at);
    }
    // Channels first - EACH up to first + VEC_SIZE + EACH, zeros outside.
    template <int EACH>
    __device__ __forceinline__ void line(const scalar_t* from, bool vectors,
                                         acc_t (&to)[VEC_SIZE + 2 * EACH]) const {
        acc_t own[VEC_SIZE], side[EACH < VEC_SIZE ? EACH : VEC_SIZE];
        constexpr int SIDE = sizeof(side) / sizeof(acc_t);
        load(from + first, true, vectors, own);
#pragma unroll
        for (int i = 0; i < VEC_SIZE; ++i) to[EACH + i] = own[i];
#pragma unroll
        for (int part = 0; part < EACH; part += SIDE) {
            const int below = first - EACH + part, above = first + VEC_SIZE + part;
            load(from + below, below >= 0, vectors, side);
#pragma unroll
            for (int i = 0; i < SIDE; ++i) to[part + i] = side[i];
            load(from + above, above < channels, vectors, side);
#pragma unroll
            for (int i = 0; i < SIDE; ++i) to[EACH + VEC_SIZE + part + i] = side[i];
        }
    }
};

template <bool VECTORS>
__device__ __forceinline__ void forward_rows(const scalar_t* x, scalar_t* y,
                                             const Response<2>& p) {
    const Row<2> row(p);
    if (!row.there) return;
    const Constants by(p);
    x += row.at[0];
    y += row.at[1];
    acc_t window[VEC_SIZE + 2 * HALF], d[VEC_SIZE], result[VEC_SIZE];
    row.line<HALF>(x, VECTORS, window);
    const bool usual = denominators<VEC_SIZE>(by, window, d);
#pragma unroll
    for (int i = 0; i < VEC_SIZE; ++i) result[i] = window[HALF + i] * Powers(d[i]).power;
    store(y + row.first, result, VECTORS);
    if (usual) return;
    const Careful careful = {x, 1, row.channels, by};
#pragma unroll 1
    for (int c = row.first; c < row.first + VEC_SIZE; ++c) y[c] = from_acc(careful.forward(c));
}

template <bool VECTORS>
__device__ __forceinline__ void backward_rows(const scalar_t* dy, const scalar_t* x, scalar_t* dx,
                                              const Response<3>& p) {
    constexpr int AROUND = VEC_SIZE + 2 * HALF;
    const Row<3> row(p);
    if (!row.there) return;
    const Constants by(p);
    dy += row.at[0];
    x += row.at[1];
    dx += row.at[2];
    acc_t window[AROUND + 2 * HALF], g[AROUND], d[AROUND], direct[AROUND], behind[AROUND];
    row.line<2 * HALF>(x, VECTORS, window);
    row.line<HALF>(dy, VECTORS, g);
    const bool usual = denominators<AROUND>(by, window, d);
#pragma unroll
    for (int i = 0; i < AROUND; ++i) {
        const Powers of(d[i]);
        direct[i] = g[i] * of.power;
        behind[i] = direct[i] * window[HALF + i] * of.inverse;
    }
    acc_t result[VEC_SIZE];
#pragma unroll
    for (int i = 0; i < VEC_SIZE; ++i) {
        const acc_t sum = sum_of_window(behind, i);
        result[i] = direct[HALF + i] - by.twice * window[2 * HALF + i] * sum;
    }
    store(dx + row.first, result, VECTORS);
    if (usual) return;
    const Careful careful = {x, 1, row.channels, by};
#pragma unroll 1
    for (int c = row.first; c < row.first + VEC_SIZE; ++c)
        dx[c] = from_acc(careful.backward(dy, 1, c));
}

extern "C" __global__ void __launch_bounds__(RESPONSE_THREADS, 1)
response_vectors_planes(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Response<2> p) {
    if (aligned_to<scalar_t, PIXELS>(x) && aligned_to<scalar_t, PIXELS>(y))
        forward_planes<true>(x, y, p);
    else
        forward_planes<false>(x, y, p);
}

extern "C" __global__ void __launch_bounds__(RESPONSE_THREADS, 1)
response_vectors_backward_planes(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
                                 scalar_t* __restrict__ dx, Response<3> p) {
    if (aligned_to<scalar_t, PIXELS_BACKWARD>(dy) && aligned_to<scalar_t, PIXELS_BACKWARD>(x) &&
        aligned_to<scalar_t, PIXELS_BACKWARD>(dx))
        backward_planes<true>(dy, x, dx, p);
    else
        backward_planes<false>(dy, x, dx, p);
}

extern "C" __global__ void __launch_bounds__(RESPONSE_THREADS, 1)
response_vectors_rows(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Response<2> p) {
    if (aligned(x) && aligned(y))
        forward_rows<true>(x, y, p);
    else
        forward_rows<false>(x, y, p);
}

extern "C" __global__ void __launch_bounds__(RESPONSE_THREADS, 1)
response_vectors_backward_rows(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
                               scalar_t* __restrict__ dx, Response<3> p) {
    if (aligned(dy) && aligned(x) && aligned(dx))
        backward_rows<true>(dy, x, dx, p);
    else
        backward_rows<false>(dy, x, dx, p);
}
