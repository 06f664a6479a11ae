// elementwise/partial_sums.cu: the parts of sums added in their order.
//
// Computes   total[s] = sum over p of partial[s,p]
// Layout     both contiguous
// Launch     a warp a sum; block (32, 8); grid ceil(sums / 8); no shared memory
// Traffic    |partial| + |total| bytes, little beside the pass that made them
// Range      any extents; 64-bit index arithmetic; a tree of fixed shape: deterministic
// Siblings   none; the second stage of pycnn/map_sum.cuh
// Source     the definition
//
// entry partial_sums  sums of parts that are kept in the type they were computed in
// variant SCALAR = floating
#include <pycnn/map_sum.cuh>

extern "C" __global__ void __launch_bounds__(SUM_THREADS, 1)
partial_sums(const acc_t* __restrict__ partial, scalar_t* __restrict__ total, index_t sums,
             index_t parts) {
    const index_t sum = static_cast<index_t>(blockIdx.x) * SUM_WARPS + threadIdx.y;
    if (sum >= sums) return;
    acc_t value = 0;
    for (index_t part = threadIdx.x; part < parts; part += WARP)
        value += partial[sum * parts + part];
    value = lane_reduce(value, Sum(), WARP);
    if (threadIdx.x == 0) total[sum] = from_acc(value);
}
