// conv/sums.cu: the sums behind the gradients of bias and weight, in a fixed order.
//
// Computes   part[j,k] = sum of dy[n,k,p,q] over the j-th segment of (n,p,q); one segment: dbias[k]
//            total[i]  = sum_j part[j,i], added to total[i] if asked
// Layout     dy (N,K,P,Q) any strides; the rest contiguous
// Launch     conv_bias_sum: block 256, grid (K, segments). conv_add_parts: one thread an element,
//            block 256
// Traffic    each input once, each output once; as many additions as input elements
// Range      any extents; 64-bit index arithmetic; trees and orders of fixed shape: deterministic
// Siblings   none
// Source     the definition
//
// entry conv_bias_sum            sums of dy over segments of images and pixels, by filter
// entry conv_add_parts           sum of partial results over the leading axis
// variant SCALAR = float, double
#include <pycnn/conv.cuh>
#include <pycnn/reduce.cuh>

constexpr int THREADS = 256;

struct PartsParams {
    index_t parts, size, accumulate;
};

extern "C" __global__ void __launch_bounds__(THREADS)
conv_bias_sum(const scalar* __restrict__ dy, scalar* __restrict__ part, ConvParams v) {
    __shared__ scalar partial[WARP];
    const index_t outputs = static_cast<index_t>(v.n) * v.p * v.q;
    const index_t segment = (outputs + gridDim.y - 1) / gridDim.y;
    const index_t first = blockIdx.y * segment + threadIdx.x;
    const index_t end = (blockIdx.y + 1) * segment < outputs ? (blockIdx.y + 1) * segment : outputs;
    const scalar* const of_filter = dy + blockIdx.x * v.y_k;
    scalar sum = 0;
    Walk at(v, first, THREADS);
    for (index_t i = first; i < end; i += THREADS, at.advance(v))
        sum += of_filter[at.n * v.y_n + at.p * v.y_p + at.q * v.y_q];
    sum = block_reduce(sum, Sum(), partial);
    if (threadIdx.x == 0) part[static_cast<index_t>(blockIdx.y) * gridDim.x + blockIdx.x] = sum;
}

extern "C" __global__ void __launch_bounds__(THREADS)
conv_add_parts(const scalar* __restrict__ part, scalar* __restrict__ total, PartsParams v) {
    const index_t i = flat_thread();
    if (i >= v.size) return;
    scalar sum = v.accumulate ? total[i] : scalar(0);
    for (index_t j = 0; j < v.parts; ++j) sum += part[j * v.size + i];
    total[i] = sum;
}
