// reduce/argmax.cu: place of the largest value along one axis, or of the smallest; several axes are
// several stages.
//
// Computes   SMALLEST=0  y = the smallest i with x[i] = max_j x[j]
//            SMALLEST=1  y = the smallest i with x[i] = min_j x[j]
//            NaN counts as what is looked for, -0 equals +0
// Layout     x any strides; y contiguous, int64; places between stages contiguous
// Launch     as reduce/reduce.cu
// Traffic    |x| + |y| bytes, and between stages a few per mille of |x|
// Range      any extents, 64-bit index arithmetic; at least one element a slice
// Siblings   as in reduce/reduce.cu
// Source     -
//
// entry argmax_rows       along the last axis, a few lanes a slice
// entry argmax_long_rows  along the last axis, a block a slice
// entry argmax_columns    along another axis
// entry argmax_finish     along an axis of places that an earlier stage left
// variant SCALAR = floating
// variant SMALLEST = 0, 1
#include <pycnn/kernel.cuh>
#include <pycnn/slices.cuh>

#ifndef SMALLEST
#define SMALLEST 0
#endif

// A number that is the larger the more a value is what is looked for.
__device__ __forceinline__ unsigned long long rank_of(acc_t value) {
    return ordered(SMALLEST ? -value : value);
}

// The larger value, and of two equal ones the first.
struct First {
    static __device__ __forceinline__ Indexed identity() { return {0, limit()}; }
    static __device__ __forceinline__ index_t limit() { return 0x7fffffffffffffffll; }
    __device__ __forceinline__ Indexed operator()(Indexed a, Indexed b) const {
        return b.key > a.key || (b.key == a.key && b.index < a.index) ? b : a;
    }
};

struct Target {
    index_t parts;  // of a slice
    index_t scale;  // elements behind one place of this axis: what the axes inside it have

    __device__ __forceinline__ void store(index_t slice, Indexed best, index_t* y,
                                          Indexed* partial) const {
        if (partial)
            partial[slice * parts + blockIdx.y] = best;
        else
            y[slice] = best.index;
    }
};

extern "C" __global__ void __launch_bounds__(256, 1)
    argmax_rows(const scalar_t* __restrict__ x, index_t* __restrict__ y,
                Indexed* __restrict__ partial, Slices<1> p, Target to) {
    extern __shared__ __align__(16) scalar_t smem[];
    const LaneGroup group;
    const Partition<1> part(group, p, static_cast<index_t>(blockIdx.x) * group.num_groups);
    const Slice<LaneGroup> from(group, x, 0, part.length, part, p, smem);
    if (p.staged) __syncthreads();
    Indexed best = First::identity();
    each_batch(group, part.at[0], part.length, [&](index_t i) {
        acc_t value[BATCH];
        from.load(i, value, 0);
#pragma unroll
        for (int k = 0; k < BATCH; ++k) {
            const index_t at = i + k * group.size;
            if (from.has(at)) best = First()(best, {rank_of(value[k]), at});
        }
    });
    best = group.reduce(best, First());
    if (part.number < p.count && group.thread_rank == 0) to.store(part.number, best, y, partial);
}

// Elements first + thread_rank, first + thread_rank + size ... of those before `last`.
template <typename Group>
__device__ __forceinline__ Indexed fold(const Group& group, const scalar_t* __restrict__ from,
                                        index_t stride, index_t first, index_t last,
                                        index_t start) {
    Indexed best = First::identity();
    for (index_t i = first + group.first(start); i < last; i += BATCH * group.size) {
        scalar_t value[BATCH];
#pragma unroll
        for (int k = 0; k < BATCH; ++k) {
            const index_t at = i + k * group.size;
            if (at >= first && at < last) value[k] = ldg(from + at * stride);
        }
#pragma unroll
        for (int k = 0; k < BATCH; ++k) {
            const index_t at = i + k * group.size;
            if (at >= first && at < last) best = First()(best, {rank_of(to_acc(value[k])), at});
        }
    }
    return best;
}

extern "C" __global__ void __launch_bounds__(512, 1)
    argmax_long_rows(const scalar_t* __restrict__ x, index_t* __restrict__ y,
                     Indexed* __restrict__ partial, Slices<1> p, Target to) {
    __shared__ Indexed warps[WARP];
    const BlockGroup group(warps);
    index_t start[1], first, last;
    p.start.locate(blockIdx.x, start);
    part_of(p.length, to.parts, first, last);
    const Indexed mine =
        fold(group, x + start[0], p.axis_stride[0], first, last, start[0] + first);
    const Indexed best = group.reduce(mine, First());
    if (group.thread_rank == 0) to.store(blockIdx.x, best, y, partial);
}

extern "C" __global__ void __launch_bounds__(256, 1)
    argmax_columns(const scalar_t* __restrict__ x, index_t* __restrict__ y,
                   Indexed* __restrict__ partial, Slices<1> p, Target to) {
    __shared__ Indexed threads[256];
    const ColumnGroup group(threads);
    const index_t slice = static_cast<index_t>(blockIdx.x) * group.num_groups + group.index;
    index_t start[1], first, last;
    p.start.locate(slice, start);
    part_of(slice < p.count ? p.length : 0, to.parts, first, last);
    const Indexed mine = fold(group, x + start[0], p.axis_stride[0], first, last, 0);
    const Indexed best = group.reduce(mine, First());
    if (slice < p.count && group.thread_rank == 0) to.store(slice, best, y, partial);
}

extern "C" __global__ void __launch_bounds__(256, 1)
    argmax_finish(const Indexed* __restrict__ places, index_t* __restrict__ y,
                  Indexed* __restrict__ partial, Slices<1> p, Target to) {
    __shared__ Indexed threads[256];
    const ColumnGroup group(threads);
    const index_t slice = static_cast<index_t>(blockIdx.x) * group.num_groups + group.index;
    index_t start[1];
    p.start.locate(slice, start);
    Indexed best = First::identity();
    for (index_t i = group.thread_rank; slice < p.count && i < p.length; i += group.size) {
        const Indexed found = places[start[0] + i * p.axis_stride[0]];
        // A part with no elements left no place, and loses.
        const index_t index =
            found.index == First::limit() ? found.index : i * to.scale + found.index;
        best = First()(best, {found.key, index});
    }
    best = group.reduce(best, First());
    if (slice < p.count && group.thread_rank == 0) to.store(slice, best, y, partial);
}
