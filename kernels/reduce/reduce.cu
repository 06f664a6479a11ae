// reduce/reduce.cu: sum, largest or smallest value along one axis; several axes are several stages.
//
// Computes   OP=Sum  y = sum_i x[i] / divisor      OP=Largest  y = max_i x[i]
//            OP=Smallest  y = min_i x[i]           NaN anywhere gives NaN
// Layout     x any strides; y contiguous; values between stages contiguous, in the type of sums
// Launch     rows       block (group, groups), 256 threads at most: a power of two of lanes a slice
//            vectors    block (lanes, rows), 128 threads: 2 to 32 lanes a row of up to 2 kB
//            long_rows  block 512: one slice, or one part of it (grid.y parts)
//            columns    block (slices, group), 256 threads: 32 neighbouring slices or more, or one
//                       part of each (grid.y parts)
//            finish     block (slices, group), 256 threads: along an axis of such values
// Traffic    |x| + |y| bytes, and between stages a few per mille of |x|; 1 flop an element
// Range      any extents, 64-bit index arithmetic; a sum over nothing is 0. The order of the terms
//            depends on the shapes and strides alone: each thread adds every n-th, then a tree
// Siblings   as in softmax/softmax.cu; parts where there are too few slices to fill a GPU
// Source     Harris: Optimizing parallel reduction in CUDA, NVIDIA 2007
//
// entry reduce_rows       along the last axis, a few lanes a slice
// entry reduce_vectors    along the last axis, contiguous rows of whole vectors, a few lanes a slice
// entry reduce_long_rows  along the last axis, a block a slice
// entry reduce_columns    along another axis
// entry reduce_finish     along an axis of values that an earlier stage left
// variant SCALAR = floating
// variant OP = Sum, Largest, Smallest
#include <pycnn/kernel.cuh>
#include <pycnn/row_vectors.cuh>

#ifndef OP
#define OP Sum
#endif

// NaN wins over every number.
struct Largest {
    static __device__ __forceinline__ acc_t identity() { return -limits<acc_t>::infinity(); }
    __device__ __forceinline__ acc_t operator()(acc_t a, acc_t b) const {
        return b > a || b != b ? b : a;
    }
};

struct Smallest {
    static __device__ __forceinline__ acc_t identity() { return limits<acc_t>::infinity(); }
    __device__ __forceinline__ acc_t operator()(acc_t a, acc_t b) const {
        return b < a || b != b ? b : a;
    }
};

// Where results go.
struct Target {
    index_t parts;   // of a slice
    double divisor;  // of the result

    // To y, or to `partial` if that is no null pointer.
    __device__ __forceinline__ void store(index_t slice, acc_t value, scalar_t* y,
                                          acc_t* partial) const {
        if (partial)
            partial[slice * parts + blockIdx.y] = value;
        else
            y[slice] = from_acc(value / static_cast<acc_t>(divisor));
    }
};

// Terms i, i + group.size ... from `from` on.
template <typename Group, typename T>
__device__ __forceinline__ acc_t fold(const Group& group, const T* __restrict__ from,
                                      index_t stride, index_t length) {
    const OP op;
    acc_t value = OP::identity();
    each_batch(group, 0, length, [&](index_t i) {
        acc_t term[BATCH];
#pragma unroll
        for (int k = 0; k < BATCH; ++k) {
            const index_t at = i + k * group.size;
            term[k] = at >= 0 && at < length ? to_acc(ldg(from + at * stride)) : OP::identity();
        }
#pragma unroll
        for (int k = 0; k < BATCH; ++k) value = op(value, term[k]);
    });
    return value;
}

extern "C" __global__ void __launch_bounds__(256, 1)
    reduce_rows(const scalar_t* __restrict__ x, scalar_t* __restrict__ y,
                acc_t* __restrict__ partial, Slices<1> p, Target to) {
    extern __shared__ __align__(16) scalar_t smem[];
    const LaneGroup group;
    const Partition<1> part(group, p, static_cast<index_t>(blockIdx.x) * group.num_groups);
    const Slice<LaneGroup> from(group, x, 0, part.length, part, p, smem);
    if (p.staged) __syncthreads();
    const OP op;
    acc_t value = OP::identity();
    each_batch(group, part.at[0], part.length, [&](index_t i) {
        acc_t term[BATCH];
        from.load(i, term, OP::identity());
#pragma unroll
        for (int k = 0; k < BATCH; ++k) value = op(value, term[k]);
    });
    value = group.reduce(value, op);
    if (part.number < p.count && group.thread_rank == 0) to.store(part.number, value, y, partial);
}

