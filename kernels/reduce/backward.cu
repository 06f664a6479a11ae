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

template <typename Team>
__device__ __forceinline__ void broadcast(const Team& team, const scalar_t* __restrict__ dy,
                                          scalar_t* __restrict__ dx, const Slices<2>& p,
                                          double divisor, scalar_t* cache) {
    const Share<2> share(team, p, static_cast<index_t>(blockIdx.x) * team.slots);
    const Slice<Team> out(team, dx, 0, share.length, share, p, cache, false);
    __shared__ acc_t gradients[THREADS];
    if (team.rank == 0 && share.inside())
        gradients[team.slot] = to_acc(__ldg(dy + share.at[1])) / static_cast<acc_t>(divisor);
    __syncthreads();
    const acc_t gradient = share.inside() ? gradients[team.slot] : 0;
    each(team, share.at[0], share.length, [&](index_t i) {
        out.put(i, dx + share.at[0], p.axis_stride[0], gradient);
    });
    out.finish(dx + share.block[0], share.tile);
}

constexpr int X = 0, DX = 1, DY = 2, Y = 3, TIES = 4;  // operands

// `ties` null: they are counted here. `count` not null: they are counted and nothing else.
template <typename Team>
__device__ __forceinline__ void extreme(const Team& team, const scalar_t* __restrict__ dy,
                                        const scalar_t* __restrict__ x,
                                        const scalar_t* __restrict__ y, scalar_t* __restrict__ dx,
                                        const acc_t* __restrict__ ties, acc_t* __restrict__ count,
                                        const Slices<5>& p, scalar_t* cache) {
    const Share<5> share(team, p, static_cast<index_t>(blockIdx.x) * team.slots);
    const index_t start = share.at[DX], length = share.length;
    const Slice<Team> from(team, x, X, length, share, p, cache);
    __shared__ acc_t values[THREADS], gradients[THREADS];
    if (team.rank == 0 && share.inside()) {
        values[team.slot] = to_acc(__ldg(y + share.at[Y]));
        gradients[team.slot] = count ? acc_t(0) : to_acc(__ldg(dy + share.at[DY]));
        if (ties) gradients[team.slot] /= __ldg(ties + share.at[TIES]);
    }
    __syncthreads();
    const acc_t best = share.inside() ? values[team.slot] : 0;
    acc_t equal = 0;
    each_batch(team, start, length, [&](index_t i) {
        acc_t value[BATCH];
        from.load(i, value, limits<acc_t>::quiet_nan());
#pragma unroll
        for (int k = 0; k < BATCH; ++k) equal += value[k] == best;
    });
    equal = team.reduce(equal, Sum());
    if (count) {
        if (share.inside() && team.rank == 0) count[share.number] = equal;
        return;
    }
    const acc_t whole = share.inside() ? gradients[team.slot] : 0;
    const acc_t gradient = ties ? whole : whole / equal;
    // Zero times the gradient, as PyTorch has it: NaN where the extreme is NaN.
    const acc_t zero = gradient * 0;
    each(team, start, length, [&](index_t i) {
        from.put(i, dx + start, p.axis_stride[DX], from.again(i) == best ? gradient : zero);
    });
    from.finish(dx + share.block[DX], share.tile);
}

#define BROADCAST_PARAMETERS \
    const scalar_t *__restrict__ dy, scalar_t *__restrict__ dx, Slices<2> p, double divisor
#define EXTREME_PARAMETERS                                                              \
    const scalar_t *__restrict__ dy, const scalar_t *__restrict__ x,                    \
        const scalar_t *__restrict__ y, scalar_t *__restrict__ dx,                      \
        const acc_t *__restrict__ ties, acc_t *__restrict__ count,                      \
        Slices<5> p

extern "C" __global__ void __launch_bounds__(256, 1) broadcast_rows(BROADCAST_PARAMETERS) {
    extern __shared__ __align__(16) scalar_t cache[];
    broadcast(LaneTeam(), dy, dx, p, divisor, cache);
}

extern "C" __global__ void __launch_bounds__(512, 1) broadcast_long_rows(BROADCAST_PARAMETERS) {
    extern __shared__ __align__(16) scalar_t cache[];
    __shared__ acc_t partial[WARP];
    broadcast(BlockTeam(partial), dy, dx, p, divisor, cache);
}

extern "C" __global__ void __launch_bounds__(256, 1) broadcast_columns(BROADCAST_PARAMETERS) {
    extern __shared__ __align__(16) scalar_t cache[];
    __shared__ acc_t partial[256];
    broadcast(ColumnTeam(partial), dy, dx, p, divisor, cache);
}

extern "C" __global__ void __launch_bounds__(256, 1) extreme_rows(EXTREME_PARAMETERS) {
    extern __shared__ __align__(16) scalar_t cache[];
    extreme(LaneTeam(), dy, x, y, dx, ties, count, p, cache);
}

extern "C" __global__ void __launch_bounds__(512, 1) extreme_long_rows(EXTREME_PARAMETERS) {
    extern __shared__ __align__(16) scalar_t cache[];
    __shared__ acc_t partial[WARP];
    extreme(BlockTeam(partial), dy, x, y, dx, ties, count, p, cache);
}

extern "C" __global__ void __launch_bounds__(256, 1) extreme_columns(EXTREME_PARAMETERS) {
    extern __shared__ __align__(16) scalar_t cache[];
    __shared__ acc_t partial[256];
    extreme(ColumnTeam(partial), dy, x, y, dx, ties, count, p, cache);
}
