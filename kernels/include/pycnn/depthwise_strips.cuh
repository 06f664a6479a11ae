// pycnn/depthwise_strips.cuh: strips of rows that a thread walks down, for convolutions whose groups
// have one channel and one filter.
#pragma once

#include <pycnn/block.cuh>
#include <pycnn/epilogue.cuh>
#include <pycnn/narrow.cuh>

#ifndef KSIZE
#define KSIZE 3  // R and S
#endif
#ifndef STRIDE
#define STRIDE 1  // along both axes
#endif

constexpr int THREADS = 128;
constexpr int TAPS = KSIZE * KSIZE;
constexpr int OUT_ROWS = ceil_div(KSIZE, STRIDE);  // rows of outputs that a row of x reaches
// Of 2, 4 and 8 bytes, filters of 3x3 and 5x5 and strides 1 and 2: the last counts fastest.
constexpr int KIND = sizeof(scalar_t) / 4 * 4 + (KSIZE > 3) * 2 + (STRIDE > 1);

// Strides in elements.
struct StripParams {
    index_t x_n, x_c, x_h, y_n, y_c, y_p, w_c, w_r, w_s;
    int x_w, y_q;
    int n, channels, h, w, p, q;
    int top, left;
    int rows;       // of outputs of a strip
    int vectors;    // of channels: whether they are whole vectors in x, y and the residual
    int tap_order;  // of w, if contiguous: 1; last tap first: -1; else 0
};

// Of the gradient of the weight.
struct TeamParams {
    StripParams strip;
    int lanes, parts, units;  // of a team; of the result; strips of all images
};

// Bytes as registers: else vectors of 16 bits are taken apart where a condition ends.
template <int SIZE>
struct WordsOf {
    using type = uint4;
};
template <>
struct WordsOf<2> {
    using type = unsigned short;
};
template <>
struct WordsOf<4> {
    using type = unsigned;
};
template <>
struct WordsOf<8> {
    using type = uint2;
};

// Of columns from `first` on, a bit for each that is inside a row.
template <int COUNT>
__device__ __forceinline__ unsigned columns_inside(int first, int width) {
    unsigned there = 0;
#pragma unroll
    for (int u = 0; u < COUNT; ++u) there |= inside(first + u, width) << u;
    return there;
}

// What a thread does to the sums of its channels, CHANNELS from c on.
template <int CHANNELS>
struct Finish {
    const Epilogue& e;
    bool any, changes;
    acc_t factor[CHANNELS], summand[CHANNELS];

    __device__ __forceinline__ Finish(const Epilogue& e, int c)
        : e(e), changes(e.bias || e.scale || e.shift) {
        any = changes || e.residual || e.p.activation;
#pragma unroll
        for (int i = 0; i < CHANNELS; ++i) {
            factor[i] = e.scale ? to_acc(e.scale[(c + i) * e.p.scale_k]) : acc_t(1);
            summand[i] = e.bias ? to_acc(e.bias[(c + i) * e.p.bias_k]) * factor[i] : acc_t(0);
            if (e.shift) summand[i] += to_acc(e.shift[(c + i) * e.p.shift_k]);
        }
    }
    // Of a row of outputs, channels counting fastest; `add_residual` adds what is beside them.
    template <int COUNT, typename AddResidual>
    __device__ __forceinline__ void operator()(acc_t (&sum)[COUNT],
                                               const AddResidual& add_residual) const {
        if (!any) return;
        if (changes)
#pragma unroll
            for (int i = 0; i < COUNT; ++i)
                sum[i] = sum[i] * factor[i % CHANNELS] + summand[i % CHANNELS];
        if (e.residual) add_residual();
        switch (e.p.activation) {
            case NONE: break;
            case SILU:
            case SIGMOID: {
                const bool silu = e.p.activation == SILU;
#pragma unroll
                for (int i = 0; i < COUNT; ++i) {
                    const acc_t over = silu ? sum[i] : acc_t(1), under = 1 + exp(-sum[i]);
                    sum[i] = sizeof(scalar_t) == 2 ? over * reciprocal(under) : over / under;
                }
                break;
            }
            default: {  // a few instructions, once for all of these
                const acc_t slope = static_cast<acc_t>(e.p.slope);
                const bool leaky = e.p.activation == LEAKY_RELU;
                const acc_t most = e.p.activation == RELU6 ? acc_t(6) : limits<acc_t>::infinity();
#pragma unroll
                for (int i = 0; i < COUNT; ++i) {
                    const acc_t x = sum[i], below = leaky ? x * slope : acc_t(0);
                    sum[i] = x < 0 ? below : x > most ? most : x;
                }
            }
        }
    }
};

// One output, of which every element of x is loaded.
__device__ __forceinline__ void convolve_output(const scalar_t* __restrict__ x,
                                                const scalar_t* __restrict__ weight,
                                                const Epilogue& epilogue, scalar_t* __restrict__ y,
                                                const StripParams& v, int n, int c, int p, int q) {
    const EpilogueParams& e = epilogue.p;
    const int top = p * STRIDE - v.top, left = q * STRIDE - v.left;
    const scalar_t* const image = x + n * v.x_n + c * v.x_c;
    acc_t sum = 0;
#pragma unroll 1
    for (int r = 0; r < KSIZE; ++r)
#pragma unroll
        for (int s = 0; s < KSIZE; ++s) {
            const int h = top + r, w = left + s;
            const bool there = inside(h, v.h) && inside(w, v.w);
            const acc_t value =
                there ? to_acc(ldg(image + h * v.x_h + static_cast<index_t>(w) * v.x_w)) : acc_t(0);
            sum += value * to_acc(ldg(weight + c * v.w_c + r * v.w_r + s * v.w_s));
        }
    const index_t beside =
        n * e.residual_n + c * e.residual_k + p * e.residual_p + q * e.residual_q;
    y[n * v.y_n + c * v.y_c + p * v.y_p + static_cast<index_t>(q) * v.y_q] =
        from_acc(epilogue(sum, c, beside));
}

template <int N>
struct Number {
    static constexpr int value = N;
};

// step(Number<0>) to step(Number<COUNT - 1>), as long as they are true.
template <int COUNT, int TURN = 0, typename Step>
__device__ __forceinline__ bool in_turn(Step& step) {
    if (!step(Number<TURN>())) return false;
    if constexpr (TURN + 1 < COUNT)
        return in_turn<COUNT, TURN + 1>(step);
    else
        return true;
}
