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
//            sum each; target_weights the same with 256 threads; finish one block of 256
// Traffic    forward |z| + |t|, backward |z| + |t| + |dz| bytes, as long as the classes of a
//            position fit in shared memory; an ignored position is not read. About 7 flop a logit
// Range      any extents, 64-bit index arithmetic; targets were checked before the launch;
//            infinities and NaN as in log-softmax. No atomics: two stages in a fixed order
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
// entry cross_entropy_target_weights      partial sums of the targets' weights
// entry cross_entropy_finish              quotient of two sums of partial sums
// variant SCALAR = float, double
#include <pycnn/kernel.cuh>
#include <pycnn/slices.cuh>

// Operands of Slices: logits, target, loss; in backward a fourth, the gradient of the logits.
constexpr int LOGITS = 0, TARGET = 1, LOSS = 2, DLOGITS = 3;

// pycnn.plan.loss.CLASSES
struct Classes {
    index_t weight_stride, ignore_index;
    double hard, smooth;  // 1 - e and e / C
};

struct Weights {
    const scalar* at;  // null: one each
    index_t stride;

    __device__ __forceinline__ scalar operator()(index_t c) const {
        return at ? __ldg(at + c * stride) : scalar(1);
    }
};

// The cost of every position to `loss`, or their sum and that of the targets' weights in this
// block to partial_cost and partial_weight.
template <typename Team>
__device__ __forceinline__ void forward(const Team& team, const scalar* __restrict__ logits,
                                        const index_t* __restrict__ target, Weights weight,
                                        scalar* __restrict__ loss,
                                        scalar* __restrict__ partial_cost,
                                        scalar* __restrict__ partial_weight, const Slices<3>& p,
                                        const Classes& c, scalar* cache, scalar* partial) {
    const scalar hard = static_cast<scalar>(c.hard), smooth = static_cast<scalar>(c.smooth);
    scalar cost_sum = 0, weight_sum = 0;
    for (index_t first = static_cast<index_t>(blockIdx.x) * team.slots; first < p.count;
         first += static_cast<index_t>(gridDim.x) * team.slots) {
        const bool inside = first + team.slot < p.count;
        index_t at[3];
        p.start.locate(first + team.slot, at);
        const index_t t = inside ? __ldg(target + at[TARGET]) : c.ignore_index;
        const bool kept = t != c.ignore_index;
        const index_t length = kept ? p.length : 0;  // all threads stay for the reductions
        const Slice<Team> z = {team,   logits + at[LOGITS], p.axis_stride[LOGITS],
                               length, cache,               p.cached};
        Online online;
        scalar target_logit = 0;
        bool met = false;
        each_batch(team, at[LOGITS], length, [&](index_t i) {
            scalar value[BATCH];
            z.load(i, value, -limits<scalar>::infinity());
            z.keep(i, value);
#pragma unroll
            for (int k = 0; k < BATCH; ++k) {
                if (i + k * team.size != t) continue;
                target_logit = value[k];
                met = true;
            }
            online.add(value);
        });
        const Normaliser norm = online.reduce(team);
        const scalar log_sum = log(norm.sum);
        scalar spread = 0;
        if (c.smooth > 0) {
            each(team, at[LOGITS], length, [&](index_t i) {
                spread += weight(i) * norm.log_probability(z.again(i), log_sum);
            });
            spread = smooth * team.reduce(spread, Sum());
        }
        if (met) {  // one thread of the team
            const scalar w = weight(t);
            const scalar cost = -hard * w * norm.log_probability(target_logit, log_sum) - spread;
            if (loss) loss[at[LOSS]] = cost;
            cost_sum += cost;
            weight_sum += w;
        } else if (loss && inside && !kept && team.rank == 0) {
            loss[at[LOSS]] = 0;
        }
    }
    if (loss) return;
    cost_sum = block_reduce(cost_sum, Sum(), partial);
    weight_sum = block_reduce(weight_sum, Sum(), partial);
    if (threadIdx.x == 0 && threadIdx.y == 0) {
        partial_cost[blockIdx.x] = cost_sum;
        partial_weight[blockIdx.x] = weight_sum;
    }
}

template <typename Team>
__device__ __forceinline__ void backward(const Team& team, const scalar* __restrict__ dy,
                                         const scalar* __restrict__ logits,
                                         const index_t* __restrict__ target, Weights weight,
                                         scalar* __restrict__ dlogits, const Slices<4>& p,
                                         const Classes& c, scalar* cache) {
    const index_t slice = static_cast<index_t>(blockIdx.x) * team.slots + team.slot;
    const bool inside = slice < p.count;
    index_t at[4];
    p.start.locate(slice, at);
    const index_t t = inside ? __ldg(target + at[TARGET]) : c.ignore_index;
    const bool kept = t != c.ignore_index;
    const index_t length = inside ? p.length : 0;
    const index_t read = kept ? length : 0;
    const Slice<Team> z = {team, logits + at[LOGITS], p.axis_stride[LOGITS], read, cache, p.cached};
    scalar* dz = dlogits + at[DLOGITS];

    Online online;
    scalar weights = 0;
    each_batch(team, at[DLOGITS], read, [&](index_t i) {
        scalar value[BATCH];
        z.load(i, value, -limits<scalar>::infinity());
        z.keep(i, value);
        online.add(value);
        if (c.smooth > 0)
#pragma unroll
            for (int k = 0; k < BATCH; ++k)
                if (z.has(i + k * team.size)) weights += weight(i + k * team.size);
    });
    const Normaliser norm = online.reduce(team);
    if (c.smooth > 0) weights = team.reduce(weights, Sum());
    const scalar inverse_sum = scalar(1) / norm.sum;
    const scalar g = kept ? __ldg(dy + at[LOSS]) : scalar(0);
    const scalar hard = kept ? static_cast<scalar>(c.hard) * weight(t) : scalar(0);
    const scalar smooth = static_cast<scalar>(c.smooth);
    each(team, at[DLOGITS], length, [&](index_t i) {
        scalar gradient = 0;
        if (kept) {
            const scalar probability = norm.probability(z.again(i), inverse_sum);
            gradient = hard * (probability - scalar(i == t));
            if (c.smooth > 0) gradient += smooth * (probability * weights - weight(i));
            gradient *= g;
        }
        dz[i * p.axis_stride[DLOGITS]] = gradient;
    });
}

