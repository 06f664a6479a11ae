// conv/sums.cu: partial sums of gradients, added in a fixed order.
//
// Computes   total[i] = sum_j part[j,i]
// Layout     contiguous; parts are of the type that sums are kept in
// Launch     conv_add_parts: one thread an element, block 256. conv_add_many_parts: block (32, 8), a
//            warp for every eighth part of 32 elements
// Traffic    each input once, each output once; as many additions as input elements
// Range      any extents; 64-bit index arithmetic; trees and orders of fixed shape: deterministic
// Siblings   none
// Source     the definition
//
// entry conv_add_parts           sum of partial results over the leading axis
// entry conv_add_many_parts      the same, eight of them at a time
// variant SCALAR = floating
#include <pycnn/conv.cuh>

constexpr int THREADS = 256, WARP = 32;

struct PartsParams {
    index_t parts, size;
};

extern "C" __global__ void __launch_bounds__(THREADS)
conv_add_parts(const acc_t* __restrict__ part, scalar_t* __restrict__ total, PartsParams v) {
    const index_t i = flat_thread();
    if (i >= v.size) return;
    acc_t sum = 0;
    for (index_t j = 0; j < v.parts; ++j) sum += part[j * v.size + i];
    total[i] = from_acc(sum);
}

extern "C" __global__ void __launch_bounds__(THREADS)
conv_add_many_parts(const acc_t* __restrict__ part, scalar_t* __restrict__ total, PartsParams v) {
    constexpr int WARPS = THREADS / WARP;
    __shared__ acc_t sums[WARPS][WARP];
    const index_t i = static_cast<index_t>(blockIdx.x) * WARP + threadIdx.x;
    acc_t sum = 0;
    if (i < v.size)
#pragma unroll 8
        for (index_t j = threadIdx.y; j < v.parts; j += WARPS) sum += part[j * v.size + i];
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || i >= v.size) return;
#pragma unroll
    for (int k = 1; k < WARPS; ++k) sum += sums[k][threadIdx.x];
    total[i] = from_acc(sum);
}
