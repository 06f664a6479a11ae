// pycnn/pool_vectors.cuh: what becomes of windows of 2x2 or 3x3 elements and stride 2 in registers:
// kernels/pool/channels.cu and planes.cu.
#pragma once

#include <pycnn/block.cuh>
#include <pycnn/pool.cuh>

#ifndef WINDOW
#define WINDOW 2
#endif

constexpr int STRIDE = 2;

struct Index {
    static constexpr bool KEPT = true;
    int at;
    __device__ __forceinline__ void set(int to) { at = to; }
    __device__ __forceinline__ int place() const { return at; }
};
struct NoIndex {
    static constexpr bool KEPT = false;
    __device__ __forceinline__ void set(int) {}
    __device__ __forceinline__ int place() const { return 0; }
};

// The larger one, or a NaN if one is: of singles an instruction, where there is one.
__device__ __forceinline__ acc_t larger_or_nan(acc_t a, acc_t b) {
#if !defined(PYCNN_EMULATOR) && __CUDA_ARCH__ >= 800
    if constexpr (sizeof(acc_t) == 4) {
        float larger;
        asm("max.NaN.f32 %0, %1, %2;"
            : "=f"(larger)
            : "f"(static_cast<float>(a)), "f"(static_cast<float>(b)));
        return larger;
    }
#endif
    return b > a || b != b ? b : a;
}

template <typename Place>
struct Maximum : Place {
    acc_t value;
    // `first`: the first element of the window, which stands where all are minus infinity.
    __device__ __forceinline__ void begin(int first) {
        value = nothing();
        this->set(first);
    }
    __device__ __forceinline__ void add(acc_t x, int at) {
        if constexpr (!Place::KEPT) {
            value = larger_or_nan(value, x);
        } else if (x > value || x != x) {
            value = x;
            this->set(at);
        }
    }
    // Of elements that come later.
    __device__ __forceinline__ void add(const Maximum& other) { add(other.value, other.place()); }
    // What stands for an element that is not there.
    static __device__ __forceinline__ acc_t nothing() { return -limits<acc_t>::infinity(); }
};

struct Total {
    static constexpr bool KEPT = false;
    acc_t value;
    __device__ __forceinline__ void begin(int) { value = nothing(); }
    __device__ __forceinline__ void add(acc_t x, int) { value += x; }
    __device__ __forceinline__ void add(const Total& other) { value += other.value; }
    static __device__ __forceinline__ acc_t nothing() { return 0; }
};

// What makes a mean of a sum: the product of one for the rows and one for the columns of a window. A
// result of 16 bits is multiplied, which is as good before it is rounded: a division of zero takes the
// long way.
struct Divided {
    acc_t by;

    __device__ __forceinline__ Divided() {}
    // Of axis 1 or 2. A given divisor counts along the first. Windows that there are not count 1.
    __device__ __forceinline__ Divided(const Pool& p, int axis, int window) {
        const PoolAxis& a = p.axis[axis];
        const bool pad = p.count_include_pad;
        const int first = window * STRIDE - static_cast<int>(a.low), last = first + WINDOW;
        const int end = static_cast<int>(pad ? a.extent + a.high : a.extent);
        int count = (last < end ? last : end) - (pad || first > 0 ? first : 0);
        if (p.divisor) count = axis == 1 ? static_cast<int>(p.divisor) : 1;
        by = static_cast<acc_t>(count > 0 ? count : 1);
        if (sizeof(scalar_t) == 2) by = 1 / by;
    }
    __device__ __forceinline__ acc_t operator()(const Divided& other, acc_t sum) const {
        return sizeof(scalar_t) == 2 ? sum * (by * other.by) : sum / (by * other.by);
    }
};
