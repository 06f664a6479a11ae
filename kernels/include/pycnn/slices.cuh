// pycnn/slices.cuh: what softmax and the losses share: the slices of a tensor along one axis, read
// once by a group of threads, and their maximum and sum of exponentials in that one pass.
//
// Where slices follow each other without gaps, the block first copies its part to shared memory
// and at the end the results from there, 16 bytes a thread, whatever the length of a slice: that
// is `staged`. Else every group reads its own elements, and keeps them for the second pass.
#pragma once

#include <pycnn/reduce.cuh>
#include <pycnn/strided.cuh>

// The first `cached` elements of a slice stay in shared memory
// between the passes over it; only what lies beyond is read from global memory again.
template <int OPERANDS>
struct Slices {
    index_t count;                  // slices
    index_t length;                 // elements of a slice
    index_t cached;                 // elements of a slice kept in shared memory
    index_t staged;                 // of these, elements that the block copies before and after
    index_t room;                   // elements of shared memory for one operand
    index_t axis_stride[OPERANDS];  // from one element of a slice to the next
    Strided<OPERANDS> start;        // first element of a slice
};

constexpr int BATCH = 16 / sizeof(acc_t);        // loads that a thread has in flight
constexpr int VEC_SIZE = 16 / sizeof(scalar_t);  // elements of one instruction

struct alignas(16) Vec {  // loaded and stored by one instruction
    scalar_t at[VEC_SIZE];
};

// Elements between the 16-byte boundary before a pointer and the pointer.
__device__ __forceinline__ int skew(const scalar_t* pointer) {
    return reinterpret_cast<unsigned long long>(pointer) / sizeof(scalar_t) % VEC_SIZE;
}

// By the whole block, 16 bytes a thread where both sides have the same skew.
__device__ __forceinline__ void copy_block(const scalar_t* from, scalar_t* to, index_t count) {
    const int thread = threadIdx.y * blockDim.x + threadIdx.x;
    const int threads = blockDim.x * blockDim.y;
    index_t done = 0;
    if (skew(from) == skew(to)) {
        const index_t head = (VEC_SIZE - skew(from)) % VEC_SIZE;
        const index_t vecs = count > head ? (count - head) / VEC_SIZE : 0;
        const auto* source = reinterpret_cast<const Vec*>(from + head);
        auto* target = reinterpret_cast<Vec*>(to + head);
        for (index_t first = thread; first < vecs; first += BATCH * threads) {
            Vec vec[BATCH];
#pragma unroll
            for (int k = 0; k < BATCH; ++k)
                if (first + k * threads < vecs) vec[k] = source[first + k * threads];
#pragma unroll
            for (int k = 0; k < BATCH; ++k)
                if (first + k * threads < vecs) target[first + k * threads] = vec[k];
        }
        if (vecs > 0) {
            if (thread < head) to[thread] = from[thread];
            done = head + vecs * VEC_SIZE;
        }
    }
    for (index_t i = done + thread; i < count; i += threads) to[i] = from[i];
}

// Which slices a block has, from `first` on, and which of them this thread's group.
template <int OPERANDS>
struct Partition {
    index_t number, length, tile;             // slice; its elements, 0 beyond the last one
    index_t block[OPERANDS], at[OPERANDS];    // where the block's first slice begins, and this one

    template <typename Group>
    __device__ __forceinline__ Partition(const Group& group, const Slices<OPERANDS>& p,
                                         index_t first) {
        number = first + group.index;
        length = number < p.count ? p.length : 0;
        const index_t slices =
            p.count - first < group.num_groups ? p.count - first : group.num_groups;
        tile = slices * p.staged;
        p.start.locate(first, block);
        p.start.locate(number, at);
    }
    __device__ __forceinline__ bool inside() const { return length > 0; }
};

// This thread's elements of a slice of `length` are i, i + group.size ... `start`, where the slice
// begins, decides on alignment alone. body(i) for the first of every BATCH of them, some of which
// may lie outside.
template <typename Group, typename Body>
__device__ __forceinline__ void each_batch(const Group& group, index_t start, index_t length,
                                           Body body) {
    for (index_t i = group.first(start); i < length; i += BATCH * group.size) body(i);
}

// body(i) for every one of them.
template <typename Group, typename Body>
__device__ __forceinline__ void each(const Group& group, index_t start, index_t length, Body body) {
    each_batch(group, start, length, [&](index_t first) {
#pragma unroll
        for (int k = 0; k < BATCH; ++k) {
            const index_t i = first + k * group.size;
            if (i >= 0 && i < length) body(i);
        }
    });
}

// One slice of an operand, and its place in shared memory.
template <typename Group>
struct Slice {
    const Group& group;
    const scalar_t* from;
    index_t stride, length;
    scalar_t* smem;
    index_t cached, staged;

