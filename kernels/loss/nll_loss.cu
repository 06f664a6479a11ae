// loss/nll_loss.cu: negative log-likelihood of class indices, and its gradient.
//
// Computes   with t the target of a position and w the class weights
//            cost  = -w[t] x[t]                            (0 where t is ignored)
//            loss  = cost | sum cost | sum cost / sum w[t]      (none | sum | mean)
//            dx[c] = -g w[t] [c=t], with g the gradient of the position's cost
// Layout     x (N,C,d1,...), target (N,d1,...), weight (C), dy: any strides; loss and dx contiguous
// Launch     positions: block 256, one position a thread; with a reduction at most 1024 blocks,
//            which walk over the positions and leave one partial sum each, which loss/sums.cu adds
//            up. backward_*: groups over the class axis as in softmax/softmax.cu
// Traffic    forward |t| and a sector of x for each position, of which one element is used;
//            backward |t| + |dx| bytes. 1 flop a position
// Range      any extents, 64-bit index arithmetic; a target that is neither a class nor
//            ignored makes its cost and gradients NaN
// Siblings   cross_entropy.cu takes logits, and never writes the log-probabilities
// Source     Bishop: Pattern recognition and machine learning, 2006, section 4.3.4
//
// entry nll_loss_positions           costs, a thread a position
// entry nll_loss_backward_rows       gradient, classes on the last axis, some lanes a position
// entry nll_loss_backward_long_rows  gradient, classes on the last axis, a block a position
// entry nll_loss_backward_columns    gradient, classes on another axis
// variant SCALAR = floating
#include <pycnn/kernel.cuh>
#include <pycnn/classes.cuh>
#include <pycnn/slices.cuh>

constexpr int SCORES = 0, TARGET = 1, LOSS = 2, DSCORES = 3;  // operands

extern "C" __global__ void __launch_bounds__(256, 1)
    nll_loss_positions(const scalar_t* __restrict__ x, const void* __restrict__ target,
                       const scalar_t* __restrict__ weight, scalar_t* __restrict__ loss,
                       acc_t* __restrict__ partial_cost, acc_t* __restrict__ partial_weight,
                       index_t count, index_t class_stride, Strided<3> places, Classes c) {
    const Weights weights = {weight, c.weight_stride};
    SumPair sums = {};  // of costs, and of the targets' weights
    for (index_t i = flat_thread(); i < count; i += static_cast<index_t>(gridDim.x) * blockDim.x) {
        index_t at[3];
        places.locate(i, at);
        const index_t t = target_at(target, c, at[TARGET]);
        acc_t cost = 0;
        if (t != c.ignore_index) {
            const acc_t w = weights.of_target(c, t);
            const index_t to = is_class(c, t) ? t : 0;
            cost = -w * to_acc(ldg(x + at[SCORES] + to * class_stride));
            sums.second += w;
        }
        sums.first += cost;
        if (loss) loss[at[LOSS]] = from_acc(cost);
    }
    if (!loss) leave_sums(sums, partial_cost, partial_weight);
}

template <typename Group>
__device__ __forceinline__ void backward(const Group& group, const scalar_t* __restrict__ dy,
                                         const acc_t* __restrict__ weight_sum,
                                         const void* __restrict__ target, Weights weight,
                                         scalar_t* __restrict__ dx, const Slices<4>& p,
                                         const Classes& c, scalar_t* smem) {
    const index_t first = static_cast<index_t>(blockIdx.x) * group.num_groups;
    const Partition part(group, p, first);
    const index_t start = part.at[DSCORES];
    const Slice<Group> out(group, dx, DSCORES, part.length, part, p, smem, false);
    __shared__ Positions positions;
    const int thread = threadIdx.y * blockDim.x + threadIdx.x;
    if (thread < group.num_groups && first + thread < p.count) {
        index_t at[4];
        p.start.locate(first + thread, at);
        const index_t t = target_at(target, c, at[TARGET]);
        const bool kept = t != c.ignore_index;
        positions.target[thread] = t;
        positions.gradient[thread] =
            kept ? -scaled(dy + at[LOSS], weight_sum, weight.of_target(c, t)) : acc_t(0);
    }
    __syncthreads();
    const index_t t = part.inside() ? positions.target[group.index] : c.ignore_index;
    const acc_t gradient = part.inside() ? positions.gradient[group.index] : 0;
    const bool unknown = t != c.ignore_index && !is_class(c, t);
    each(group, start, part.length, [&](index_t i) {
        out.store(i, dx + start, p.axis_stride[DSCORES],
                  i == t || unknown ? gradient : acc_t(0));
    });
    out.store_staged(dx + part.block[DSCORES], part.tile);
}

#define BACKWARD_PARAMETERS                                                             \
    const scalar_t *__restrict__ dy, const acc_t *__restrict__ weight_sum,              \
        const void *__restrict__ target, const scalar_t *__restrict__ weight,        \
        scalar_t *__restrict__ dx, Slices<4> p, Classes c

extern "C" __global__ void __launch_bounds__(256, 1) nll_loss_backward_rows(BACKWARD_PARAMETERS) {
    extern __shared__ __align__(16) scalar_t smem[];
    backward(LaneGroup(), dy, weight_sum, target, {weight, c.weight_stride}, dx, p, c, smem);
}

extern "C" __global__ void __launch_bounds__(512, 1)
    nll_loss_backward_long_rows(BACKWARD_PARAMETERS) {
    extern __shared__ __align__(16) scalar_t smem[];
    __shared__ acc_t partial[WARP];
    backward(BlockGroup(partial), dy, weight_sum, target, {weight, c.weight_stride}, dx, p, c,
             smem);
}

extern "C" __global__ void __launch_bounds__(256, 1)
    nll_loss_backward_columns(BACKWARD_PARAMETERS) {
    extern __shared__ __align__(16) scalar_t smem[];
    __shared__ acc_t partial[256];
    backward(ColumnGroup(partial), dy, weight_sum, target, {weight, c.weight_stride}, dx, p, c,
             smem);
}
