// pycnn/norm.cuh: what the kernels of normalisation share.
//
// A *set* is the elements of one channel: of all images together (batch norm), or of one image
// (group and instance norm); its number is image * channels + channel. A *statistic* is a mean and
// a standard deviation that `group` consecutive sets share. Two families of kernels walk the sets:
// planes (norm_planes.cuh) where a channel's elements are neighbours, rows (norm_rows.cuh) where
// those of one pixel are.
#pragma once

#include <pycnn/kernel.cuh>
#include <pycnn/statistic.cuh>
#include <pycnn/strided.cuh>
#include <pycnn/welford.cuh>

constexpr int THREADS = 256;
constexpr int WARPS = THREADS / LANES;
constexpr int VEC_SIZE = 16 / sizeof(scalar_t);  // elements of one instruction
constexpr int SECTOR = 32 / sizeof(scalar_t);  // elements that global memory moves at a time

struct alignas(16) Vec {
    scalar_t at[VEC_SIZE];
};

__device__ __forceinline__ bool aligned(const void* pointer) {
    return reinterpret_cast<unsigned long long>(pointer) % sizeof(Vec) == 0;
}

// Offset of element i of operand `o`; no division where one axis is all there is.
template <int OPERANDS>
__device__ __forceinline__ index_t offset_of(const Strided<OPERANDS>& v, int o, index_t i) {
    index_t offset = 0;
#pragma unroll 1  // unrolled divisions would be most of the code
    for (int axis = static_cast<int>(v.rank) - 1; axis > 0; --axis) {
        const index_t outer = i / v.extent[axis];
        offset += (i - outer * v.extent[axis]) * v.stride[o][axis];
        i = outer;
    }
    return offset + i * v.stride[o][0];
}

struct NormParams {
    index_t channels, group;
    index_t weight, bias, mean, spread;  // elements from one to the next
    int weight_wide, bias_wide, mean_wide, spread_wide;
    int spread_is_variance;  // else 1 / sqrt(variance + eps)
    int packed;              // all of a statistic in one vector, for which `mean` points
    double eps;
};

// The arrays of parameters; any but mean and spread may be null.
struct NormArrays {
    const void *mean, *spread;
    const acc_t* rest;  // what rounding took away from mean
    const void *weight, *bias;
};

__device__ __forceinline__ Statistic statistic(const NormArrays& from, index_t number,
                                               const NormParams& p) {
    if (p.packed) return static_cast<const Statistic*>(from.mean)[number];
    acc_t rstd = parameter(from.spread, number * p.spread, p.spread_wide);
    if (p.spread_is_variance) rstd = acc_t(1) / sqrt(rstd + static_cast<acc_t>(p.eps));
    return Statistic(parameter(from.mean, number * p.mean, p.mean_wide),
                     from.rest ? from.rest[number] : acc_t(0), rstd);
}

// What a set's elements are computed with, x standing for x * unit (see Statistic):
// forward   y = (x - mean) * scale + shift,           scale = rstd * weight, shift = bias
// backward dx = dy * scale - (x - mean) * tilt - shift; see norm/gradient.cu
// sums      z  = (x - mean) * tilt,                    tilt = rstd
// What rounding took from the mean is in the shifts, and `lag` is what it takes from every z.
struct Coefficients {
    acc_t mean, unit, scale, shift, tilt, lag;

    __device__ __forceinline__ acc_t off(acc_t x) const { return x * unit - mean; }
    __device__ __forceinline__ acc_t forward(acc_t x) const { return off(x) * scale + shift; }
    __device__ __forceinline__ acc_t z_and_lag(acc_t x) const { return off(x) * tilt; }
    __device__ __forceinline__ acc_t backward(acc_t dy, acc_t x) const {
        return dy * scale - off(x) * tilt - shift;
    }
};

__device__ __forceinline__ Coefficients coefficients(const NormArrays& from, index_t set,
                                                     const NormParams& p) {
    const Statistic of = statistic(from, set / p.group, p);
    const index_t channel = set % p.channels;
    Coefficients c;
    c.mean = of.mean;
    c.unit = of.unit;
    c.scale = of.rstd;
    if (from.weight) c.scale *= parameter(from.weight, channel * p.weight, p.weight_wide);
    c.shift = from.bias ? parameter(from.bias, channel * p.bias, p.bias_wide) : acc_t(0);
    c.shift -= of.rest * c.scale;
    c.tilt = of.rstd;
    c.lag = of.rest * of.rstd;
    return c;
}

// The same of dy, which is in no such units.
__device__ __forceinline__ Coefficients coefficients_of_dy(const NormArrays& from, index_t set,
                                                           const NormParams& p) {
    Coefficients c = coefficients(from, set, p);
    c.scale *= c.unit;
    return c;
}
