// softmax/softmax.cu: softmax and log-softmax along one axis of any length, and their gradients.
//
// Computes   LOG=0  y[i] = exp(x[i] - m) / s          dx[i] = y[i] * (dy[i] - sum_j dy[j] * y[j])
//            LOG=1  y[i] = (x[i] - m) - log(s)        dx[i] = dy[i] - exp(y[i]) * sum_j dy[j]
//            with m = max_j x[j] and s = sum_j exp(x[j] - m), both from one running pass
// Layout     x, dy and the y given to backward: any strides; the result contiguous
// Launch     rows       block (team, teams), 256 threads at most: a power of two of lanes a slice
//            long_rows  block 512: one slice
//            columns    block (slices, team), 256 threads: at least 32 neighbouring slices
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

template <typename Team>
__device__ __forceinline__ void forward(const Team& team, const scalar_t* __restrict__ x,
                                        scalar_t* __restrict__ y, const Slices<2>& p,
                                        scalar_t* cache) {
    const Share share(team, p, static_cast<index_t>(blockIdx.x) * team.slots);
    const index_t start = share.at[1], length = share.length;  // all threads stay to the end
    const Slice<Team> from(team, x, 0, length, share, p, cache);
    if (p.staged) __syncthreads();

    Online online;
    each_batch(team, start, length, [&](index_t i) {
        acc_t value[BATCH];
        from.load(i, value, -limits<acc_t>::infinity());
        online.add(value);
    });
    const Normaliser norm = online.reduce(team);
    const acc_t scale = LOG ? log(norm.sum) : acc_t(1) / norm.sum;
    each(team, start, length, [&](index_t i) {
        const acc_t value = from.again(i);
        from.put(i, y + start, p.axis_stride[1],
                 LOG ? norm.log_probability(value, scale) : norm.probability(value, scale));
    });
    from.finish(y + share.block[1], share.tile);
}

template <typename Team>
__device__ __forceinline__ void backward(const Team& team, const scalar_t* __restrict__ dy,
                                         const scalar_t* __restrict__ y, scalar_t* __restrict__ dx,
                                         const Slices<3>& p, scalar_t* cache) {
    const Share share(team, p, static_cast<index_t>(blockIdx.x) * team.slots);
    const index_t start = share.at[2], length = share.length;
    const Slice<Team> from_dy(team, dy, 0, length, share, p, cache);
    const Slice<Team> from_y(team, y, 1, length, share, p, cache + p.room);
    if (p.staged) __syncthreads();

    acc_t sum = 0;
    each_batch(team, start, length, [&](index_t i) {
        acc_t g[BATCH], v[BATCH];
        from_dy.load(i, g, 0);
        from_y.load(i, v, 0);
#pragma unroll
        for (int k = 0; k < BATCH; ++k) sum += LOG ? g[k] : g[k] * v[k];
    });
    sum = team.reduce(sum, Sum());
    each(team, start, length, [&](index_t i) {
        const acc_t g = from_dy.again(i), v = from_y.again(i);
        from_dy.put(i, dx + start, p.axis_stride[2], LOG ? g - exp(v) * sum : v * (g - sum));
    });
    from_dy.finish(dx + share.block[2], share.tile);
}

extern "C" __global__ void __launch_bounds__(256, 1)
    softmax_rows(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Slices<2> p) {
    extern __shared__ __align__(16) scalar_t cache[];
    forward(LaneTeam(), x, y, p, cache);
}

extern "C" __global__ void __launch_bounds__(512, 1)
    softmax_long_rows(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Slices<2> p) {
    extern __shared__ __align__(16) scalar_t cache[];
    __shared__ acc_t partial[WARP];
    forward(BlockTeam(partial), x, y, p, cache);
}

extern "C" __global__ void __launch_bounds__(256, 1)
    softmax_columns(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Slices<2> p) {
    extern __shared__ __align__(16) scalar_t cache[];
    __shared__ acc_t partial[256];
    forward(ColumnTeam(partial), x, y, p, cache);
}

extern "C" __global__ void __launch_bounds__(256, 1)
    softmax_backward_rows(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ y,
                          scalar_t* __restrict__ dx, Slices<3> p) {
    extern __shared__ __align__(16) scalar_t cache[];
    backward(LaneTeam(), dy, y, dx, p, cache);
}

extern "C" __global__ void __launch_bounds__(512, 1)
    softmax_backward_long_rows(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ y,
                               scalar_t* __restrict__ dx, Slices<3> p) {
    extern __shared__ __align__(16) scalar_t cache[];
    __shared__ acc_t partial[WARP];
    backward(BlockTeam(partial), dy, y, dx, p, cache);
}

extern "C" __global__ void __launch_bounds__(256, 1)
    softmax_backward_columns(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ y,
                             scalar_t* __restrict__ dx, Slices<3> p) {
    extern __shared__ __align__(16) scalar_t cache[];
    __shared__ acc_t partial[256];
    backward(ColumnTeam(partial), dy, y, dx, p, cache);
}
