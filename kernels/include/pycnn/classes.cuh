// pycnn/classes.cuh: what the losses over class indices share: their parameters, and what a block
// knows of its positions.
#pragma once

#include <pycnn/reduce.cuh>

struct Classes {
    index_t weight_stride, ignore_index;
    double hard, smooth;  // 1 - e and e / C, with e the label smoothing
};

struct Weights {
    const scalar* at;  // null: one each
    index_t stride;

    __device__ __forceinline__ accum operator()(index_t c) const {
        return at ? widen(__ldg(at + c * stride)) : accum(1);
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
