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
//            the second pass, 48 kB at most (with the partial sums)
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
// variant SCALAR = float, double
// variant LOG = 0, 1
#include <pycnn/kernel.cuh>
#include <pycnn/slices.cuh>

#ifndef LOG
#define LOG 0
#endif

template <typename Team>
__device__ __forceinline__ void forward(const Team& team, const scalar* __restrict__ x,
                                        scalar* __restrict__ y, const Slices<2>& p,
                                        scalar* cache) {
    const index_t number = static_cast<index_t>(blockIdx.x) * team.slots + team.slot;
    const index_t length = number < p.count ? p.length : 0;  // all threads stay for the reductions
    index_t start[2];
    p.start.locate(number, start);
    const Slice<Team> from = {team, x + start[0], p.axis_stride[0], length, cache, p.cached};
    scalar* to = y + start[1];

    Online online;
    each_batch(team, start[1], length, [&](index_t i) {
        scalar value[BATCH];
        from.load(i, value, -limits<scalar>::infinity());
        from.keep(i, value);
        online.add(value);
    });
    const Normaliser norm = online.reduce(team);
    const scalar scale = LOG ? log(norm.sum) : scalar(1) / norm.sum;
    each(team, start[1], length, [&](index_t i) {
        const scalar value = from.again(i);
        to[i * p.axis_stride[1]] =
            LOG ? norm.log_probability(value, scale) : norm.probability(value, scale);
    });
}

template <typename Team>
__device__ __forceinline__ void backward(const Team& team, const scalar* __restrict__ dy,
                                         const scalar* __restrict__ y, scalar* __restrict__ dx,
                                         const Slices<3>& p, scalar* cache) {
    const index_t number = static_cast<index_t>(blockIdx.x) * team.slots + team.slot;
    const index_t length = number < p.count ? p.length : 0;
    index_t start[3];
    p.start.locate(number, start);
    scalar* cache_y = cache + team.slots * p.cached;
    const Slice<Team> from_dy = {team, dy + start[0], p.axis_stride[0], length, cache, p.cached};
    const Slice<Team> from_y = {team, y + start[1], p.axis_stride[1], length, cache_y, p.cached};
    scalar* to = dx + start[2];

    scalar sum = 0;
    each_batch(team, start[2], length, [&](index_t i) {
        scalar g[BATCH], v[BATCH];
        from_dy.load(i, g, 0);
        from_y.load(i, v, 0);
        from_dy.keep(i, g);
        from_y.keep(i, v);
#pragma unroll
        for (int k = 0; k < BATCH; ++k) sum += LOG ? g[k] : g[k] * v[k];
    });
    sum = team.reduce(sum, Sum());
    each(team, start[2], length, [&](index_t i) {
        const scalar g = from_dy.again(i), v = from_y.again(i);
        to[i * p.axis_stride[2]] = LOG ? g - exp(v) * sum : v * (g - sum);
    });
}

extern "C" __global__ void __launch_bounds__(256, 1)
    softmax_rows(const scalar* __restrict__ x, scalar* __restrict__ y, Slices<2> p) {
    extern __shared__ scalar cache[];
    forward(LaneTeam(), x, y, p, cache);
}

extern "C" __global__ void __launch_bounds__(512, 1)
    softmax_long_rows(const scalar* __restrict__ x, scalar* __restrict__ y, Slices<2> p) {
    extern __shared__ scalar cache[];
    __shared__ scalar partial[WARP];
    forward(BlockTeam(partial), x, y, p, cache);
}

extern "C" __global__ void __launch_bounds__(256, 1)
    softmax_columns(const scalar* __restrict__ x, scalar* __restrict__ y, Slices<2> p) {
    extern __shared__ scalar cache[];
    __shared__ scalar partial[256];
    forward(ColumnTeam(partial), x, y, p, cache);
}

extern "C" __global__ void __launch_bounds__(256, 1)
    softmax_backward_rows(const scalar* __restrict__ dy, const scalar* __restrict__ y,
                          scalar* __restrict__ dx, Slices<3> p) {
    extern __shared__ scalar cache[];
    backward(LaneTeam(), dy, y, dx, p, cache);
}

extern "C" __global__ void __launch_bounds__(512, 1)
    softmax_backward_long_rows(const scalar* __restrict__ dy, const scalar* __restrict__ y,
                               scalar* __restrict__ dx, Slices<3> p) {
    extern __shared__ scalar cache[];
    __shared__ scalar partial[WARP];
    backward(BlockTeam(partial), dy, y, dx, p, cache);
}

extern "C" __global__ void __launch_bounds__(256, 1)
    softmax_backward_columns(const scalar* __restrict__ dy, const scalar* __restrict__ y,
                             scalar* __restrict__ dx, Slices<3> p) {
    extern __shared__ scalar cache[];
    __shared__ scalar partial[256];
    backward(ColumnTeam(partial), dy, y, dx, p, cache);
}
