// pycnn/wgmma.cuh: matrix products of a warpgroup, of tiles that lie in shared memory.
//
//   Operand<MN, K_MAJOR> a(tile)       128 bytes of indices of k, swizzled by as many as the tensor
//                                      maps have it, from a multiple of 1024 bytes on
//   wgmma_fence()                      before the first product of a round
//   wgmma<N, TA, TB>(d, a, b, add)     D(64xN) = A B, of 32 bytes of k, with D added if so; TA, TB:
//                                      the operand is not K_MAJOR, which 16 bits an element allow
//                                      alone; of floats the 11 upper bits of the mantissa count, and
//                                      8-bit integers have sums of 32 bits
//   wgmma_commit()                     closes a group
//   wgmma_wait<1>()                    at most 1 group is still under way; sums of others are there
//   registers_release<40>(), registers_claim<232>()  of every thread of the warpgroup
//
// All four warps of a warpgroup execute these together. D lies as those of `mma.sync` do: of warp w
// of the warpgroup rows 16 w + lane / 4 + {0, 8}, columns 8 j + lane % 4 * 2 + {0, 1} in d[4 j ..].
// Of sm_90a alone.
#pragma once

#include <pycnn/kernel.cuh>
#include <pycnn/mbarrier.cuh>

// What is multiplied, where C and what is added to it are of another type.
#ifndef ELEMENT_A
#define ELEMENT_A SCALAR
#define ELEMENT_B SCALAR
#endif
struct e4m3 {
    unsigned char bits;
};
struct e5m2 {
    unsigned char bits;
};
using s8 = signed char;
using u8 = unsigned char;
using element_t = ELEMENT_A;
static_assert(sizeof(ELEMENT_A) == sizeof(ELEMENT_B), "of one depth of k");

// How a tile of operands is described to `wgmma`. Along its rows lie 128 bytes: of k if K_MAJOR, else,
// of 16-bit elements, of m (or n), with a box of the tile for every 64 of these.
template <int BLK_MN, bool K_MAJOR>
struct WgmmaOperand {
    static constexpr int ROW = 128, PATTERN = 8 * ROW, WIDTH = 64;
    static constexpr int BOX = WIDTH * ROW;  // bytes, where not K_MAJOR: 64 indices of k

    // The tile from index `mn` (a multiple of 64) on, and its first 32 bytes of k.
    static __device__ __forceinline__ unsigned long long describe(const void* tile, int mn = 0) {
        const unsigned address = shared_address(tile) + (K_MAJOR ? mn * ROW : mn / WIDTH * BOX);
        const unsigned long long leading = K_MAJOR ? 16 : BOX, swizzle_128 = 1;
        return (address & 0x3ffff) >> 4 | leading >> 4 << 16 |
               static_cast<unsigned long long>(PATTERN >> 4) << 32 | swizzle_128 << 62;
    }
    // What is added to a description for every 32 bytes of k.
    static constexpr int STEP = (K_MAJOR ? 32 : 2 * PATTERN) >> 4;
};

__device__ __forceinline__ void wgmma_fence() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void wgmma_commit() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int GroupsInFlight>
__device__ __forceinline__ void wgmma_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(GroupsInFlight) : "memory");
}
template <int Count>
__device__ __forceinline__ void registers_release() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Count));
}
template <int Count>
__device__ __forceinline__ void registers_claim() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Count));
}

#define PYCNN_IS_float 3
#define PYCNN_IS_e4m3 4
#define PYCNN_IS_e5m2 5
#define PYCNN_IS_s8 6
#define PYCNN_IS_u8 7
#define PYCNN_PTX___half "f16"
#define PYCNN_PTX___nv_bfloat16 "bf16"
#define PYCNN_PTX_float "tf32"
#define PYCNN_PTX_e4m3 "e4m3"
#define PYCNN_PTX_e5m2 "e5m2"
#define PYCNN_PTX_s8 "s8"
#define PYCNN_PTX_u8 "u8"

// The factors of a product; sums of integers are integers, which wrap around, all others floats. What
// stands behind the predicate: scales, and which operands are not K_MAJOR, which elements of other than
// 16 bits cannot be.
#define PYCNN_FACTORS "." PYCNN_JOIN(PYCNN_PTX_, ELEMENT_A) "." PYCNN_JOIN(PYCNN_PTX_, ELEMENT_B)
#if PYCNN_JOIN(PYCNN_IS_, ELEMENT_A) >= 6
#define PYCNN_WGMMA_TYPES "k32.s32" PYCNN_FACTORS
#define PYCNN_WGMMA_END(a, b) ", p;\n}\n"
#define PYCNN_SUM(d) "+r"(d)
using sum_t = int;
#else
using sum_t = float;
#define PYCNN_SUM(d) "+f"(d)
#if PYCNN_JOIN(PYCNN_IS_, ELEMENT_A) >= 4
#define PYCNN_WGMMA_TYPES "k32.f32" PYCNN_FACTORS
#elif PYCNN_JOIN(PYCNN_IS_, ELEMENT_A) == 3
#define PYCNN_WGMMA_TYPES "k8.f32" PYCNN_FACTORS
#else
#define PYCNN_WGMMA_TYPES "k16.f32" PYCNN_FACTORS
#define PYCNN_WGMMA_END(a, b) ", p, 1, 1, %" #a ", %" #b ";\n}\n"
#endif
#endif
#ifndef PYCNN_WGMMA_END
#define PYCNN_WGMMA_END(a, b) ", p, 1, 1;\n}\n"
#endif

