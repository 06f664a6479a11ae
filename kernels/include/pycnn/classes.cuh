// pycnn/classes.cuh: what the losses over class indices share: their parameters, and what a block
// knows of its positions.
#pragma once

#include <pycnn/reduce.cuh>

struct Classes {
    index_t weight_stride, ignore_index, count;
    double hard, smooth;  // 1 - e and e / C, with e the label smoothing
};

// A target that is no class and not ignored has no score and no weight: what it goes into is NaN.
__device__ __forceinline__ bool is_class(const Classes& c, index_t target) {
    return target >= 0 && target < c.count;
}

struct Weights {
    const scalar* at;  // null: one each
    index_t stride;

    __device__ __forceinline__ accum operator()(index_t c) const {
        return at ? widen(__ldg(at + c * stride)) : accum(1);
    }
    __device__ __forceinline__ accum of_target(const Classes& c, index_t target) const {
        return is_class(c, target) ? (*this)(target) : limits<accum>::quiet_nan();
    }
};

constexpr int SLOTS = 256;  // most positions that a block works on at a time

// Of each position in the block: read once, whatever the size of its team.
struct Positions {
    index_t target[SLOTS];
    accum gradient[SLOTS];  // what it gets for one unit of cost, in backward
};

// Gradient of a position's cost, times its weight: dy[position], dy, or dy / (sum of weights).
__device__ __forceinline__ accum scaled(const scalar* dy, const accum* weight_sum, accum weight) {
    const accum mean = weight_sum ? accum(1) / __ldg(weight_sum) : accum(1);
    return widen(__ldg(dy)) * mean * weight;
}
