// pycnn/map.cuh: a result for each element of one or several operands of the same shape, or two.
//
// A kernel file gives the function and two entries for it, one for contiguous operands and one for
// any strides, zero among them, by which an operand is broadcast:
//
//   struct Forward { __device__ acc_t operator()(acc_t x) const; };
//   extern "C" __global__ void __launch_bounds__(MAP_THREADS)
//   relu(const scalar_t* x, scalar_t* y, index_t count) {
//       map_contiguous(Forward(), count, y, x);
//   }
//   extern "C" __global__ void __launch_bounds__(MAP_THREADS)
//   relu_strided(const scalar_t* x, scalar_t* y, index_t count, MapViews<1> v) {
//       map_strided(Forward(), count, y, v, x);
//   }
//
// Both give 16 bytes of the result to a thread. A function that returns Two has its results stored
// in two arrays, Results. A result may lie where an operand does (in-place use), so no pointer here
// is __restrict__. The plan is in pycnn/plan/_map.py.
#pragma once

#include <pycnn/kernel.cuh>
#include <pycnn/strided.cuh>

constexpr int MAP_THREADS = 256;
constexpr int MAP_WIDTH = 16 / sizeof(scalar_t);  // elements of one instruction

struct alignas(16) Pack {  // loaded and stored by one instruction
    scalar_t at[MAP_WIDTH];
};

__device__ __forceinline__ bool aligned(const void* pointer) {
    return reinterpret_cast<unsigned long long>(pointer) % sizeof(Pack) == 0;
}

// pycnn/plan/_map.py: VIEWS.
template <int OPERANDS>
struct MapViews {
    Strided<OPERANDS> at;
    // Whether neighbours along the last axis come in packs of 16 bytes: in every operand they lie
    // side by side and aligned as the operand is, or are one and the same element.
    index_t packed;
};

// The first elements of this thread in a launch that gives it MAP_WIDTH of them: side by side if
// they are moved together, else MAP_THREADS apart, so that neighbouring threads have neighbours.
__device__ __forceinline__ index_t first_of_pack() { return flat_thread() * MAP_WIDTH; }
__device__ __forceinline__ index_t first_of_elements() {
    return static_cast<index_t>(blockIdx.x) * MAP_THREADS * MAP_WIDTH + threadIdx.x;
}

struct Two {
    acc_t first, second;
};

struct Results {
    scalar_t *first, *second;
};

__device__ __forceinline__ bool aligned(const Results& to) {
    return aligned(to.first) && aligned(to.second);
}
__device__ __forceinline__ void put(scalar_t* to, index_t i,
                                    acc_t value) { to[i] = from_acc(value); }
__device__ __forceinline__ void put(const Results& to, index_t i, const Two& value) {
    to.first[i] = from_acc(value.first);
    to.second[i] = from_acc(value.second);
}

template <typename Function, typename... Packs>
__device__ __forceinline__ void put_pack(scalar_t* to, index_t i, Function function,
                                         const Packs&... packs) {
    Pack result;
#pragma unroll
    for (int k = 0; k < MAP_WIDTH; ++k) result.at[k] = from_acc(function(to_acc(packs.at[k])...));
    *reinterpret_cast<Pack*>(to + i) = result;
}
template <typename Function, typename... Packs>
__device__ __forceinline__ void put_pack(const Results& to, index_t i, Function function,
                                         const Packs&... packs) {
    Pack first, second;
#pragma unroll
    for (int k = 0; k < MAP_WIDTH; ++k) {
        const Two value = function(to_acc(packs.at[k])...);
        first.at[k] = from_acc(value.first);
        second.at[k] = from_acc(value.second);
    }
    *reinterpret_cast<Pack*>(to.first + i) = first;
    *reinterpret_cast<Pack*>(to.second + i) = second;
}

// An operand that may be missing, and is zero then.
struct Optional {
    const scalar_t* at;
};

__device__ __forceinline__ bool aligned(Optional operand) { return aligned(operand.at); }
__device__ __forceinline__ scalar_t get(const scalar_t* operand, index_t i) { return operand[i]; }
__device__ __forceinline__ scalar_t get(Optional operand, index_t i) {
    return operand.at ? operand.at[i] : from_acc(0);
}
__device__ __forceinline__ Pack repeated(scalar_t value) {
    Pack pack;
#pragma unroll
    for (int k = 0; k < MAP_WIDTH; ++k) pack.at[k] = value;
    return pack;
}
__device__ __forceinline__ Pack get_pack(const scalar_t* operand, index_t i) {
    return *reinterpret_cast<const Pack*>(operand + i);
}
__device__ __forceinline__ Pack get_pack(Optional operand, index_t i) {
    return operand.at ? get_pack(operand.at, i) : repeated(from_acc(0));
}

// A function of the values, or packs, that stand in an array.
template <typename Caller, typename Value, int COUNT, typename... Taken>
__device__ __forceinline__ auto spread(Caller call, const Value (&values)[COUNT],
                                       const Taken&... taken) {
    if constexpr (sizeof...(taken) == COUNT)
        return call(taken...);
    else
        return spread(call, values, taken..., values[sizeof...(taken)]);
}

template <typename Function, typename To, typename... Operands>
__device__ __forceinline__ void map_contiguous(Function function, index_t count, const To& result,
                                               Operands... operands) {
    const index_t block_end = (blockIdx.x + index_t(1)) * MAP_THREADS * MAP_WIDTH;
    if (block_end <= count && (aligned(result) && ... && aligned(operands))) {
        const index_t i = first_of_pack();
        put_pack(result, i, function, get_pack(operands, i)...);
        return;
    }
#pragma unroll 1
    for (index_t i = first_of_elements(); i < count && i < block_end; i += MAP_THREADS)
        put(result, i, function(to_acc(get(operands, i))...));
}

template <typename Function, typename To, int OPERANDS, typename... Operands>
__device__ __forceinline__ void map_strided(Function function, index_t count, const To& result,
                                            const MapViews<OPERANDS>& v, Operands... operands) {
    static_assert(OPERANDS == sizeof...(operands), "a view for every operand");
    index_t at[OPERANDS];
    int next = 0;
    if (v.packed && (aligned(result) && ... && aligned(operands))) {
        const index_t i = first_of_pack();
        if (i >= count) return;
        v.at.locate(i, at);
        const auto fetch = [&](auto operand, int o) {
            const bool neighbours = v.at.stride[o][v.at.rank - 1] == 1;
            return neighbours ? get_pack(operand, at[o]) : repeated(get(operand, at[o]));
        };
        const Pack packs[] = {fetch(operands, next++)...};
        spread([&](const auto&... pack) { put_pack(result, i, function, pack...); }, packs);
        return;
    }
    const index_t block_end = (blockIdx.x + index_t(1)) * MAP_THREADS * MAP_WIDTH;
#pragma unroll 1
    for (index_t i = first_of_elements(); i < count && i < block_end; i += MAP_THREADS) {
        v.at.locate(i, at);
        next = 0;
        const acc_t values[] = {to_acc(get(operands, at[next++]))...};
        put(result, i, spread(function, values));
    }
}
