// pycnn/byte_sums.cuh: products of 8-bit integers on tensor cores, and the sums that zero points ask
// for beside them: (x - a)(w - b) is xw - aw - bx + ab.
#pragma once

#include <pycnn/mma.cuh>

template <typename T>
constexpr bool IS_SIGNED = T(-1) < T(0);

// Adds four bytes of a type.
template <typename T>
__device__ __forceinline__ unsigned add_bytes(unsigned four, unsigned sum) {
    if constexpr (IS_SIGNED<T>)
        return __dp4a(static_cast<int>(four), 0x01010101, static_cast<int>(sum));
    else
        return __dp4a(four, 0x01010101u, sum);
}

// A lane's parts of the sums of rows of A and columns of B, as it has the fragments of a warp. They
// wrap around, as all sums here.
template <int COUNT_M, int COUNT_N>
struct ByteSums {
    bool of_a = false, of_b = false;  // which are wanted
    unsigned a[COUNT_M][2] = {}, b[COUNT_N] = {};

    __device__ __forceinline__ void add_a(const unsigned (&fragment)[COUNT_M][4]) {
        if (!of_a) return;
#pragma unroll
        for (int i = 0; i < COUNT_M; ++i)
#pragma unroll
            for (int r = 0; r < 4; ++r)
                a[i][r % 2] = add_bytes<X_TYPE>(fragment[i][r], a[i][r % 2]);
    }

    // Of columns of two products, from product j on.
    __device__ __forceinline__ void add_b(const unsigned (&fragment)[4], int j) {
        if (!of_b) return;
#pragma unroll
        for (int r = 0; r < 4; ++r) b[j + r / 2] = add_bytes<W_TYPE>(fragment[r], b[j + r / 2]);
    }

    // The four lanes of a group have parts of the same ones.
    static __device__ __forceinline__ unsigned whole(unsigned part) {
        part += __shfl_xor_sync(0xffffffffu, part, 1);
        return part + __shfl_xor_sync(0xffffffffu, part, 2);
    }
};
