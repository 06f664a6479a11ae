// pycnn/statistic.cuh: a mean and a standard deviation, as the kernels of normalisation hand them on.
#pragma once

#include <pycnn/kernel.cuh>

// A power of two near x, a normal number of its type.
__device__ __forceinline__ float power_near(float x) {
    return fmaxf(__int_as_float(__float_as_int(x) & 0x7f800000), 0x1p-126f);
}
__device__ __forceinline__ double power_near(double x) {
    return fmax(__longlong_as_double(__double_as_longlong(x) & 0x7ff0000000000000ll),
                0x1p-1022);
}

// Mean and 1 / standard deviation of a statistic. Where values are so far apart that differences
// and squares may overflow, all is in units of about a deviation; else `unit` is 1.
struct alignas(16) Statistic {
    acc_t mean, rest, rstd, unit;

    __device__ __forceinline__ Statistic() {}
    __device__ __forceinline__ Statistic(acc_t its_mean, acc_t its_rest, acc_t its_rstd) {
        unit = its_rstd < acc_t(0x1p-60) ? power_near(its_rstd) : acc_t(1);
        mean = its_mean * unit;
        rest = its_rest * unit;
        rstd = its_rstd / unit;
    }
    __device__ __forceinline__ acc_t z(acc_t x) const {
        return ((x * unit - mean) - rest) * rstd;
    }
};

// Parameters may be of type scalar_t or of type acc_t ("wide").
__device__ __forceinline__ acc_t parameter(const void* from, index_t i, int wide) {
    return wide ? static_cast<const acc_t*>(from)[i]
                : to_acc(static_cast<const scalar_t*>(from)[i]);
}

__device__ __forceinline__ void store_parameter(void* to, index_t i, int wide, acc_t value) {
    if (wide)
        static_cast<acc_t*>(to)[i] = value;
    else
        static_cast<scalar_t*>(to)[i] = from_acc(value);
}
