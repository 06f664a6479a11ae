// pycnn/mma.cuh: matrix products of one warp on the tensor cores, and the loads that feed them.
//
//   ldmatrix<Count, Transposed>(registers, row)  Count (1, 2, 4) 8x8 tiles of 16-bit elements from
//                                                shared memory; lane i gives the address of row
//                                                i % 8 of tile i / 8 (16 bytes, aligned)
//   mma_f16(d, a, b), mma_bf16(d, a, b)          D(16x8) += A(16x16) B(16x8), float accumulation
//   mma_tf32(d, a, b)                            D(16x8) += A(16x8) B(8x8) on TF32 operands
//   mma_int8<A, B>(d, a, b)                      D(16x8) += A(16x32) B(32x8) of bytes, signed or not,
//                                                sums of 32 bits that wrap around
//   to_tf32(x)                                   bits that a product takes for x rounded to the 10
//                                                fraction bits of TF32: it ignores the last 13
//   scaled_to_tf32(x)                            the same to one of the two neighbours, within 2^-11 of
//                                                x, TF32 numbers as they are: one instruction
//   near_tf32(x)                                 the nearest where that takes one instruction, else
//                                                the scaled one
//   finite_to_tf32(x)                            the same of numbers, their last 13 bits zero; of a
//                                                NaN whatever it may be
//   tf32_value(bits)                             the float that it takes them for
//
// Layout of the fragments, with group = lane / 4 and pair = lane % 4 (PTX ISA, "Matrix fragments
// for mma.m16n8k16"): a register of A or B holds two neighbouring elements along k, of bytes four; D
// holds rows group and group + 8, columns 2 * pair and 2 * pair + 1. On sm_75 float16 takes two steps
// of the tensor core, and bfloat16 and TF32, which it does not know, go from lane to lane.
// The order in which the hardware adds is its own: docs/emulator.md, "What tensor cores compute".
// The emulator runs these by PTX alone.
#pragma once

template <int Count, bool Transposed = false>
__device__ __forceinline__ void ldmatrix(unsigned (&registers)[Count], const void* row) {
    static_assert(Count == 1 || Count == 2 || Count == 4, "ldmatrix loads 1, 2 or 4 tiles");
    auto address = static_cast<unsigned>(__cvta_generic_to_shared(row));
    if constexpr (Count == 1 && !Transposed)
        asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];"
                     : "=r"(registers[0])
                     : "r"(address)
                     : "memory");
    if constexpr (Count == 1 && Transposed)
        asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];"
                     : "=r"(registers[0])
                     : "r"(address)
                     : "memory");
    if constexpr (Count == 2 && !Transposed)
        asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                     : "=r"(registers[0]), "=r"(registers[1])
                     : "r"(address)
                     : "memory");
    if constexpr (Count == 2 && Transposed)
        asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                     : "=r"(registers[0]), "=r"(registers[1])
                     : "r"(address)
                     : "memory");
    if constexpr (Count == 4 && !Transposed)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]),
                       "=r"(registers[3])
                     : "r"(address)
                     : "memory");
    if constexpr (Count == 4 && Transposed)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]),
                       "=r"(registers[3])
                     : "r"(address)
                     : "memory");
}

#if __CUDA_ARCH__ >= 800

#define PYCNN_MMA(name, shape_and_types)                                                      \
    __device__ __forceinline__ void name(float(&d)[4], const unsigned(&a)[4],                 \
                                         const unsigned(&b)[2]) {                             \
        asm volatile("mma.sync.aligned." shape_and_types                                      \
                     " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"       \
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                         \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));     \
    }
PYCNN_MMA(mma_f16, "m16n8k16.row.col.f32.f16.f16.f32")
PYCNN_MMA(mma_bf16, "m16n8k16.row.col.f32.bf16.bf16.f32")
PYCNN_MMA(mma_tf32, "m16n8k8.row.col.f32.tf32.tf32.f32")
#undef PYCNN_MMA

#else

__device__ __forceinline__ void mma_f16(float (&d)[4], const unsigned (&a)[4],
                                        const unsigned (&b)[2]) {
#pragma unroll
    for (int half = 0; half < 2; ++half)
        asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32"
                     " {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a[2 * half]), "r"(a[2 * half + 1]), "r"(b[half]));
}

