// pycnn/unpack.cuh: elements of a vector as numbers to compute with.
#pragma once

#include <pycnn/kernel.cuh>

// An instruction each: of two bfloat16 in a register, each is the upper half of a float.
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
#else
#pragma unroll
    for (int i = 0; i < COUNT; ++i) to[i] = to_acc(from[i]);
#endif
}
