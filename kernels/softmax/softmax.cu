// softmax/softmax.cu: softmax and log-softmax along one axis of any length, and their gradients.
//
// Computes   LOG=0  y[i] = exp(x[i] - m) / s          dx[i] = y[i] * (dy[i] - sum_j dy[j] * y[j])
//            LOG=1  y[i] = (x[i] - m) - log(s)        dx[i] = dy[i] - exp(y[i]) * sum_j dy[j]
//            with m = max_j x[j] and s = sum_j exp(x[j] - m), both from one running pass
// Layout     x, dy and the y given to backward: any strides; the result contiguous
// Launch     rows       block (group, groups), 256 threads at most: a power of two of lanes a slice
//            long_rows  block 512: one slice
//            columns    block (slices, group), 256 threads: at least 32 neighbouring slices
//            grid of as many blocks as the slices need; shared memory: the elements that wait for
//            the second pass, 48 kB at most (with the partial sums). Contiguous rows come and go
//            16 bytes a thread, whole blocks at a time
// Traffic    forward |x| + |y|, backward |dy| + |y| + |dx| bytes, as long as a slice fits in
//            shared memory; what does not fit is read twice. 5 and 4 flop an element
// Range      any extents, 64-bit index arithmetic; nothing overflows, exponents are never
//            positive; a slice with NaN, plus infinity, or minus infinity alone becomes NaN
// Siblings   rows for a contiguous axis of up to 1024 elements: no barrier, many slices a block.
//            long_rows beyond that: more loads in flight for one slice. columns where the axis is
//            not the last: neighbouring threads read neighbouring addresses, across the slices.
// Source     Milakov, Gimelshein: Online normalizer calculation for softmax, 2018, algorithm 3
//
// entry softmax_rows                softmax or log-softmax along the last axis, a few lanes a slice
// entry softmax_long_rows           softmax or log-softmax along the last axis, a block a slice
// entry softmax_columns             softmax or log-softmax along another axis
// entry softmax_backward_rows       their gradient along the last axis, a few lanes a slice
// entry softmax_backward_long_rows  their gradient along the last axis, a block a slice
// entry softmax_backward_columns    their gradient along another axis
// variant SCALAR = floating
// variant LOG = 0, 1
#include <pycnn/kernel.cuh>
#include <pycnn/slices.cuh>

#ifndef LOG
#define LOG 0
#endif

template <typename Group>
__device__ __forceinline__ void forward(const Group& group, const scalar_t* __restrict__ x,
                                        scalar_t* __restrict__ y, const Slices<2>& p,
                                        scalar_t* smem) {
    const Partition part(group, p, static_cast<index_t>(blockIdx.x) * group.num_groups);
    const index_t start = part.at[1], length = part.length;  // all threads stay to the end
    const Slice<Group> from(group, x, 0, length, part, p, smem);
    if (p.staged) __syncthreads();

    OnlineSoftmax online;
    each_batch(group, start, length, [&](index_t i) {
        acc_t value[BATCH];
        from.load(i, value, -limits<acc_t>::infinity());
        online.add(value);
    });
    const Normaliser norm = online.reduce(group);
    const acc_t scale = LOG ? log(norm.sum) : acc_t(1) / norm.sum;
    each(group, start, length, [&](index_t i) {
        const acc_t value = from.reload(i);
        from.store(i, y + start, p.axis_stride[1],
                   LOG ? norm.log_probability(value, scale) : norm.probability(value, scale));
    });
    from.store_staged(y + part.block[1], part.tile);
}

template <typename Group>
__device__ __forceinline__ void backward(const Group& group, const scalar_t* __restrict__ dy,
                                         const scalar_t* __restrict__ y, scalar_t* __restrict__ dx,
                                         const Slices<3>& p, scalar_t* smem) {
    const Partition part(group, p, static_cast<index_t>(blockIdx.x) * group.num_groups);
    const index_t start = part.at[2], length = part.length;
    const Slice<Group> from_dy(group, dy, 0, length, part, p, smem);
    const Slice<Group> from_y(group, y, 1, length, part, p, smem + p.room);
    if (p.staged) __syncthreads();

    acc_t sum = 0;
    each_batch(group, start, length, [&](index_t i) {
        acc_t g[BATCH], v[BATCH];
        from_dy.load(i, g, 0);
        from_y.load(i, v, 0);
#pragma unroll
        for (int k = 0; k < BATCH; ++k) sum += LOG ? g[k] : g[k] * v[k];
    });
    sum = group.reduce(sum, Sum());
    each(group, start, length, [&](index_t i) {
        const acc_t g = from_dy.reload(i), v = from_y.reload(i);
        from_dy.store(i, dx + start, p.axis_stride[2], LOG ? g - exp(v) * sum : v * (g - sum));
    });
    from_dy.store_staged(dx + part.block[2], part.tile);
}

extern "C" __global__ void __launch_bounds__(256, 1)
    softmax_rows(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Slices<2> p) {
    extern __shared__ __align__(16) scalar_t smem[];
    forward(LaneGroup(), x, y, p, smem);
}

extern "C" __global__ void __launch_bounds__(512, 1)
    softmax_long_rows(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Slices<2> p) {
    extern __shared__ __align__(16) scalar_t smem[];
    __shared__ acc_t partial[WARP];
    forward(BlockGroup(partial), x, y, p, smem);
}

extern "C" __global__ void __launch_bounds__(256, 1)
    softmax_columns(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Slices<2> p) {
    extern __shared__ __align__(16) scalar_t smem[];
    __shared__ acc_t partial[256];
    forward(ColumnGroup(partial), x, y, p, smem);
}

extern "C" __global__ void __launch_bounds__(256, 1)
    softmax_backward_rows(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ y,
                          scalar_t* __restrict__ dx, Slices<3> p) {
    extern __shared__ __align__(16) scalar_t smem[];
    backward(LaneGroup(), dy, y, dx, p, smem);
}

extern "C" __global__ void __launch_bounds__(512, 1)
    softmax_backward_long_rows(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ y,
                               scalar_t* __restrict__ dx, Slices<3> p) {
    extern __shared__ __align__(16) scalar_t smem[];
    __shared__ acc_t partial[WARP];
    backward(BlockGroup(partial), dy, y, dx, p, smem);
}

extern "C" __global__ void __launch_bounds__(256, 1)
    softmax_backward_columns(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ y,
                             scalar_t* __restrict__ dx, Slices<3> p) {
    extern __shared__ __align__(16) scalar_t smem[];
    __shared__ acc_t partial[256];
    backward(ColumnGroup(partial), dy, y, dx, p, smem);
}
