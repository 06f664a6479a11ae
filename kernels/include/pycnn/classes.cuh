// pycnn/classes.cuh: what the losses over class indices share: their parameters, and what a block
// knows of its positions.
#pragma once

#include <pycnn/reduce.cuh>

struct Classes {
    index_t weight_stride, ignore_index, count;
    index_t narrow;       // whether the targets have 32 bits, not 64
    double hard, smooth;  // 1 - e and e / C, with e the label smoothing
};

__device__ __forceinline__ index_t target_at(const void* target, const Classes& c, index_t at) {
    return c.narrow ? ldg(static_cast<const int*>(target) + at)
                    : ldg(static_cast<const index_t*>(target) + at);
}

// A target that is no class and not ignored has no score and no weight: what it goes into is NaN.
__device__ __forceinline__ bool is_class(const Classes& c, index_t target) {
    return target >= 0 && target < c.count;
}

struct Weights {
    const scalar_t* at;  // null: one each
    index_t stride;

    __device__ __forceinline__ acc_t operator()(index_t c) const {
        return at ? to_acc(ldg(at + c * stride)) : acc_t(1);
    }
    __device__ __forceinline__ acc_t of_target(const Classes& c, index_t target) const {
        return is_class(c, target) ? (*this)(target) : limits<acc_t>::quiet_nan();
    }
};

constexpr int MAX_GROUPS = 256;  // most positions that a block works on at a time

// Of each position in the block: read once, whatever the size of its group.
struct Positions {
    index_t target[MAX_GROUPS];
    acc_t gradient[MAX_GROUPS];  // what it gets for one unit of cost, in backward
};

// Gradient of a position's cost, times its weight: dy[position], dy, or dy / (sum of weights).
__device__ __forceinline__ acc_t scaled(const scalar_t* dy, const acc_t* weight_sum, acc_t weight) {
    const acc_t mean = weight_sum ? acc_t(1) / ldg(weight_sum) : acc_t(1);
    return to_acc(ldg(dy)) * mean * weight;
}
