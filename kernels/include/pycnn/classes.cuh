// pycnn/classes.cuh: what the losses over class indices share: their parameters, and what a block
// knows of its positions.
#pragma once

#include <pycnn/reduce.cuh>
#include <pycnn/welford.cuh>

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

// What a block leaves to loss/sums.cu, by all of its threads: the sums over them, or over the first
// one of each group.
__device__ __forceinline__ void leave_sums(SumPair mine, acc_t* __restrict__ partial_cost,
                                           acc_t* __restrict__ partial_weight) {
    __shared__ SumPair shared[LANES];
    mine = merge_block(mine, shared);
    if (threadIdx.x != 0 || threadIdx.y != 0) return;
    partial_cost[blockIdx.x] = mine.first;
    partial_weight[blockIdx.x] = mine.second;
}

template <typename Group>
__device__ __forceinline__ void leave_sums(const Group& group, SumPair mine,
                                           acc_t* __restrict__ partial_cost,
                                           acc_t* __restrict__ partial_weight) {
    __shared__ SumPair shared[MAX_GROUPS];
    if (group.thread_rank == 0) shared[group.index] = mine;
    __syncthreads();
    const int thread = threadIdx.y * blockDim.x + threadIdx.x;
    if (thread >= LANES) return;
    mine = {};
    for (int i = thread; i < group.num_groups; i += LANES) mine.merge(shared[i]);
    mine = merge_lanes(mine);
    if (thread != 0) return;
    partial_cost[blockIdx.x] = mine.first;
    partial_weight[blockIdx.x] = mine.second;
}
