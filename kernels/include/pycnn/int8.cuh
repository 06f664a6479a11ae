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

constexpr int SIXTEEN = 16;

// Sixteen sums at a time are scaled in float, which tells what they are rounded to unless they are
// close to the middle between two values: then, and in the last ones of a group, by the rule itself.
struct Rounding {
    static constexpr float MAGIC = 12582912;  // 1.5 2^23: the last bit of a sum is that of one

    const float* const weight_scale;
    const index_t step;
    float of_one, lowest, highest, zero;
    bool exact;  // but for the last bits

    __device__ __forceinline__ explicit Rounding(const Requantisation& to)
        : weight_scale(to.weight_scale), step(to.p.weight_scale_k), zero(MAGIC + to.zero()) {
        lowest = to.p.lowest - to.zero();
        highest = to.p.highest - to.zero();
        of_one = *to.x_scale / *to.y_scale;
        exact = of_one > 0x1p-96f && of_one < 0x1p96f;
    }
    // Of a filter. Where it is so small that it has fewer bits, all sums are zero; a larger one than
    // this saturates all.
    __device__ __forceinline__ float factor(index_t k) const { return of(weight_scale[k * step]); }
    __device__ __forceinline__ float of(float scale) const { return fminf(of_one * scale, 0x1p96f); }

    // Whether the bytes are right: the product misses at most 4 2^-24 of what is held, below 2^-13.
    __device__ __forceinline__ bool operator()(unsigned (&bytes)[4], const int (&sum)[SIXTEEN],
                                               const float (&factor)[SIXTEEN]) const {
        float worst = 0;
#pragma unroll
        for (int word = 0; word < 4; ++word) {
            unsigned bits[4];
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const int j = word * 4 + e;
                const float scaled = static_cast<float>(sum[j]) * factor[j];
                const float held = fminf(fmaxf(scaled, lowest), highest), rounded = held + zero;
                worst = fmaxf(worst, fabsf(held - (rounded - zero)));
                bits[e] = __float_as_uint(rounded);
            }
            bytes[word] = __byte_perm(__byte_perm(bits[0], bits[1], 0x0040),
                                      __byte_perm(bits[2], bits[3], 0x0040), 0x5410);
        }
        return exact && worst < 0.4999f;
    }
};