// The product from lane to lane: of registers of `Count` elements, of which widened(register, e) is
// one as a float.
template <int Count, typename Widened>
__device__ __forceinline__ void mma_by_lanes(float (&d)[4], const unsigned (&a)[4],
                                             const unsigned (&b)[2], Widened widened) {
    const int lane = threadIdx.x % 32, group = lane / 4, column = lane % 4 * 2;
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll 2  // of all at once tiles of 128x128 spill
        for (int pair = 0; pair < 4; ++pair) {
            const unsigned upper = __shfl_sync(0xffffffffu, a[2 * half], group * 4 + pair);
            const unsigned lower = __shfl_sync(0xffffffffu, a[2 * half + 1], group * 4 + pair);
            const unsigned left = __shfl_sync(0xffffffffu, b[half], column * 4 + pair);
            const unsigned right = __shfl_sync(0xffffffffu, b[half], column * 4 + 4 + pair);
#pragma unroll
            for (int e = 0; e < Count; ++e) {
                d[0] += widened(upper, e) * widened(left, e);
                d[1] += widened(upper, e) * widened(right, e);
                d[2] += widened(lower, e) * widened(left, e);
                d[3] += widened(lower, e) * widened(right, e);
            }
        }
}

__device__ __forceinline__ void mma_bf16(float (&d)[4], const unsigned (&a)[4],
                                         const unsigned (&b)[2]) {
    mma_by_lanes<2>(d, a, b, [](unsigned two, int e) {
        return __uint_as_float(e ? two & 0xffff0000u : two << 16);
    });
}

__device__ __forceinline__ void mma_tf32(float (&d)[4], const unsigned (&a)[4],
                                         const unsigned (&b)[2]) {
    mma_by_lanes<1>(d, a, b, [](unsigned one, int) { return __uint_as_float(one & 0xffffe000u); });
}

#endif

// Less than a unit of the last place, 2^-10 of the power of two in x, and 2^-11 of x at least: so what
// the product cuts off leaves x at most 2^-11 of it too large, and no more than that too small. On the
// average too large by 0.3 times 2^-11; numbers cut off as they are would be too small by 0.7 times.
__device__ __forceinline__ unsigned scaled_to_tf32(float x) {
    return __float_as_uint(x * (1 + 0x1p-11f));
}

// There are no m16n8k32 before sm_80: four quarters then.
#if __CUDA_ARCH__ >= 800
#define PYCNN_MMA_INT8(a_type, b_type)                                                            \
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32." a_type "." b_type                      \
                 ".s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"           \
                 : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])                                 \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
#else
#define PYCNN_MMA_INT8(a_type, b_type)                                                            \
    _Pragma("unroll") for (int i = 0; i < 4; ++i)                                                 \
        asm volatile("mma.sync.aligned.m8n8k16.row.col.s32." a_type "." b_type                   \
                     ".s32 {%0, %1}, {%2}, {%3}, {%0, %1};"                                       \
                     : "+r"(d[i % 2 * 2]), "+r"(d[i % 2 * 2 + 1])                                 \
                     : "r"(a[i]), "r"(b[i / 2]))
#endif
template <typename A, typename B>
__device__ __forceinline__ void mma_int8(int (&d)[4], const unsigned (&a)[4],
                                         const unsigned (&b)[2]) {
    constexpr bool A_SIGNED = A(-1) < A(0), B_SIGNED = B(-1) < B(0);
    if constexpr (A_SIGNED && B_SIGNED) PYCNN_MMA_INT8("s8", "s8");
    if constexpr (A_SIGNED && !B_SIGNED) PYCNN_MMA_INT8("s8", "u8");
    if constexpr (!A_SIGNED && B_SIGNED) PYCNN_MMA_INT8("u8", "s8");
    if constexpr (!A_SIGNED && !B_SIGNED) PYCNN_MMA_INT8("u8", "u8");
}
#undef PYCNN_MMA_INT8

#if __CUDA_ARCH__ >= 900

__device__ __forceinline__ unsigned to_tf32(float x) {  // ties to even, and the last bits zero
    unsigned rounded;
    asm("cvt.rn.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(x));
    return rounded;
}
__device__ __forceinline__ unsigned near_tf32(float x) { return to_tf32(x); }
__device__ __forceinline__ unsigned finite_to_tf32(float x) { return to_tf32(x); }
__device__ __forceinline__ float tf32_value(unsigned bits) { return __uint_as_float(bits); }

#else

// Half a unit of the last place is 2^-11 of the power of two in x: what the product then cuts off is
// x rounded, ties away from zero, and infinities and NaN stay. `cvt.rna` takes an instruction more.
__device__ __forceinline__ unsigned to_tf32(float x) {
    const float power = __uint_as_float(__float_as_uint(x) & 0xff800000u);
    return __float_as_uint(fmaf(power, 0x1p-11f, x));
}
__device__ __forceinline__ unsigned near_tf32(float x) { return scaled_to_tf32(x); }
__device__ __forceinline__ unsigned finite_to_tf32(float x) {
    return (__float_as_uint(x) + 0x1000) & 0xffffe000u;
}
__device__ __forceinline__ float tf32_value(unsigned bits) {
    return __uint_as_float(bits & 0xffffe000u);
}

#endif