    // Operand number `o` of a partition; what is staged has arrived after the next barrier, unless
    // the operand is to be written only and not `read`.
    template <int OPERANDS>
    __device__ __forceinline__ Slice(const Group& group, const scalar_t* x, int o, index_t length,
                                     const Partition<OPERANDS>& part,
                                     const Slices<OPERANDS>& p, scalar_t* room,
                                     bool read = true)
        : group(group),
          from(x + part.at[o]),
          stride(p.axis_stride[o]),
          length(length),
          smem(room),
          cached(p.cached),
          staged(p.staged) {
        if (staged == 0) return;
        const scalar_t* tile = x + part.block[o];
        smem += skew(tile);
        if (read) copy_block(tile, smem, part.tile);
    }

    __device__ __forceinline__ bool has(index_t i) const { return i >= 0 && i < length; }

    __device__ __forceinline__ scalar_t& element(index_t i) const {
        return smem[group.smem_index(i, cached)];
    }

    // Elements i, i + group.size ...: all requested before the first is used.
    __device__ __forceinline__ void load(index_t i, acc_t (&value)[BATCH], acc_t missing) const {
        scalar_t raw[BATCH];
#pragma unroll
        for (int k = 0; k < BATCH; ++k) {
            const index_t at = i + k * group.size;
            if (has(at)) raw[k] = at < staged ? element(at) : ldg(from + at * stride);
        }
#pragma unroll
        for (int k = 0; k < BATCH; ++k) {
            const index_t at = i + k * group.size;
            value[k] = has(at) ? to_acc(raw[k]) : missing;
            if (has(at) && at >= staged && at < cached) element(at) = raw[k];
        }
    }

    // An element that this thread has loaded before.
    __device__ __forceinline__ acc_t reload(index_t i) const {
        return to_acc(i < cached ? element(i) : ldg(from + i * stride));
    }

    // The result that takes the place of element i, where `to` is the slice of the result.
    __device__ __forceinline__ void store(index_t i, scalar_t* to, index_t to_stride,
                                          acc_t value) const {
        if (i < staged)
            element(i) = from_acc(value);
        else
            to[i * to_stride] = from_acc(value);
    }

    // The block's results that were stored in the place of staged elements, to `to`.
    __device__ __forceinline__ void store_staged(scalar_t* to, index_t tile) const {
        if (staged == 0) return;
        __syncthreads();
        copy_block(smem, to, tile);
    }
};

// exp(x - top) for x <= top. For x == top it is one, said explicitly for the sake of equal
// infinities, whose difference is NaN.
__device__ __forceinline__ acc_t decay(acc_t x, acc_t top) {
    return exp(x == top ? acc_t(0) : x - top);
}

// What turns a slice into probabilities: exp(x - max) / sum.
struct Normaliser {
    acc_t max, sum;

    __device__ __forceinline__ acc_t log_probability(acc_t x, acc_t log_sum) const {
        return (x - max) - log_sum;
    }
    __device__ __forceinline__ acc_t probability(acc_t x, acc_t inverse_sum) const {
        return exp(x - max) * inverse_sum;
    }
};

// Running maximum, and sum of exp(x - max) of all x so far: Milakov and Gimelshein 2018. A NaN
// never becomes the maximum; it makes the sum NaN. Minus infinity adds nothing to finite values.
struct OnlineSoftmax {
    acc_t max = -limits<acc_t>::infinity();
    acc_t sum = 0;

    __device__ __forceinline__ void add(const acc_t (&x)[BATCH]) {
        acc_t top = max;
#pragma unroll
        for (int k = 0; k < BATCH; ++k) top = Max()(top, x[k]);
        sum *= decay(max, top);
#pragma unroll
        for (int k = 0; k < BATCH; ++k) sum += decay(x[k], top);
        max = top;
    }

    // Of the whole group. A slice of minus infinities alone, or with plus infinity, has no
    // softmax: NaN, as in PyTorch.
    template <typename Group>
    __device__ __forceinline__ Normaliser reduce(const Group& group) const {
        const acc_t top = group.reduce(max, Max());
        const acc_t total = group.reduce(sum * decay(max, top), Sum());
        return {top, fabs(top) == limits<acc_t>::infinity() ? limits<acc_t>::quiet_nan() : total};
    }
};

// Terms of the part of a slice that this block works on: [first, last).
__device__ __forceinline__ void part_of(index_t length, index_t parts, index_t& first,
                                        index_t& last) {
    const index_t share = ceil_div(length, parts);
    first = blockIdx.y * share < length ? blockIdx.y * share : length;
    last = first + share < length ? first + share : length;
}
