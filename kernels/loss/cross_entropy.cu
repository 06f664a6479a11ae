// loss/cross_entropy.cu: softmax cross-entropy of class indices straight from logits, and its
// gradient.
//
// Computes   with t the target, w the class weights, e the label smoothing, q = log_softmax(z):
//            cost     = -(1-e) w[t] q[t] - e/C sum_c w[c] q[c]          (0 where t is ignored)
//            loss     = cost | sum cost | sum cost / sum w[t]           (none | sum | mean)
//            dz[c]    = g ((1-e) w[t] (p[c] - [c=t]) + e/C (p[c] sum_j w[j] - w[c])), p = exp(q)
//            with g the gradient of the position's cost
// Layout     logits (N,C,d1,...), target (N,d1,...), weight (C), gradients: any strides; loss and
//            dz contiguous
// Launch     rows, long_rows, columns as in softmax/softmax.cu, over the class axis; with a
//            reduction at most 1024 blocks, which walk over the positions and leave one partial
//            sum each, which loss/sums.cu adds up
// Traffic    forward |z| + |t|, backward |z| + |t| + |dz| bytes, as long as the classes of a
//            position fit in shared memory; ignored positions are not read (contiguous rows of up
//            to 1024 classes: where all of a block are). About 7 flop a logit
// Range      any extents, 64-bit index arithmetic; a target that is neither a class nor
//            ignored makes its cost and gradients NaN; infinities and NaN as in log-softmax. No
//            atomics: two stages in a fixed order
// Siblings   as in softmax/softmax.cu; fused, the probabilities never reach global memory
// Source     Milakov, Gimelshein: Online normalizer calculation for softmax, 2018; label
//            smoothing: Szegedy et al.: Rethinking the Inception architecture, 2016, section 7
//
// entry cross_entropy_rows                costs, classes on the last axis, a few lanes a position
// entry cross_entropy_long_rows           costs, classes on the last axis, a block a position
// entry cross_entropy_columns             costs, classes on another axis
// entry cross_entropy_backward_rows       gradient, classes on the last axis, some lanes a position
// entry cross_entropy_backward_long_rows  gradient, classes on the last axis, a block a position
// entry cross_entropy_backward_columns    gradient, classes on another axis
// variant SCALAR = floating
#include <pycnn/kernel.cuh>
#include <pycnn/classes.cuh>
#include <pycnn/slices.cuh>

// Operands of Slices: logits, target, loss; in backward a fourth, the gradient of the logits.
constexpr int LOGITS = 0, TARGET = 1, LOSS = 2, DLOGITS = 3;

// The cost of every position to `loss`, or their sum and that of the targets' weights in this
// block to partial_cost and partial_weight.
template <typename Group>
__device__ __forceinline__ void forward(const Group& group, const scalar_t* __restrict__ logits,
                                        const void* __restrict__ target, Weights weight,
                                        scalar_t* __restrict__ loss,
                                        acc_t* __restrict__ partial_cost,
                                        acc_t* __restrict__ partial_weight, const Slices<3>& p,
                                        const Classes& c, scalar_t* smem) {
    __shared__ Positions positions;
    const acc_t hard = static_cast<acc_t>(c.hard), smooth = static_cast<acc_t>(c.smooth);
    SumPair sums = {};  // of costs, and of the targets' weights
    for (index_t first = static_cast<index_t>(blockIdx.x) * group.num_groups; first < p.count;
         first += static_cast<index_t>(gridDim.x) * group.num_groups) {
        Partition part(group, p, first);
        __syncthreads();  // all have done with what the round before left in shared memory
        if (group.thread_rank == 0)
            positions.target[group.index] =
                part.inside() ? target_at(target, c, part.at[TARGET]) : c.ignore_index;
        __syncthreads();
        const index_t t = positions.target[group.index];
        const bool kept = t != c.ignore_index, known = kept && is_class(c, t);
        if (p.staged && !__syncthreads_or(kept)) part.tile = 0;
        const index_t length = kept ? p.length : 0;  // all threads stay for the reductions
        const index_t start = part.at[LOGITS];
        const Slice<Group> z(group, logits, LOGITS, length, part, p, smem);
        if (p.staged) __syncthreads();
        OnlineSoftmax online;
        acc_t target_logit = 0;
        bool met = false;
        each_batch(group, start, length, [&](index_t i) {
            acc_t value[BATCH];
            z.load(i, value, -limits<acc_t>::infinity());
#pragma unroll
            for (int k = 0; k < BATCH; ++k) {
                if (i + k * group.size != t) continue;
                target_logit = value[k];
                met = true;
            }
            online.add(value);
        });
        const Normaliser norm = online.reduce(group);
        const acc_t log_sum = log(norm.sum);
        acc_t spread = 0;
        if (c.smooth > 0) {
            each(group, start, length, [&](index_t i) {
                spread += weight(i) * norm.log_probability(z.reload(i), log_sum);
            });
            spread = smooth * group.reduce(spread, Sum());
        }
        if (met && known) {  // one thread of the group
            const acc_t w = weight(t);
            const acc_t cost = -hard * w * norm.log_probability(target_logit, log_sum) - spread;
            if (loss) loss[part.at[LOSS]] = from_acc(cost);
            sums.first += cost;
            sums.second += w;
        } else if (!known && part.inside() && group.thread_rank == 0) {
            const acc_t cost = kept ? limits<acc_t>::quiet_nan() : acc_t(0);
            if (loss) loss[part.at[LOSS]] = from_acc(cost);
            sums.first += cost;
        }
    }
    if (!loss) leave_sums(sums, partial_cost, partial_weight);
}

