// pycnn/block.cuh: neighbouring elements that a thread moves together.
#pragma once

#include <pycnn/kernel.cuh>

__device__ __forceinline__ bool inside(int at, int extent) {
    return static_cast<unsigned>(at) < static_cast<unsigned>(extent);
}

// A type of as many bytes, to move what is not computed with.
template <int SIZE>
struct OfBytes {  // 16: several neighbouring elements, moved by one instruction
    struct alignas(SIZE) type {
        unsigned part[SIZE / 4];
    };
};
template <>
struct OfBytes<1> {
    using type = unsigned char;
};
template <>
struct OfBytes<2> {
    using type = unsigned short;
};
template <>
struct OfBytes<4> {
    using type = unsigned;
};
template <>
struct OfBytes<8> {
    using type = unsigned long long;
};

// Elements that are moved together, 16 bytes at most.
template <typename T, int COUNT>
struct alignas(COUNT * sizeof(T) < 16 ? COUNT * sizeof(T) : 16) Block {
    T at[COUNT];
};

template <typename T, int COUNT>
__device__ __forceinline__ bool aligned_to(const T* pointer) {
    return reinterpret_cast<unsigned long long>(pointer) % alignof(Block<T, COUNT>) == 0;
}

template <typename T, int COUNT>
__device__ __forceinline__ Block<T, COUNT> load_block(const T* from, bool vectors) {
    if (vectors) return *reinterpret_cast<const Block<T, COUNT>*>(from);
    Block<T, COUNT> block;
#pragma unroll
    for (int k = 0; k < COUNT; ++k) block.at[k] = ldg(from + k);
    return block;
}

template <typename T, int COUNT>
__device__ __forceinline__ void store_block(T* to, const Block<T, COUNT>& block, bool vectors) {
    if (vectors) {
        *reinterpret_cast<Block<T, COUNT>*>(to) = block;
        return;
    }
#pragma unroll
    for (int k = 0; k < COUNT; ++k) to[k] = block.at[k];
}
