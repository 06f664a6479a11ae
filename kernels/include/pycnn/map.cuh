// pycnn/map.cuh: one result for each element of one or several operands of the same shape.
//
// A kernel file gives the function and two entries for it, one for contiguous operands and one for
// any strides:
//
//   struct Forward { __device__ accum operator()(accum x) const; };
//   extern "C" __global__ void __launch_bounds__(MAP_THREADS)
//   relu(const scalar* x, scalar* y, index_t count) { map_contiguous(Forward(), count, y, x); }
//   extern "C" __global__ void __launch_bounds__(MAP_THREADS)
//   relu_strided(const scalar* x, scalar* y, index_t count, Strided<1> v) {
//       map_strided(Forward(), count, y, v, x);
//   }
//
// The result may lie where an operand does (in-place use), so no pointer here is __restrict__.
// The plan is in pycnn/plan/_map.py.
#pragma once

#include <pycnn/kernel.cuh>
#include <pycnn/strided.cuh>

constexpr int MAP_THREADS = 256;
constexpr int MAP_WIDTH = 16 / sizeof(scalar);  // elements of one instruction

struct alignas(16) Pack {  // loaded and stored by one instruction
    scalar at[MAP_WIDTH];
};

__device__ __forceinline__ bool aligned(const void* pointer) {
    return reinterpret_cast<unsigned long long>(pointer) % sizeof(Pack) == 0;
}

// 16 bytes a thread; at the end, or where an address is not aligned, an element at a time.
template <typename Function, typename... Pointers>
__device__ __forceinline__ void map_contiguous(Function function, index_t count, scalar* result,
                                               Pointers... operands) {
    const index_t first = static_cast<index_t>(blockIdx.x) * MAP_THREADS * MAP_WIDTH;
    const index_t mine = first + threadIdx.x * MAP_WIDTH;
    if (first + MAP_THREADS * MAP_WIDTH <= count && (aligned(result) && ... && aligned(operands))) {
        const auto apply = [&](const auto&... packs) {
            Pack pack;
#pragma unroll
            for (int k = 0; k < MAP_WIDTH; ++k) pack.at[k] = narrow(function(widen(packs.at[k])...));
            *reinterpret_cast<Pack*>(result + mine) = pack;
        };
        apply(Pack(*reinterpret_cast<const Pack*>(operands + mine))...);
        return;
    }
    for (int k = 0; k < MAP_WIDTH; ++k) {
        const index_t i = first + k * MAP_THREADS + threadIdx.x;
        if (i < count) result[i] = narrow(function(widen(operands[i])...));
    }
}

// An element a thread.
template <typename Function, int OPERANDS, typename... Pointers>
__device__ __forceinline__ void map_strided(Function function, index_t count, scalar* result,
                                            const Strided<OPERANDS>& v, Pointers... operands) {
    const index_t i = flat_thread();
    if (i >= count) return;
    index_t at[OPERANDS];
    v.locate(i, at);
    int next = 0;
    const accum value[] = {widen(operands[at[next++]])...};
    if constexpr (OPERANDS == 1)
        result[i] = narrow(function(value[0]));
    else if constexpr (OPERANDS == 2)
        result[i] = narrow(function(value[0], value[1]));
    else
        result[i] = narrow(function(value[0], value[1], value[2]));
}