// clang-format off
#define PYCNN_4(d, i) PYCNN_SUM(d[i]), PYCNN_SUM(d[i + 1]), PYCNN_SUM(d[i + 2]), PYCNN_SUM(d[i + 3])
#define PYCNN_8(d, i) PYCNN_4(d, i), PYCNN_4(d, i + 4)
#define PYCNN_32(d, i) PYCNN_8(d, i), PYCNN_8(d, i + 8), PYCNN_8(d, i + 16), PYCNN_8(d, i + 24)
#define PYCNN_LIST_64 \
    "%0, %1, %2, %3, %4, %5, %6, %7" \
    ", %8, %9, %10, %11, %12, %13, %14, %15" \
    ", %16, %17, %18, %19, %20, %21, %22, %23" \
    ", %24, %25, %26, %27, %28, %29, %30, %31"
#define PYCNN_LIST_128 \
    PYCNN_LIST_64 \
    ", %32, %33, %34, %35, %36, %37, %38, %39" \
    ", %40, %41, %42, %43, %44, %45, %46, %47" \
    ", %48, %49, %50, %51, %52, %53, %54, %55" \
    ", %56, %57, %58, %59, %60, %61, %62, %63"
#define PYCNN_LIST_256 \
    PYCNN_LIST_128 \
    ", %64, %65, %66, %67, %68, %69, %70, %71" \
    ", %72, %73, %74, %75, %76, %77, %78, %79" \
    ", %80, %81, %82, %83, %84, %85, %86, %87" \
    ", %88, %89, %90, %91, %92, %93, %94, %95" \
    ", %96, %97, %98, %99, %100, %101, %102, %103" \
    ", %104, %105, %106, %107, %108, %109, %110, %111" \
    ", %112, %113, %114, %115, %116, %117, %118, %119" \
    ", %120, %121, %122, %123, %124, %125, %126, %127"

#define PYCNN_WGMMA(n, a, b, add, ta, tb) \
    "{\n.reg .pred p;\nsetp.ne.b32 p, %" #add ", 0;\n" \
    "wgmma.mma_async.sync.aligned.m64n" #n PYCNN_WGMMA_TYPES \
    " {" PYCNN_LIST_##n "}, %" #a ", %" #b PYCNN_WGMMA_END(ta, tb)
#define PYCNN_OPERANDS \
    "l"(a), "l"(b), "r"(static_cast<int>(add)), "n"(static_cast<int>(TRANSPOSED_A)), \
    "n"(static_cast<int>(TRANSPOSED_B))

template <int N, bool TRANSPOSED_A, bool TRANSPOSED_B>
__device__ __forceinline__ void wgmma(sum_t (&d)[N / 2], unsigned long long a, unsigned long long b,
                                      bool add) {
    static_assert(N == 64 || N == 128 || N == 256, "of these widths");
    static_assert(sizeof(element_t) == 2 || !(TRANSPOSED_A || TRANSPOSED_B), "16 bits alone");
    if constexpr (N == 64)
        asm volatile(PYCNN_WGMMA(64, 32, 33, 34, 35, 36) : PYCNN_32(d, 0) : PYCNN_OPERANDS);
    if constexpr (N == 128)
        asm volatile(PYCNN_WGMMA(128, 64, 65, 66, 67, 68)
                     : PYCNN_32(d, 0), PYCNN_32(d, 32) : PYCNN_OPERANDS);
    if constexpr (N == 256)
        asm volatile(PYCNN_WGMMA(256, 128, 129, 130, 131, 132)
                     : PYCNN_32(d, 0), PYCNN_32(d, 32), PYCNN_32(d, 64), PYCNN_32(d, 96)
                     : PYCNN_OPERANDS);
}
#undef PYCNN_OPERANDS
#undef PYCNN_WGMMA
#undef PYCNN_WGMMA_END
#undef PYCNN_LIST_64
#undef PYCNN_LIST_128
#undef PYCNN_LIST_256
#undef PYCNN_32
#undef PYCNN_8
#undef PYCNN_4
#undef PYCNN_SUM
#undef PYCNN_WGMMA_TYPES
#undef PYCNN_FACTORS
// clang-format on
