// pycnn/kernel.cuh: what every kernel includes first, and the only compiler-specific header.
//
// Compile environments: NVRTC (no host headers), nvcc, and g++ or clang++ under the emulator's
// prelude, where PYCNN_EMULATOR is defined.
#pragma once

#ifndef SCALAR
#define SCALAR float
#endif

using scalar = SCALAR;
using index_t = long long;  // element counts and offsets: tensors may pass 2^31 elements

// Numeric limits without <limits>, which NVRTC does not have.
template <typename T>
struct limits;

template <>
struct limits<float> {
    static __device__ __forceinline__ float infinity() { return __int_as_float(0x7f800000); }
    static __device__ __forceinline__ float quiet_nan() { return __int_as_float(0x7fffffff); }
    static __device__ __forceinline__ float lowest() { return __int_as_float(0xff7fffff); }
};

template <>
struct limits<double> {
    static __device__ __forceinline__ double infinity() {
        return __longlong_as_double(0x7ff0000000000000ll);
    }
    static __device__ __forceinline__ double quiet_nan() {
        return __longlong_as_double(0x7ff8000000000000ll);
    }
    static __device__ __forceinline__ double lowest() {
        return __longlong_as_double(static_cast<long long>(0xffefffffffffffffull));
    }
};

// Index of this thread in a flat, one-dimensional launch of any size.
__device__ __forceinline__ index_t flat_thread() {
    return static_cast<index_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
