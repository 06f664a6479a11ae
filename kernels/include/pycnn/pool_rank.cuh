// pycnn/pool_rank.cuh: an element of 16 bits above its place in a register, for maxima with indices.
//
// Values become integers that order as they do; places are counted backwards below them, so that of
// equal values the first is the larger: a maximum takes one instruction, where a value with its place
// takes four, and half the registers. The last NaN, which counts, is looked for where there is one.
#pragma once

#include <pycnn/narrow.cuh>

#if PYCNN_JOIN(PYCNN_IS_, SCALAR) && !defined(PYCNN_EMULATOR) && __CUDA_ARCH__ >= 800
constexpr bool RANKED = true;

// Two elements as integers that order as they do: no zero is below another, and all NaN are 0x7fff.
__device__ __forceinline__ unsigned flipped(unsigned pair) {
    unsigned signs;  // both bytes of each
    asm("prmt.b32 %0, %1, 0, 0xbb99;" : "=r"(signs) : "r"(pair));
    return pair ^ (signs & 0x7fff7fffu);
}
__device__ __forceinline__ unsigned ordered(unsigned pair) {
#if PYCNN_JOIN(PYCNN_IS_, SCALAR) == 1
    asm("fma.rn.f16x2 %0, %0, %1, %2;" : "+r"(pair) : "r"(0x3c003c00u), "r"(0u));
#else
    asm("fma.rn.bf16x2 %0, %0, %1, %2;" : "+r"(pair) : "r"(0x3f803f80u), "r"(0u));
#endif
    return flipped(pair);
}
#else
constexpr bool RANKED = false;
__device__ __forceinline__ unsigned flipped(unsigned pair) { return pair; }
__device__ __forceinline__ unsigned ordered(unsigned pair) { return pair; }
#endif

template <bool FIRST, typename A, typename B>
struct Either {
    using type = A;
};
template <typename A, typename B>
struct Either<false, A, B> {
    using type = B;
};

struct Rank {
    static constexpr int LINE = 8;  // places apart are rows
    int key;
    __device__ __forceinline__ void begin(int) { key = static_cast<int>(0x80000000u); }
    __device__ __forceinline__ void add(const Rank& other) { key = max(key, other.key); }
    __device__ __forceinline__ int place() const { return ~key & 0xffff; }

    // Elements of a vector, all at one place.
    template <int COUNT>
    static __device__ __forceinline__ void of(const scalar_t (&vec)[COUNT], int place,
                                              Rank (&to)[COUNT]) {
        unsigned pair[COUNT / 2];
        memcpy(pair, vec, sizeof(pair));
#pragma unroll
        for (int i = 0; i < COUNT / 2; ++i) {
            const unsigned both = ordered(pair[i]);
            to[2 * i].key = static_cast<int>(__byte_perm(both, ~place, 0x1054));
            to[2 * i + 1].key = static_cast<int>(__byte_perm(both, ~place, 0x3254));
        }
    }
    template <int COUNT>
    static __device__ __forceinline__ void values(const Rank (&from)[COUNT], acc_t (&to)[COUNT]) {
        unsigned pair[COUNT / 2];
#pragma unroll
        for (int i = 0; i < COUNT / 2; ++i)
            pair[i] = flipped(__byte_perm(from[2 * i].key, from[2 * i + 1].key, 0x7632));
        unpack_words(pair, to);
    }
};
