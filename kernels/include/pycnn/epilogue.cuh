// pycnn/epilogue.cuh: what a GEMM-shaped kernel does to a sum before it stores it.
//
//   y = activation((sum + bias[k]) * scale[k] + shift[k] + residual[same place as y])
//
// Every part may be absent. A kernel takes the pointers (null where absent) as `const scalar_t*
// bias, scale, shift, residual`, in this order, and one `EpilogueParams` by value.
#pragma once

#include <pycnn/kernel.cuh>

// The type of scales, where it is another one.
#ifndef SCALE_TYPE
#define SCALE_TYPE SCALAR
#endif
using scale_t = SCALE_TYPE;

// pycnn/plan/_epilogue.py: ACTIVATIONS.
enum Activation { NONE, RELU, RELU6, LEAKY_RELU, SILU, SIGMOID };

// Strides in elements; those of the residual along the axes of y.
struct EpilogueParams {
    index_t bias_k, scale_k, shift_k;
    index_t residual_n, residual_k, residual_z, residual_p, residual_q;
    double slope;  // of leaky_relu
    int activation;
    int reserved;  // padding by name: without it NVRTC 13.5 takes more registers in direct.cu
};

__device__ __forceinline__ acc_t activate(acc_t x, int activation, double slope) {
    switch (activation) {
        case RELU: return x < 0 ? acc_t(0) : x;  // NaN stays NaN, as in all of these
        case RELU6: return x < 0 ? acc_t(0) : x > 6 ? acc_t(6) : x;
        case LEAKY_RELU: return x < 0 ? x * static_cast<acc_t>(slope) : x;
        case SILU: return x / (1 + exp(-x));
        case SIGMOID: return 1 / (1 + exp(-x));
        default: return x;
    }
}

// Of several sums, where only the loop over them is worth the code: every question is asked once.
template <int N>
__device__ __forceinline__ void activate(acc_t (&x)[N], int activation, double slope) {
    const auto each = [&](auto function) {
#pragma unroll
        for (int i = 0; i < N; ++i) x[i] = function(x[i]);
    };
    switch (activation) {
        case NONE: break;
        case RELU: each([](acc_t v) { return activate(v, RELU, 0); }); break;
        case RELU6: each([](acc_t v) { return activate(v, RELU6, 0); }); break;
        case LEAKY_RELU: each([=](acc_t v) { return activate(v, LEAKY_RELU, slope); }); break;
        case SILU: each([](acc_t v) { return activate(v, SILU, 0); }); break;
        case SIGMOID: each([](acc_t v) { return activate(v, SIGMOID, 0); }); break;
    }
}

struct Epilogue {
    const scalar_t* bias;
    const scale_t* scale;
    const scalar_t* shift;
    const scalar_t* residual;
    const EpilogueParams& p;

    // `k`: the channel of y, over all groups. `residual_at`: offset in the residual.
    __device__ __forceinline__ acc_t operator()(acc_t sum, index_t k, index_t residual_at) const {
        if (bias) sum += to_acc(bias[k * p.bias_k]);
        if (scale) sum *= to_acc(scale[k * p.scale_k]);
        if (shift) sum += to_acc(shift[k * p.shift_k]);
        if (residual) sum += to_acc(residual[residual_at]);
        return activate(sum, p.activation, p.slope);
    }

    // Of N sums: the channel of the first, and how far apart they are in channels and the residual.
    template <int N>
    __device__ __forceinline__ void finish(acc_t (&sum)[N], index_t k, int k_step,
                                           index_t residual_at, index_t residual_step) const {
        const auto each = [&](const auto* from, index_t step, auto combine) {
#pragma unroll
            for (int i = 0; i < N; ++i) sum[i] = combine(sum[i], to_acc(from[i * step]));
        };
        const auto add = [](acc_t a, acc_t b) { return a + b; };
        const auto multiply = [](acc_t a, acc_t b) { return a * b; };
        if (bias) each(bias + k * p.bias_k, k_step * p.bias_k, add);
        if (scale) each(scale + k * p.scale_k, k_step * p.scale_k, multiply);
        if (shift) each(shift + k * p.shift_k, k_step * p.shift_k, add);
        if (residual) each(residual + residual_at, residual_step, add);
        activate(sum, p.activation, p.slope);
    }
};
