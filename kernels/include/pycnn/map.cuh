// pycnn/map.cuh: elementwise kernels: a result, or two, for each element of one or several operands
// of the same shape.
//
// A kernel file gives the function and two entries for it, one for contiguous operands and one for
// any strides, zero among them, by which an operand is broadcast:
//
//   struct Forward { __device__ acc_t operator()(acc_t x) const; };
//   extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
//   relu(const scalar_t* x, scalar_t* y, index_t count) {
//       elementwise_contiguous(Forward(), count, y, x);
//   }
//   extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
//   relu_strided(const scalar_t* x, scalar_t* y, index_t count, MapViews<1> v) {
//       elementwise_strided(Forward(), count, y, v, x);
//   }
//
// Both give 16 bytes of the result to a thread. A function that returns a Pair has its results
// stored in two arrays, Results. A result may lie where an operand does (in-place use), so no
// pointer here is __restrict__. The plan is in pycnn/plan/_map.py.
#pragma once

#include <pycnn/kernel.cuh>
#include <pycnn/strided.cuh>

constexpr int ELEMENTWISE_THREADS = 256;
constexpr int VEC_SIZE = 16 / sizeof(scalar_t);  // elements of one instruction

struct alignas(16) Vec {  // loaded and stored by one instruction
    scalar_t at[VEC_SIZE];
};

__device__ __forceinline__ bool aligned(const void* pointer) {
    return reinterpret_cast<unsigned long long>(pointer) % sizeof(Vec) == 0;
}

template <int OPERANDS>
struct MapViews {
    Strided<OPERANDS> at;
    // Whether neighbours along the last axis come in vectors of 16 bytes: in every operand they lie
    // side by side and aligned as the operand is, or are one and the same element.
    index_t packed;
};

// The first elements of this thread in a launch that gives it VEC_SIZE of them: side by side if
// they are moved together, else ELEMENTWISE_THREADS apart, so that neighbouring threads have
// neighbours.
__device__ __forceinline__ index_t first_of_vec() { return flat_thread() * VEC_SIZE; }
__device__ __forceinline__ index_t first_of_elements() {
    return static_cast<index_t>(blockIdx.x) * ELEMENTWISE_THREADS * VEC_SIZE + threadIdx.x;
}

struct Pair {
    acc_t first, second;
};

struct Results {
    scalar_t *first, *second;
};

__device__ __forceinline__ bool aligned(const Results& to) {
    return aligned(to.first) && aligned(to.second);
}
__device__ __forceinline__ void store(scalar_t* to, index_t i, acc_t value) {
    to[i] = from_acc(value);
}
__device__ __forceinline__ void store(const Results& to, index_t i, const Pair& value) {
    to.first[i] = from_acc(value.first);
    to.second[i] = from_acc(value.second);
}

template <typename Function, typename... Vecs>
__device__ __forceinline__ void store_vec(scalar_t* to, index_t i, Function function,
                                          const Vecs&... vecs) {
    Vec result;
#pragma unroll
    for (int k = 0; k < VEC_SIZE; ++k) result.at[k] = from_acc(function(to_acc(vecs.at[k])...));
    *reinterpret_cast<Vec*>(to + i) = result;
}
template <typename Function, typename... Vecs>
__device__ __forceinline__ void store_vec(const Results& to, index_t i, Function function,
                                          const Vecs&... vecs) {
    Vec first, second;
#pragma unroll
    for (int k = 0; k < VEC_SIZE; ++k) {
        const Pair value = function(to_acc(vecs.at[k])...);
        first.at[k] = from_acc(value.first);
        second.at[k] = from_acc(value.second);
    }
    *reinterpret_cast<Vec*>(to.first + i) = first;
    *reinterpret_cast<Vec*>(to.second + i) = second;
}

// An operand that may be missing, and is zero then.
struct Optional {
    const scalar_t* at;
};

__device__ __forceinline__ bool aligned(Optional operand) { return aligned(operand.at); }
__device__ __forceinline__ scalar_t load(const scalar_t* operand, index_t i) { return operand[i]; }
__device__ __forceinline__ scalar_t load(Optional operand, index_t i) {
    return operand.at ? operand.at[i] : from_acc(0);
}
__device__ __forceinline__ Vec broadcast(scalar_t value) {
    Vec vec;
#pragma unroll
    for (int k = 0; k < VEC_SIZE; ++k) vec.at[k] = value;
    return vec;
}
__device__ __forceinline__ Vec load_vec(const scalar_t* operand, index_t i) {
    return *reinterpret_cast<const Vec*>(operand + i);
}
__device__ __forceinline__ Vec load_vec(Optional operand, index_t i) {
    return operand.at ? load_vec(operand.at, i) : broadcast(from_acc(0));
}

// Applies a function to the values, or vectors, that stand in an array.
template <typename Caller, typename Value, int COUNT, typename... Taken>
__device__ __forceinline__ auto apply(Caller call, const Value (&values)[COUNT],
                                      const Taken&... taken) {
    if constexpr (sizeof...(taken) == COUNT)
        return call(taken...);
    else
        return apply(call, values, taken..., values[sizeof...(taken)]);
}

template <typename Function, typename To, typename... Operands>
__device__ __forceinline__ void elementwise_contiguous(Function function, index_t count,
                                                       const To& result, Operands... operands) {
    const index_t block_end = (blockIdx.x + index_t(1)) * ELEMENTWISE_THREADS * VEC_SIZE;
    if (block_end <= count && (aligned(result) && ... && aligned(operands))) {
        const index_t i = first_of_vec();
        store_vec(result, i, function, load_vec(operands, i)...);
        return;
    }
#pragma unroll 1
    for (index_t i = first_of_elements(); i < count && i < block_end; i += ELEMENTWISE_THREADS)
        store(result, i, function(to_acc(load(operands, i))...));
}

template <typename Function, typename To, int OPERANDS, typename... Operands>
__device__ __forceinline__ void elementwise_strided(Function function, index_t count,
                                                    const To& result, const MapViews<OPERANDS>& v,
                                                    Operands... operands) {
    static_assert(OPERANDS == sizeof...(operands), "a view for every operand");
    index_t at[OPERANDS];
    int next = 0;
    if (v.packed && (aligned(result) && ... && aligned(operands))) {
        const index_t i = first_of_vec();
        if (i >= count) return;
        v.at.locate(i, at);
        const auto load_operand = [&](auto operand, int o) {
            const bool neighbours = v.at.stride[o][v.at.rank - 1] == 1;
            return neighbours ? load_vec(operand, at[o]) : broadcast(load(operand, at[o]));
        };
        const Vec vecs[] = {load_operand(operands, next++)...};
        apply([&](const auto&... vec) { store_vec(result, i, function, vec...); }, vecs);
        return;
    }
    const index_t block_end = (blockIdx.x + index_t(1)) * ELEMENTWISE_THREADS * VEC_SIZE;
#pragma unroll 1
    for (index_t i = first_of_elements(); i < count && i < block_end; i += ELEMENTWISE_THREADS) {
        v.at.locate(i, at);
        next = 0;
        const acc_t values[] = {to_acc(load(operands, at[next++]))...};
        store(result, i, apply(function, values));
    }
}
