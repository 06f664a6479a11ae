// pycnn/narrow.cuh: arithmetic in few instructions, of which results of 16 bits show no difference.
#pragma once

#include <pycnn/kernel.cuh>

constexpr float LOG2_E = 1.44269504f;

// Elements of a vector as numbers to compute with, an instruction each: of two bfloat16 in a
// register, each is the upper half of a float. Two of float16 stay in one register until then.
template <int WORDS, int COUNT>
__device__ __forceinline__ void unpack_words(const unsigned (&from)[WORDS], acc_t (&to)[COUNT]) {
    static_assert(WORDS * sizeof(unsigned) == COUNT * sizeof(scalar_t), "all of them");
#if PYCNN_JOIN(PYCNN_IS_, SCALAR) == 2
#pragma unroll
    for (int i = 0; i < WORDS; ++i) {
        to[2 * i] = __uint_as_float(from[i] << 16);
        to[2 * i + 1] = __uint_as_float(from[i] & 0xffff0000u);
    }
#elif PYCNN_JOIN(PYCNN_IS_, SCALAR) == 1
#pragma unroll
    for (int i = 0; i < COUNT; ++i)
        to[i] = to_acc(__ushort_as_half(static_cast<unsigned short>(from[i / 2] >> i % 2 * 16)));
#else
    memcpy(to, from, sizeof(from));
#endif
}

template <int COUNT>
__device__ __forceinline__ void unpack(const scalar_t (&from)[COUNT], acc_t (&to)[COUNT]) {
    if constexpr (sizeof(scalar_t) == 2) {
        static_assert(COUNT % 2 == 0, "whole registers");
        unsigned both[COUNT / 2];
        memcpy(both, from, sizeof(both));
        unpack_words(both, to);
    } else {
#pragma unroll
        for (int i = 0; i < COUNT; ++i) to[i] = to_acc(from[i]);
    }
}

// Whether two elements in a register are compared at once.
#if PYCNN_JOIN(PYCNN_IS_, SCALAR) && !defined(PYCNN_EMULATOR) && __CUDA_ARCH__ >= 800
constexpr bool IN_PAIRS = true;

// The larger of each of the two, NaN passed over.
__device__ __forceinline__ unsigned larger_of_pairs(unsigned a, unsigned b) {
#if PYCNN_JOIN(PYCNN_IS_, SCALAR) == 1
    asm("max.f16x2 %0, %0, %1;" : "+r"(a) : "r"(b));
#else
    asm("max.bf16x2 %0, %0, %1;" : "+r"(a) : "r"(b));
#endif
    return a;
}
#else
constexpr bool IN_PAIRS = false;
__device__ __forceinline__ unsigned larger_of_pairs(unsigned a, unsigned) { return a; }
#endif

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

// 2^x, where results have 16 bits.
__device__ __forceinline__ float short_power(float x) {
#ifdef PYCNN_EMULATOR
    return exp2f(x);
#else
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
    return power;
#endif
}

// exp(x) of x <= 0, as exactly as a result of this type shows: where that has 16 bits, in single
// precision with an error of |x| 2^-24, and nothing below 2^-126.
__device__ __forceinline__ acc_t exp_below(acc_t x) {
    if constexpr (sizeof(scalar_t) > 2) return exp(x);
    return short_power(static_cast<float>(x) * LOG2_E);
}

// exp(x - top) of many x <= top, times one factor for all: 2^(x log2 e - c) with c = top log2 e as
// rounded, in one multiply-add and with the error of exp_below(). The factor, 2^(top log2 e - c), is
// near one; log_sum() takes it out. Beside a top of 2^16 numbers of 16 bits are as good as minus
// infinity, if they differ at all: there 2^(x - top) will do, and c cannot overflow.
struct Decay {
    acc_t top, scale, shift;

    __device__ __forceinline__ explicit Decay(acc_t maximum)
        : top(maximum),
          scale(fabs(maximum) < acc_t(65536) ? LOG2_E : 1.0f),
          shift(maximum * scale) {}
    __device__ __forceinline__ acc_t power(acc_t x) const { return fma(x, scale, -shift); }
    __device__ __forceinline__ acc_t operator()(acc_t x) const {
        if constexpr (sizeof(scalar_t) > 2) return exp(x - top);
        return short_power(static_cast<float>(power(x)));
    }
    __device__ __forceinline__ acc_t log_sum(acc_t sum) const {
        if constexpr (sizeof(scalar_t) > 2) return log(sum);
        const acc_t found = log(sum) - power(top) * acc_t(0.693147181f);
        return found < acc_t(0) ? acc_t(0) : found;  // one of them is the top: no cost is negative
    }
};

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
