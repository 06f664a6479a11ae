// pycnn/epilogue.cuh: what a GEMM-shaped kernel does to a sum before it stores it.
//
//   y = activation((sum + bias[k]) * scale[k] + shift[k] + residual[same place as y])
//
// Every part may be absent. A kernel takes the pointers (null where absent) as `const scalar_t*
// bias, scale, shift, residual`, in this order, and one `EpilogueParams` by value.
#pragma once

#include <pycnn/kernel.cuh>

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

struct Epilogue {
    const scalar_t* bias;
    const scalar_t* scale;
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
};