// Launch bounds ask for one block a multiprocessor: left to itself, ptxas would rather spill a few
// registers than give up one of its resident blocks.
#define FORWARD_PARAMETERS                                                                      \
    const scalar *__restrict__ logits, const index_t *__restrict__ target,                      \
        const scalar *__restrict__ weight, scalar *__restrict__ loss,                           \
        scalar *__restrict__ partial_cost, scalar *__restrict__ partial_weight, Slices<3> p,    \
        Classes c
#define BACKWARD_PARAMETERS                                                                     \
    const scalar *__restrict__ dy, const scalar *__restrict__ logits,                           \
        const index_t *__restrict__ target, const scalar *__restrict__ weight,                  \
        scalar *__restrict__ dlogits, Slices<4> p, Classes c

extern "C" __global__ void __launch_bounds__(256, 1) cross_entropy_rows(FORWARD_PARAMETERS) {
    extern __shared__ scalar cache[];
    __shared__ scalar partial[WARP];
    forward(LaneTeam(), logits, target, {weight, c.weight_stride}, loss, partial_cost,
            partial_weight, p, c, cache, partial);
}

extern "C" __global__ void __launch_bounds__(512, 1) cross_entropy_long_rows(FORWARD_PARAMETERS) {
    extern __shared__ scalar cache[];
    __shared__ scalar partial[WARP];
    forward(BlockTeam(partial), logits, target, {weight, c.weight_stride}, loss, partial_cost,
            partial_weight, p, c, cache, partial);
}

extern "C" __global__ void __launch_bounds__(256, 1) cross_entropy_columns(FORWARD_PARAMETERS) {
    extern __shared__ scalar cache[];
    __shared__ scalar partial[256];
    forward(ColumnTeam(partial), logits, target, {weight, c.weight_stride}, loss, partial_cost,
            partial_weight, p, c, cache, partial);
}

extern "C" __global__ void __launch_bounds__(256, 1)
    cross_entropy_backward_rows(BACKWARD_PARAMETERS) {
    extern __shared__ scalar cache[];
    backward(LaneTeam(), dy, logits, target, {weight, c.weight_stride}, dlogits, p, c, cache);
}

extern "C" __global__ void __launch_bounds__(512, 1)
    cross_entropy_backward_long_rows(BACKWARD_PARAMETERS) {
    extern __shared__ scalar cache[];
    __shared__ scalar partial[WARP];
    backward(BlockTeam(partial), dy, logits, target, {weight, c.weight_stride}, dlogits, p, c,
             cache);
}

extern "C" __global__ void __launch_bounds__(256, 1)
    cross_entropy_backward_columns(BACKWARD_PARAMETERS) {
    extern __shared__ scalar cache[];
    __shared__ scalar partial[256];
    backward(ColumnTeam(partial), dy, logits, target, {weight, c.weight_stride}, dlogits, p, c,
             cache);
}

// Sum of weight[t] over the positions of this block that are not ignored.
extern "C" __global__ void __launch_bounds__(256, 1)
    cross_entropy_target_weights(const index_t* __restrict__ target,
                                 const scalar* __restrict__ weight,
                                 scalar* __restrict__ partial_weight, index_t count,
                                 Strided<1> position, Classes c) {
    __shared__ scalar partial[WARP];
    const Weights weights = {weight, c.weight_stride};
    scalar sum = 0;
    for (index_t i = flat_thread(); i < count; i += static_cast<index_t>(gridDim.x) * blockDim.x) {
        index_t at[1];
        position.locate(i, at);
        const index_t t = __ldg(target + at[0]);
        if (t != c.ignore_index) sum += weights(t);
    }
    sum = block_reduce(sum, Sum(), partial);
    if (threadIdx.x == 0) partial_weight[blockIdx.x] = sum;
}

// quotient = sum of `numerators` over sum of `denominators`, or the former alone where the latter
// is null.
extern "C" __global__ void __launch_bounds__(256, 1)
    cross_entropy_finish(const scalar* __restrict__ numerators,
                         const scalar* __restrict__ denominators, scalar* __restrict__ quotient,
                         index_t numerator_count, index_t denominator_count) {
    __shared__ scalar partial[WARP];
    scalar above = 0, below = 0;
    for (index_t i = threadIdx.x; i < numerator_count; i += blockDim.x) above += numerators[i];
    above = block_reduce(above, Sum(), partial);
    if (denominators) {
        for (index_t i = threadIdx.x; i < denominator_count; i += blockDim.x)
            below += denominators[i];
        below = block_reduce(below, Sum(), partial);
        above /= below;
    }
    if (threadIdx.x == 0) *quotient = above;
}
