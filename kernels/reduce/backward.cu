// reduce/backward.cu: gradients of the sum and of the largest and smallest value along axes.
//
// Computes   broadcast  dx[i] = dy / divisor
//            extreme    dx[i] = x[i] == y ? dy / n : 0, with n = number of i with x[i] == y
// Layout     dy, x, y any strides; dx and the numbers n contiguous
// Launch     rows, long_rows, columns as in softmax/softmax.cu. Over several axes that are no
//            single one: along the last of them; extreme then runs twice, first to count
// Traffic    broadcast |dy| + |dx|, extreme |dy| + |y| + |x| + |dx| bytes (over several axes, and
//            beyond what fits in shared memory, |x| twice)
// Range      any extents, 64-bit index arithmetic; where y is NaN, n is 0 and dx NaN, as in PyTorch
// Siblings   forward is reduce/reduce.cu
// Source     -
//
// entry broadcast_rows       gradient of the sum, reduced axis last, a few lanes a slice
// entry broadcast_long_rows  gradient of the sum, reduced axis last, a block a slice
// entry broadcast_columns    gradient of the sum, another axis
// entry extreme_rows         gradient of the extreme, reduced axis last, a few lanes a slice
// entry extreme_long_rows    gradient of the extreme, reduced axis last, a block a slice
// entry extreme_columns      gradient of the extreme, another axis
// variant SCALAR = floating
#include <pycnn/kernel.cuh>
#include <pycnn/slices.cuh>

constexpr int THREADS = 256;  // most slices of a block

template <typename Group>
__device__ __forceinline__ void broadcast(const Group& group, const scalar_t* __restrict__ dy,
                                          scalar_t* __restrict__ dx, const Slices<2>& p,
                                          double divisor, scalar_t* smem) {
    const Partition<2> part(group, p, static_cast<index_t>(blockIdx.x) * group.num_groups);
    const Slice<Group> out(group, dx, 0, part.length, part, p, smem, false);
    __shared__ acc_t gradients[THREADS];
    if (group.thread_rank == 0 && part.inside())
        gradients[group.index] = to_acc(ldg(dy + part.at[1])) / static_cast<acc_t>(divisor);
    __syncthreads();
    const acc_t gradient = part.inside() ? gradients[group.index] : 0;
    each(group, part.at[0], part.length, [&](index_t i) {
        out.store(i, dx + part.at[0], p.axis_stride[0], gradient);
    });
    out.store_staged(dx + part.block[0], part.tile);
}

constexpr int X = 0, DX = 1, DY = 2, Y = 3, TIES = 4;  // operands

// `ties` null: they are counted here. `count` not null: they are counted and nothing else.
template <typename Group>
__device__ __forceinline__ void extreme(const Group& group, const scalar_t* __restrict__ dy,
                                        const scalar_t* __restrict__ x,
                                        const scalar_t* __restrict__ y, scalar_t* __restrict__ dx,
                                        const acc_t* __restrict__ ties, acc_t* __restrict__ count,
                                        const Slices<5>& p, scalar_t* smem) {
    const Partition<5> part(group, p, static_cast<index_t>(blockIdx.x) * group.num_groups);
    const index_t start = part.at[DX], length = part.length;
    const Slice<Group> from(group, x, X, length, part, p, smem);
    __shared__ acc_t values[THREADS], gradients[THREADS];
    if (group.thread_rank == 0 && part.inside()) {
        values[group.index] = to_acc(ldg(y + part.at[Y]));
        gradients[group.index] = count ? acc_t(0) : to_acc(ldg(dy + part.at[DY]));
        if (ties) gradients[group.index] /= ldg(ties + part.at[TIES]);
    }
    __syncthreads();
    const acc_t best = part.inside() ? values[group.index] : 0;
    acc_t equal = 0;
    each_batch(group, start, length, [&](index_t i) {
        acc_t value[BATCH];
        from.load(i, value, limits<acc_t>::quiet_nan());
#pragma unroll
        for (int k = 0; k < BATCH; ++k) equal += value[k] == best;
    });
    equal = group.reduce(equal, Sum());
    if (count) {
        if (part.inside() && group.thread_rank == 0) count[part.number] = equal;
        return;
    }
    const acc_t whole = part.inside() ? gradients[group.index] : 0;
    const acc_t gradient = ties ? whole : whole / equal;
    // Zero times the gradient, as PyTorch has it: NaN where the extreme is NaN.
    const acc_t zero = gradient * 0;
    each(group, start, length, [&](index_t i) {
        from.store(i, dx + start, p.axis_stride[DX], from.reload(i) == best ? gradient : zero);
    });
    from.store_staged(dx + part.block[DX], part.tile);
}

#define BROADCAST_PARAMETERS \
    const scalar_t *__restrict__ dy, scalar_t *__restrict__ dx, Slices<2> p, double divisor
#define EXTREME_PARAMETERS                                                              \
    const scalar_t *__restrict__ dy, const scalar_t *__restrict__ x,                    \
        const scalar_t *__restrict__ y, scalar_t *__restrict__ dx,                      \
        const acc_t *__restrict__ ties, acc_t *__restrict__ count,                      \
        Slices<5> p

extern "C" __global__ void __launch_bounds__(256, 1) broadcast_rows(BROADCAST_PARAMETERS) {
    extern __shared__ __align__(16) scalar_t smem[];
    broadcast(LaneGroup(), dy, dx, p, divisor, smem);
}

extern "C" __global__ void __launch_bounds__(512, 1) broadcast_long_rows(BROADCAST_PARAMETERS) {
    extern __shared__ __align__(16) scalar_t smem[];
    __shared__ acc_t partial[WARP];
    broadcast(BlockGroup(partial), dy, dx, p, divisor, smem);
}

extern "C" __global__ void __launch_bounds__(256, 1) broadcast_columns(BROADCAST_PARAMETERS) {
    extern __shared__ __align__(16) scalar_t smem[];
    __shared__ acc_t partial[256];
    broadcast(ColumnGroup(partial), dy, dx, p, divisor, smem);
}

extern "C" __global__ void __launch_bounds__(256, 1) extreme_rows(EXTREME_PARAMETERS) {
    extern __shared__ __align__(16) scalar_t smem[];
    extreme(LaneGroup(), dy, x, y, dx, ties, count, p, smem);
}

extern "C" __global__ void __launch_bounds__(512, 1) extreme_long_rows(EXTREME_PARAMETERS) {
    extern __shared__ __align__(16) scalar_t smem[];
    __shared__ acc_t partial[WARP];
    extreme(BlockGroup(partial), dy, x, y, dx, ties, count, p, smem);
}

extern "C" __global__ void __launch_bounds__(256, 1) extreme_columns(EXTREME_PARAMETERS) {
    extern __shared__ __align__(16) scalar_t smem[];
    __shared__ acc_t partial[256];
    extreme(ColumnGroup(partial), dy, x, y, dx, ties, count, p, smem);
}
