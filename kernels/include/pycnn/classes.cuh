// pycnn/classes.cuh: what the losses over class indices share: their parameters, and what a block
// knows of its positions.
#pragma once

#include <pycnn/reduce.cuh>

// pycnn.plan._classes.CLASSES
struct Classes {
    index_t weight_stride, ignore_index;
    double hard, smooth;  // 1 - e and e / C, with e the label smoothing
};

struct Weights {
    const scalar_t* at;  // null: one each
    index_t stride;

    __device__ __forceinline__ acc_t operator()(index_t c) const {
        return at ? to_acc(__ldg(at + c * stride)) : acc_t(1);
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
    const acc_t mean = weight_sum ? acc_t(1) / __ldg(weight_sum) : acc_t(1);
    return to_acc(__ldg(dy)) * mean * weight;
}
