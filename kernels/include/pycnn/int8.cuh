// pycnn/int8.cuh: what convolutions of 8-bit integers share: their types and settings, and how a sum
// becomes eight bits again.
#pragma once

#ifndef X_TYPE
#define X_TYPE signed char
#endif
#ifndef W_TYPE
#define W_TYPE signed char
#endif

using x_type = X_TYPE;
using w_type = W_TYPE;
using byte = signed char;  // of whatever is copied

#include <pycnn/kernel.cuh>

// Beside the parameters of the convolution.
struct Int8Params {
    index_t weight_zero_k, weight_scale_k;  // 0 where one value serves all filters
    index_t bias_k;
    int lowest, highest;                    // values of y's type
    int words;                              // whether strides and extents allow words
    int reserved;                           // padding by name
};

// The operands of requantisation; y and its zero point are bytes of either sign, `lowest` says which.
struct Requantisation {
    const float* x_scale;
    const float* weight_scale;
    const float* y_scale;
    const unsigned char* y_zero;
    const Int8Params& p;

    // Of a filter. The product of two floats is exact in double.
    __device__ __forceinline__ double multiplier(index_t k) const {
        return static_cast<double>(*x_scale) * weight_scale[k * p.weight_scale_k] / *y_scale;
    }
    __device__ __forceinline__ int zero() const {
        return p.lowest < 0 ? static_cast<signed char>(*y_zero) : *y_zero;
    }
    __device__ __forceinline__ unsigned char operator()(unsigned sum, double multiplier) const {
        const double rounded = rint(static_cast<int>(sum) * multiplier) + zero();
        const double held = fmin(fmax(rounded, double(p.lowest)), double(p.highest));
        return static_cast<unsigned char>(static_cast<int>(held));
    }
};
