// pycnn/narrow.cuh: arithmetic in few instructions, of which results of 16 bits show no difference.
#pragma once

#include <pycnn/kernel.cuh>

// Elements of a vector as numbers to compute with, an instruction each: of two bfloat16 in a
// register, each is the upper half of a float. Two of float16 stay in one register until then.
template <int COUNT>
__device__ __forceinline__ void unpack(const scalar_t (&from)[COUNT], acc_t (&to)[COUNT]) {
#if PYCNN_JOIN(PYCNN_IS_, SCALAR) == 2
    static_assert(COUNT % 2 == 0, "whole registers");
    unsigned both[COUNT / 2];
    memcpy(both, from, sizeof(both));
#pragma unroll
    for (int i = 0; i < COUNT / 2; ++i) {
        to[2 * i] = __uint_as_float(both[i] << 16);
        to[2 * i + 1] = __uint_as_float(both[i] & 0xffff0000u);
    }
#elif PYCNN_JOIN(PYCNN_IS_, SCALAR) == 1
    static_assert(COUNT % 2 == 0, "whole registers");
    unsigned both[COUNT / 2];
    memcpy(both, from, sizeof(both));
#pragma unroll
    for (int i = 0; i < COUNT; ++i)
        to[i] = to_acc(__ushort_as_half(static_cast<unsigned short>(both[i / 2] >> i % 2 * 16)));
#else
#pragma unroll
    for (int i = 0; i < COUNT; ++i) to[i] = to_acc(from[i]);
#endif
}

// A vector as it is, of which the compiler does not know that it has been taken apart before: else
// it would keep numbers between the passes, in twice the registers.
template <typename Vec>
__device__ __forceinline__ Vec hidden(Vec vec) {
#ifndef PYCNN_EMULATOR
    if constexpr (sizeof(scalar_t) == 2) {
        uint4 words;
        memcpy(&words, &vec, sizeof(words));
        asm volatile("" : "+r"(words.x), "+r"(words.y), "+r"(words.z), "+r"(words.w));
        memcpy(&vec, &words, sizeof(words));
    }
#endif
    return vec;
}

// exp(x) of x <= 0, as exactly as a result of this type shows: where that has 16 bits, in single
// precision with an error of |x| 2^-24, and nothing below 2^-126.
__device__ __forceinline__ acc_t exp_below(acc_t x) {
    if constexpr (sizeof(scalar_t) > 2) return exp(x);
#ifdef PYCNN_EMULATOR
    return exp2f(static_cast<float>(x) * 1.44269504f);
#else
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(static_cast<float>(x) * 1.44269504f));
    return power;
#endif
}

// 1 / x of x >= 1, where results have 16 bits with an error of 2^-23.
__device__ __forceinline__ acc_t reciprocal(acc_t x) {
#ifndef PYCNN_EMULATOR
    if constexpr (sizeof(scalar_t) == 2) {
        float inverse;
        asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(inverse) : "f"(static_cast<float>(x)));
        return inverse;
    }
#endif
    return acc_t(1) / x;
}

// sqrt(x) and 1 / sqrt(x) of x > 0, both with an error of 2^-22: where results have 16 bits.
__device__ __forceinline__ float short_root(float x) {
#ifdef PYCNN_EMULATOR
    return sqrtf(x);
#else
    float root;
    asm("sqrt.approx.ftz.f32 %0, %1;" : "=f"(root) : "f"(x));
    return root;
#endif
}

__device__ __forceinline__ float short_inverse_root(float x) {
#ifdef PYCNN_EMULATOR
    return 1.0f / sqrtf(x);
#else
    float inverse;
    asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(inverse) : "f"(x));
    return inverse;
#endif
}
