// loss/sums.cu: the last stages of every loss: partial sums become one.
//
// Computes   loss_finish          loss = sum above / sum below, or sum above / divisor
//            loss_total           total = sum parts, kept in the type of sums
//            loss_target_weights  parts[block] = sum of weight[target[i]], ignored targets left out
// Layout     target any strides, int64 or int32; all else contiguous
// Launch     block 256, finish up to 1024; finish and total one block, target_weights at most 1024
// Traffic    a few kB; target_weights |target| bytes
// Range      any number of partial sums, none included: 0, and 0 / 0 = NaN for the mean of nothing
// Siblings   the kernels of this folder leave at most 1024 partial sums, by block; here they are
//            added in an order that depends on their number alone, so no atomics are needed
// Source     two-stage reduction: Harris: Optimizing parallel reduction in CUDA, NVIDIA 2007
//
// entry loss_finish          loss from partial sums
// entry loss_total           sum of partial sums
// entry loss_target_weights  partial sums of the targets' weights
// variant SCALAR = floating
#include <pycnn/kernel.cuh>
#include <pycnn/reduce.cuh>
#include <pycnn/strided.cuh>
#include <pycnn/classes.cuh>

// `below` null: the divisor.
extern "C" __global__ void __launch_bounds__(1024, 1)
    loss_finish(const acc_t* __restrict__ above, const acc_t* __restrict__ below,
                scalar_t* __restrict__ loss, index_t count, double divisor) {
    __shared__ SumPair shared[LANES];
    SumPair sums = {};
    for (index_t i = threadIdx.x; i < count; i += blockDim.x)
        sums.merge({above[i], below ? below[i] : acc_t(0)});
    sums = merge_block(sums, shared);
    if (threadIdx.x == 0)
        *loss = from_acc(sums.first / (below ? sums.second : static_cast<acc_t>(divisor)));
}

extern "C" __global__ void __launch_bounds__(256, 1)
    loss_total(const acc_t* __restrict__ parts, acc_t* __restrict__ total, index_t count) {
    __shared__ acc_t partial[WARP];
    acc_t sum = 0;
    for (index_t i = threadIdx.x; i < count; i += blockDim.x) sum += parts[i];
    sum = block_reduce(sum, Sum(), partial);
    if (threadIdx.x == 0) *total = sum;
}

extern "C" __global__ void __launch_bounds__(256, 1)
    loss_target_weights(const void* __restrict__ target, const scalar_t* __restrict__ weight,
                        acc_t* __restrict__ parts, index_t count, Strided<1> position, Classes c) {
    __shared__ acc_t partial[WARP];
    const Weights weights = {weight, c.weight_stride};
    acc_t sum = 0;
    for (index_t i = flat_thread(); i < count; i += static_cast<index_t>(gridDim.x) * blockDim.x) {
        index_t at[1];
        position.locate(i, at);
        const index_t t = target_at(target, c, at[0]);
        if (t != c.ignore_index) sum += weights.of_target(c, t);
    }
    sum = block_reduce(sum, Sum(), partial);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}
