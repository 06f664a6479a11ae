// pycnn/kernel.cuh: what every kernel includes first, and the only compiler-specific header.
//
// Compile environments: NVRTC (no host headers), nvcc, and g++ or clang++ under the emulator's
// prelude, where PYCNN_EMULATOR is defined.
//
// A kernel stores elements of type `scalar_t`, which the plan chooses, and computes in `acc_t`: the
// same type, but float for the 16-bit ones. to_acc() and from_acc() convert.
#pragma once

#ifndef SCALAR
#define SCALAR float
#endif

// Headers of a 16-bit type are long; they are read only where SCALAR is that type.
#define PYCNN_JOIN_(a, b) a##b
#define PYCNN_JOIN(a, b) PYCNN_JOIN_(a, b)
#define PYCNN_IS___half 1
#define PYCNN_IS___nv_bfloat16 2
#if PYCNN_JOIN(PYCNN_IS_, SCALAR) == 1
#include <cuda_fp16.h>
#elif PYCNN_JOIN(PYCNN_IS_, SCALAR) == 2
#include <cuda_bf16.h>
#endif

using scalar_t = SCALAR;
using index_t = long long;  // element counts and offsets: tensors may pass 2^31 elements

template <typename T>
struct Accumulator {
    using type = T;
};

#if PYCNN_JOIN(PYCNN_IS_, SCALAR) == 1
template <>
struct Accumulator<__half> {
    using type = float;
};
__device__ __forceinline__ float to_acc(__half x) { return __half2float(x); }
__device__ __forceinline__ scalar_t from_acc(float x) { return __float2half_rn(x); }
#elif PYCNN_JOIN(PYCNN_IS_, SCALAR) == 2
template <>
struct Accumulator<__nv_bfloat16> {
    using type = float;
};
__device__ __forceinline__ float to_acc(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ __forceinline__ scalar_t from_acc(float x) { return __float2bfloat16_rn(x); }
#else
__device__ __forceinline__ scalar_t from_acc(scalar_t x) { return x; }
#endif
__device__ __forceinline__ float to_acc(float x) { return x; }
__device__ __forceinline__ double to_acc(double x) { return x; }

using acc_t = Accumulator<scalar_t>::type;

// __ldg, of what nobody writes meanwhile. CUDA's own of a 16-bit float is inline assembly, which the
// compiler may move ahead of the condition it stands under: it then reads beyond arrays.
template <typename T>
__device__ __forceinline__ T ldg(const T* from) {
    if constexpr (sizeof(T) == 2) {
        const unsigned short bits = __ldg(reinterpret_cast<const unsigned short*>(from));
        T value;
        memcpy(&value, &bits, sizeof(T));
        return value;
    } else {
        return __ldg(from);
    }
}

// Numeric limits without <limits>, which NVRTC does not have; of the types that kernels compute in.
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

// The same pointer to global memory, of which the compiler knows nothing else any more: it is kept in
// registers, not made again from its parts wherever it is used.
template <typename T>
__device__ __forceinline__ T* kept(T* pointer) {
#ifdef PYCNN_EMULATOR
    return pointer;
#else
    size_t address = __cvta_generic_to_global(pointer);
    asm("" : "+l"(address));
    return static_cast<T*>(__cvta_global_to_generic(address));
#endif
}

// Index of this thread in a flat, one-dimensional launch of any size.
__device__ __forceinline__ index_t flat_thread() {
    return static_cast<index_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

// Of numbers that are not negative.
template <typename A, typename B>
__host__ __device__ constexpr auto ceil_div(A a, B b) {
    return (a + b - 1) / b;
}

// The fastest of the coordinates that a flat index stands for; leaves the index of the others.
// Either form of the remainder costs some kernels registers; with these two, none takes a unit
// more of them (of 8, NVRTC 13.5).
template <typename Index, typename Int>
__device__ __forceinline__ Int next_coordinate(Index& flat, Int extent) {
    const Index others = flat / extent;
    const Index along = sizeof(Int) > 4 ? flat - others * extent : flat % extent;
    flat = others;
    return static_cast<Int>(along);
}

// The same of tiles along an axis: where one begins.
template <typename Index, typename Int>
__device__ __forceinline__ Int next_tile(Index& flat, Int extent, Int tile) {
    return next_coordinate(flat, ceil_div(extent, tile)) * tile;
}
