// pycnn/slices.cuh: what softmax and the losses share: the slices of a tensor along one axis, read
// once by a team of threads, and their maximum and sum of exponentials in that one pass.
#pragma once

#include <pycnn/reduce.cuh>
#include <pycnn/strided.cuh>

// pycnn.plan._slices.slices_dtype. The first `cached` elements of a slice stay in shared memory
// between the passes over it; only what lies beyond is read from global memory again.
template <int OPERANDS>
struct Slices {
    index_t count;                  // slices
    index_t length;                 // elements of a slice
    index_t cached;                 // elements of a slice kept in shared memory
    index_t axis_stride[OPERANDS];  // from one element of a slice to the next
    Strided<OPERANDS> start;        // first element of a slice
};

constexpr int BATCH = 4;  // loads that a thread has in flight

// This thread's elements of a slice of `length` are i, i + team.size ... `start`, where the slice
// begins, decides on alignment alone. body(i) for the first of every BATCH of them, some of which
// may lie outside.
template <typename Team, typename Body>
__device__ __forceinline__ void each_batch(const Team& team, index_t start, index_t length,
                                           Body body) {
    for (index_t i = team.first(start); i < length; i += BATCH * team.size) body(i);
}

// body(i) for every one of them.
template <typename Team, typename Body>
__device__ __forceinline__ void each(const Team& team, index_t start, index_t length, Body body) {
    each_batch(team, start, length, [&](index_t first) {
#pragma unroll
        for (int k = 0; k < BATCH; ++k) {
            const index_t i = first + k * team.size;
            if (i >= 0 && i < length) body(i);
        }
    });
}

// One slice of an operand, and its place in shared memory.
template <typename Team>
struct Slice {
    const Team& team;
    const scalar* from;
    index_t stride, length;
    scalar* cache;
    index_t cached;

    __device__ __forceinline__ bool has(index_t i) const { return i >= 0 && i < length; }

    // Elements i, i + team.size ...: all requested before the first is used.
    __device__ __forceinline__ void load(index_t i, scalar (&value)[BATCH], scalar missing) const {
#pragma unroll
        for (int k = 0; k < BATCH; ++k) {
            const index_t at = i + k * team.size;
            value[k] = has(at) ? __ldg(from + at * stride) : missing;
        }
    }

    __device__ __forceinline__ void keep(index_t i, const scalar (&value)[BATCH]) const {
#pragma unroll
        for (int k = 0; k < BATCH; ++k) {
            const index_t at = i + k * team.size;
            if (has(at) && at < cached) cache[team.cache_index(at, cached)] = value[k];
        }
    }

    // An element that this thread has loaded before.
    __device__ __forceinline__ scalar again(index_t i) const {
        return i < cached ? cache[team.cache_index(i, cached)] : __ldg(from + i * stride);
    }
};

// exp(x - top) for x <= top. For x == top it is one, said explicitly for the sake of equal
// infinities, whose difference is NaN.
__device__ __forceinline__ scalar decay(scalar x, scalar top) {
    return exp(x == top ? scalar(0) : x - top);
}

// What turns a slice into probabilities: exp(x - max) / sum.
struct Normaliser {
    scalar max, sum;

    __device__ __forceinline__ scalar log_probability(scalar x, scalar log_sum) const {
        return (x - max) - log_sum;
    }
    __device__ __forceinline__ scalar probability(scalar x, scalar inverse_sum) const {
        return exp(x - max) * inverse_sum;
    }
};

// Running maximum, and sum of exp(x - max) of all x so far: Milakov and Gimelshein 2018. A NaN
// never becomes the maximum; it makes the sum NaN. Minus infinity adds nothing to finite values.
struct Online {
    scalar max = -limits<scalar>::infinity();
    scalar sum = 0;

    __device__ __forceinline__ void add(const scalar (&x)[BATCH]) {
        scalar top = max;
#pragma unroll
        for (int k = 0; k < BATCH; ++k) top = Max()(top, x[k]);
        sum *= decay(max, top);
#pragma unroll
        for (int k = 0; k < BATCH; ++k) sum += decay(x[k], top);
        max = top;
    }

    // Of the whole team. A slice of minus infinities alone, or with plus infinity, has no
    // softmax: NaN, as in PyTorch.
    template <typename Team>
    __device__ __forceinline__ Normaliser reduce(const Team& team) const {
        const scalar top = team.reduce(max, Max());
        const scalar total = team.reduce(sum * decay(max, top), Sum());
        return {top, fabs(top) == limits<scalar>::infinity() ? limits<scalar>::quiet_nan() : total};
    }
};