// Rows of whole vectors, one after the other, in registers.
extern "C" __global__ void __launch_bounds__(128)
    reduce_vectors(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, index_t rows,
                   int length, Target to) {
    const LaneGroup group;
    const OP op;
    const index_t row = static_cast<index_t>(blockIdx.x) * group.num_groups + group.index;
    acc_t value = OP::identity();
    by_alignment(
        [&](auto whole) {
            const AskedRow<whole.value> r(group, row, length, row < rows);
            Vec vec[VECTORS];
            r.load(x, vec, OP::identity());
            each_vector(vec, [&](int, const acc_t (&term)[VEC_SIZE]) {
#pragma unroll
                for (int i = 0; i < VEC_SIZE; ++i) value = op(value, term[i]);
            });
        },
        x);
    value = group.reduce(value, op);  // all threads stay to the end
    if (row < rows && group.thread_rank == 0) to.store(row, value, y, nullptr);
}

// 16 bytes a thread where the terms are neighbours.
extern "C" __global__ void __launch_bounds__(512, 1)
    reduce_long_rows(const scalar_t* __restrict__ x, scalar_t* __restrict__ y,
                     acc_t* __restrict__ partial, Slices<1> p, Target to) {
    __shared__ acc_t warps[WARP];
    const BlockGroup group(warps);
    const OP op;
    index_t start[1], first, last;
    p.start.locate(blockIdx.x, start);
    part_of(p.length, to.parts, first, last);
    const index_t stride = p.axis_stride[0];
    const scalar_t* from = x + start[0] + first * stride;
    index_t length = last - first;
    acc_t value = OP::identity();
    if (stride == 1) {
        const index_t head = (VEC_SIZE - skew(from)) % VEC_SIZE < length
                                 ? (VEC_SIZE - skew(from)) % VEC_SIZE
                                 : length;
        const index_t vecs = (length - head) / VEC_SIZE;
        const auto* source = reinterpret_cast<const Vec*>(from + head);
        if (group.thread_rank < head) value = to_acc(ldg(from + group.thread_rank));
        for (index_t i = group.thread_rank; i < vecs; i += BATCH * group.size) {
            Vec vec[BATCH];
#pragma unroll
            for (int k = 0; k < BATCH; ++k)
                if (i + k * group.size < vecs) vec[k] = source[i + k * group.size];
#pragma unroll
            for (int k = 0; k < BATCH; ++k)
                if (i + k * group.size < vecs)
#pragma unroll
                    for (int e = 0; e < VEC_SIZE; ++e) value = op(value, to_acc(vec[k].at[e]));
        }
        from += head + vecs * VEC_SIZE;
        length -= head + vecs * VEC_SIZE;
    }
    value = op(value, fold(group, from, stride, length));
    value = group.reduce(value, op);
    if (group.thread_rank == 0) to.store(blockIdx.x, value, y, partial);
}

// One part of every slice of a column group.
template <typename T>
__device__ __forceinline__ void columns(const T* __restrict__ x, scalar_t* __restrict__ y,
                                        acc_t* __restrict__ partial, const Slices<1>& p,
                                        const Target& to) {
    __shared__ acc_t threads[256];
    const ColumnGroup group(threads);
    const index_t slice = static_cast<index_t>(blockIdx.x) * group.num_groups + group.index;
    index_t start[1], first, last;
    p.start.locate(slice, start);
    part_of(slice < p.count ? p.length : 0, to.parts, first, last);
    const T* from = x + start[0] + first * p.axis_stride[0];
    const acc_t mine = fold(group, from, p.axis_stride[0], last - first);
    const acc_t value = group.reduce(mine, OP());
    if (slice < p.count && group.thread_rank == 0) to.store(slice, value, y, partial);
}

extern "C" __global__ void __launch_bounds__(256, 1)
    reduce_columns(const scalar_t* __restrict__ x, scalar_t* __restrict__ y,
                   acc_t* __restrict__ partial, Slices<1> p, Target to) {
    columns(x, y, partial, p, to);
}

extern "C" __global__ void __launch_bounds__(256, 1)
    reduce_finish(const acc_t* __restrict__ values, scalar_t* __restrict__ y,
                  acc_t* __restrict__ partial, Slices<1> p, Target to) {
    columns(values, y, partial, p, to);
}
