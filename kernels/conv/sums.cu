// conv/sums.cu: the sums behind the gradients of bias and weight, in a fixed order.
//
// Computes   dbias[k] = sum of dy[n,k,z,p,q] over (n,z,p,q); or part[j,k], over its j-th segment
//            total[i] = sum_j part[j,i]
// Layout     dy (N,K,Z,P,Q) any strides; the rest contiguous. Parts of conv_bias_parts, and those
//            that are added in the end, are of the type that sums are kept in
// Launch     conv_bias_sum, conv_bias_parts: block 256, grid (K, segments). conv_add_parts:
//            one thread an element, block 256. conv_add_many_parts: block (32, 8), a warp for every
//            eighth part of 32 elements
// Traffic    each input once, each output once; as many additions as input elements
// Range      any extents; 64-bit index arithmetic; trees and orders of fixed shape: deterministic
// Siblings   none
// Source     the definition
//
// entry conv_bias_sum            sums of dy by filter, one segment
// entry conv_bias_parts          sums of dy over segments of images and pixels, by filter
// entry conv_add_parts           sum of partial results over the leading axis
// entry conv_add_many_parts      the same, eight of them at a time
// variant SCALAR = floating
#include <pycnn/conv.cuh>
#include <pycnn/reduce.cuh>

constexpr int THREADS = 256;

struct PartsParams {
    index_t parts, size;
};

// The sum over this block's segment; every thread gets it.
__device__ __forceinline__ acc_t sum_segment(const scalar_t* dy, const ConvParams& v,
                                             acc_t* partial) {
    const index_t outputs = static_cast<index_t>(v.n) * v.z * v.p * v.q;
    const index_t segment = ceil_div(outputs, gridDim.y);
    const index_t first = blockIdx.y * segment + threadIdx.x;
    const index_t end = (blockIdx.y + 1) * segment < outputs ? (blockIdx.y + 1) * segment : outputs;
    const scalar_t* const of_filter = dy + blockIdx.x * v.y_k;
    acc_t sum = 0;
    OutputIterator at(v, first, THREADS);
    for (index_t i = first; i < end; i += THREADS, at.advance(v))
        sum += to_acc(of_filter[at.offset(v)]);
    return block_reduce(sum, Sum(), partial);
}

extern "C" __global__ void __launch_bounds__(THREADS)
conv_bias_sum(const scalar_t* __restrict__ dy, scalar_t* __restrict__ dbias, ConvParams v) {
    __shared__ acc_t partial[WARP];
    const acc_t sum = sum_segment(dy, v, partial);
    if (threadIdx.x == 0) dbias[blockIdx.x] = from_acc(sum);
}

extern "C" __global__ void __launch_bounds__(THREADS)
conv_bias_parts(const scalar_t* __restrict__ dy, acc_t* __restrict__ part, ConvParams v) {
    __shared__ acc_t partial[WARP];
    const acc_t sum = sum_segment(dy, v, partial);
    if (threadIdx.x == 0) part[static_cast<index_t>(blockIdx.y) * gridDim.x + blockIdx.x] = sum;
}

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