template <typename Group>
__device__ __forceinline__ void backward(const Group& group, const scalar_t* __restrict__ dy,
                                         const acc_t* __restrict__ weight_sum,
                                         const scalar_t* __restrict__ logits,
                                         const void* __restrict__ target, Weights weight,
                                         scalar_t* __restrict__ dlogits, const Slices<4>& p,
                                         const Classes& c, scalar_t* smem) {
    const index_t first = static_cast<index_t>(blockIdx.x) * group.num_groups;
    const Partition part(group, p, first);
    __shared__ Positions positions;
    const int thread = threadIdx.y * blockDim.x + threadIdx.x;
    if (thread < group.num_groups && first + thread < p.count) {
        index_t at[4];
        p.start.locate(first + thread, at);
        const index_t t = target_at(target, c, at[TARGET]);
        const bool kept = t != c.ignore_index;
        positions.target[thread] = t;
        positions.gradient[thread] = kept ? scaled(dy + at[LOSS], weight_sum, 1) : acc_t(0);
    }
    __syncthreads();
    const index_t t = part.inside() ? positions.target[group.index] : c.ignore_index;
    const acc_t g = part.inside() ? positions.gradient[group.index] : 0;
    const bool kept = t != c.ignore_index;
    const index_t length = part.length, read = kept ? length : 0, start = part.at[DLOGITS];
    const Slice<Group> z(group, logits, LOGITS, read, part, p, smem);
    if (p.staged) __syncthreads();

    OnlineSoftmax online;
    acc_t weights = 0;
    each_batch(group, start, read, [&](index_t i) {
        acc_t value[BATCH];
        z.load(i, value, -limits<acc_t>::infinity());
        online.add(value);
        if (c.smooth > 0)
#pragma unroll
            for (int k = 0; k < BATCH; ++k)
                if (z.has(i + k * group.size)) weights += weight(i + k * group.size);
    });
    const Normaliser norm = online.reduce(group);
    if (c.smooth > 0) weights = group.reduce(weights, Sum());
    const acc_t inverse_sum = acc_t(1) / norm.sum;
    const acc_t hard = kept ? static_cast<acc_t>(c.hard) * weight.of_target(c, t) : acc_t(0);
    const acc_t smooth = static_cast<acc_t>(c.smooth);
    each(group, start, length, [&](index_t i) {
        acc_t gradient = 0;
        if (kept) {
            const acc_t probability = norm.probability(z.reload(i), inverse_sum);
            gradient = hard * probability - (i == t ? hard : acc_t(0));
            if (c.smooth > 0) gradient += smooth * (probability * weights - weight(i));
            gradient *= g;
        }
        z.store(i, dlogits + start, p.axis_stride[DLOGITS], gradient);
    });
    z.store_staged(dlogits + part.block[DLOGITS], part.tile);
}

// Launch bounds ask for one block a multiprocessor: left to itself, ptxas would rather spill a few
// registers than give up one of its resident blocks.
#define FORWARD_PARAMETERS                                                              \
    const scalar_t *__restrict__ logits, const void *__restrict__ target,            \
        const scalar_t *__restrict__ weight, scalar_t *__restrict__ loss,               \
        acc_t *__restrict__ partial_cost, acc_t *__restrict__ partial_weight, Slices<3> p, Classes c
#define BACKWARD_PARAMETERS                                                             \
    const scalar_t *__restrict__ dy, const acc_t *__restrict__ weight_sum,              \
        const scalar_t *__restrict__ logits, const void *__restrict__ target,        \
        const scalar_t *__restrict__ weight, scalar_t *__restrict__ dlogits, Slices<4> p, Classes c

extern "C" __global__ void __launch_bounds__(256, 1) cross_entropy_rows(FORWARD_PARAMETERS) {
    extern __shared__ __align__(16) scalar_t smem[];
    forward(LaneGroup(), logits, target, {weight, c.weight_stride}, loss, partial_cost,
            partial_weight, p, c, smem);
}

extern "C" __global__ void __launch_bounds__(512, 1) cross_entropy_long_rows(FORWARD_PARAMETERS) {
    extern __shared__ __align__(16) scalar_t smem[];
    __shared__ acc_t partial[WARP];
    forward(BlockGroup(partial), logits, target, {weight, c.weight_stride}, loss, partial_cost,
            partial_weight, p, c, smem);
}

extern "C" __global__ void __launch_bounds__(256, 1) cross_entropy_columns(FORWARD_PARAMETERS) {
    extern __shared__ __align__(16) scalar_t smem[];
    __shared__ acc_t partial[256];
    forward(ColumnGroup(partial), logits, target, {weight, c.weight_stride}, loss, partial_cost,
            partial_weight, p, c, smem);
}

extern "C" __global__ void __launch_bounds__(256, 1)
    cross_entropy_backward_rows(BACKWARD_PARAMETERS) {
    extern __shared__ __align__(16) scalar_t smem[];
    backward(LaneGroup(), dy, weight_sum, logits, target, {weight, c.weight_stride}, dlogits, p, c,
             smem);
}

extern "C" __global__ void __launch_bounds__(512, 1)
    cross_entropy_backward_long_rows(BACKWARD_PARAMETERS) {
    extern __shared__ __align__(16) scalar_t smem[];
    __shared__ acc_t partial[WARP];
    backward(BlockGroup(partial), dy, weight_sum, logits, target, {weight, c.weight_stride},
             dlogits, p, c, smem);
}

extern "C" __global__ void __launch_bounds__(256, 1)
    cross_entropy_backward_columns(BACKWARD_PARAMETERS) {
    extern __shared__ __align__(16) scalar_t smem[];
    __shared__ acc_t partial[256];
    backward(ColumnGroup(partial), dy, weight_sum, logits, target, {weight, c.weight_stride},
             dlogits, p, c, smem);
}
