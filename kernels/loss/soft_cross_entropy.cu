// loss/soft_cross_entropy.cu: softmax cross-entropy with probabilities of the classes, straight
// from logits, and its gradient.
//
// Computes   with t the target, w the class weights, e the label smoothing, q = log_softmax(z):
//            u[c]  = w[c] ((1-e) t[c] + e/C)
//            cost  = -sum_c u[c] q[c]
//            loss  = cost | sum cost | sum cost / positions                (none | sum | mean)
//            dz[c] = g (p[c] sum_j u[j] - u[c]), p = exp(q), with g the gradient of the cost
// Layout     logits and target (N,C,d1,...), weight (C), gradients: any strides; loss and dz
//            contiguous
// Launch     rows, long_rows, columns as in softmax/softmax.cu, over the class axis; with a
//            reduction at most 1024 blocks, which walk over the positions and leave one partial
//            sum each, which loss/sums.cu adds up
// Traffic    forward |z| + |t|, backward |z| + |t| + |dz| bytes, as long as the classes of a
//            position fit in shared memory twice. About 10 flop a logit
// Range      any extents, 64-bit index arithmetic; t may be any number. Infinities and NaN as in
//            log-softmax. No atomics: two stages in a fixed order
// Siblings   as in softmax/softmax.cu; loss/cross_entropy.cu where one class is the target
// Source     as loss/cross_entropy.cu
//
// entry soft_cross_entropy_rows                costs, classes on the last axis, a few lanes each
// entry soft_cross_entropy_long_rows           costs, classes on the last axis, a block each
// entry soft_cross_entropy_columns             costs, classes on another axis
// entry soft_cross_entropy_backward_rows       gradient, classes on the last axis, some lanes each
// entry soft_cross_entropy_backward_long_rows  gradient, classes on the last axis, a block each
// entry soft_cross_entropy_backward_columns    gradient, classes on another axis
// variant SCALAR = floating
#include <pycnn/kernel.cuh>
#include <pycnn/classes.cuh>
#include <pycnn/slices.cuh>

// Operands of Slices: logits, target, loss; in backward a fourth, the gradient of the logits.
constexpr int LOGITS = 0, TARGET = 1, LOSS = 2, DLOGITS = 3;

// What the logarithm of a class's probability is multiplied by.
struct Share {
    Weights weight;
    acc_t hard, smooth;

    __device__ __forceinline__ Share(const scalar_t* weight, const Classes& c)
        : weight{weight, c.weight_stride},
          hard(static_cast<acc_t>(c.hard)),
          smooth(static_cast<acc_t>(c.smooth)) {}

    __device__ __forceinline__ acc_t operator()(index_t i, acc_t target) const {
        return weight(i) * (hard * target + smooth);
    }
};

// The cost of every position to `loss`, or their sum in this block to partial_cost.
template <typename Group>
__device__ __forceinline__ void forward(const Group& group, const scalar_t* __restrict__ logits,
                                        const scalar_t* __restrict__ target, const Share& share,
                                        scalar_t* __restrict__ loss,
                                        acc_t* __restrict__ partial_cost, const Slices<3>& p,
                                        scalar_t* smem, acc_t* partial) {
    acc_t cost_sum = 0;
    for (index_t first = static_cast<index_t>(blockIdx.x) * group.num_groups; first < p.count;
         first += static_cast<index_t>(gridDim.x) * group.num_groups) {
        const Partition part(group, p, first);
        __syncthreads();  // all have done with what the round before left in shared memory
        const index_t start = part.at[LOGITS];
        const Slice<Group> z(group, logits, LOGITS, part.length, part, p, smem);
        const Slice<Group> t(group, target, TARGET, part.length, part, p, smem + p.room);
        if (p.staged) __syncthreads();
        OnlineSoftmax online;
        each_batch(group, start, part.length, [&](index_t i) {
            acc_t value[BATCH], wanted[BATCH];
            z.load(i, value, -limits<acc_t>::infinity());
            t.load(i, wanted, 0);
            online.add(value);
        });
        const Normaliser norm = online.reduce(group);
        const acc_t log_sum = log(norm.sum);
        acc_t cost = 0;
        each(group, start, part.length, [&](index_t i) {
            cost -= share(i, t.reload(i)) * norm.log_probability(z.reload(i), log_sum);
        });
        cost = group.reduce(cost, Sum());
        if (!part.inside() || group.thread_rank != 0) continue;
        if (loss) loss[part.at[LOSS]] = from_acc(cost);
        cost_sum += cost;
    }
    if (loss) return;
    cost_sum = block_reduce(cost_sum, Sum(), partial);
    if (threadIdx.x == 0 && threadIdx.y == 0) partial_cost[blockIdx.x] = cost_sum;
}

// `mean` is what every gradient of a cost is multiplied by.
template <typename Group>
__device__ __forceinline__ void backward(const Group& group, const scalar_t* __restrict__ dy,
                                         const scalar_t* __restrict__ logits,
                                         const scalar_t* __restrict__ target, const Share& share,
                                         scalar_t* __restrict__ dlogits, const Slices<4>& p,
                                         double mean, scalar_t* smem) {
    const index_t first = static_cast<index_t>(blockIdx.x) * group.num_groups;
    const Partition part(group, p, first);
    __shared__ acc_t gradients[MAX_GROUPS];  // read once, whatever the size of a group
    const int thread = threadIdx.y * blockDim.x + threadIdx.x;
    if (thread < group.num_groups && first + thread < p.count) {
        index_t at[4];
        p.start.locate(first + thread, at);
        gradients[thread] = to_acc(ldg(dy + at[LOSS])) * static_cast<acc_t>(mean);
    }
    const index_t start = part.at[DLOGITS];
    const Slice<Group> z(group, logits, LOGITS, part.length, part, p, smem);
    const Slice<Group> t(group, target, TARGET, part.length, part, p, smem + p.room);
    __syncthreads();
    const acc_t g = part.inside() ? gradients[group.index] : 0;
    OnlineSoftmax online;
    acc_t shares = 0;
    each_batch(group, start, part.length, [&](index_t i) {
        acc_t value[BATCH], wanted[BATCH];
        z.load(i, value, -limits<acc_t>::infinity());
        t.load(i, wanted, 0);
        online.add(value);
#pragma unroll
        for (int k = 0; k < BATCH; ++k)
            if (t.has(i + k * group.size)) shares += share(i + k * group.size, wanted[k]);
    });
    const Normaliser norm = online.reduce(group);
    shares = group.reduce(shares, Sum());
    const acc_t inverse_sum = acc_t(1) / norm.sum;
    each(group, start, part.length, [&](index_t i) {
        const acc_t probability = norm.probability(z.reload(i), inverse_sum);
        const acc_t gradient = g * (probability * shares - share(i, t.reload(i)));
        z.store(i, dlogits + start, p.axis_stride[DLOGITS], gradient);
    });
    z.store_staged(dlogits + part.block[DLOGITS], part.tile);
}

#define FORWARD_PARAMETERS                                                              \
    const scalar_t *__restrict__ logits, const scalar_t *__restrict__ target,           \
        const scalar_t *__restrict__ weight, scalar_t *__restrict__ loss,               \
        acc_t *__restrict__ partial_cost, Slices<3> p, Classes c
#define BACKWARD_PARAMETERS                                                             \
    const scalar_t *__restrict__ dy, const scalar_t *__restrict__ logits,               \
        const scalar_t *__restrict__ target, const scalar_t *__restrict__ weight,       \
        scalar_t *__restrict__ dlogits, double mean, Slices<4> p, Classes c

extern "C" __global__ void __launch_bounds__(256, 2) soft_cross_entropy_rows(FORWARD_PARAMETERS) {
    extern __shared__ __align__(16) scalar_t smem[];
    __shared__ acc_t partial[WARP];
    forward(LaneGroup(), logits, target, Share(weight, c), loss, partial_cost, p, smem, partial);
}

extern "C" __global__ void __launch_bounds__(512, 1)
    soft_cross_entropy_long_rows(FORWARD_PARAMETERS) {
    extern __shared__ __align__(16) scalar_t smem[];
    __shared__ acc_t partial[WARP];
    forward(BlockGroup(partial), logits, target, Share(weight, c), loss, partial_cost, p, smem,
            partial);
}

extern "C" __global__ void __launch_bounds__(256, 2)
    soft_cross_entropy_columns(FORWARD_PARAMETERS) {
    extern __shared__ __align__(16) scalar_t smem[];
    __shared__ acc_t partial[256];
    forward(ColumnGroup(partial), logits, target, Share(weight, c), loss, partial_cost, p, smem,
            partial);
}

extern "C" __global__ void __launch_bounds__(256, 2)
    soft_cross_entropy_backward_rows(BACKWARD_PARAMETERS) {
    extern __shared__ __align__(16) scalar_t smem[];
    backward(LaneGroup(), dy, logits, target, Share(weight, c), dlogits, p, mean, smem);
}

extern "C" __global__ void __launch_bounds__(512, 1)
    soft_cross_entropy_backward_long_rows(BACKWARD_PARAMETERS) {
    extern __shared__ __align__(16) scalar_t smem[];
    __shared__ acc_t partial[WARP];
    backward(BlockGroup(partial), dy, logits, target, Share(weight, c), dlogits, p, mean, smem);
}

extern "C" __global__ void __launch_bounds__(256, 1)
    soft_cross_entropy_backward_columns(BACKWARD_PARAMETERS) {
    extern __shared__ __align__(16) scalar_t smem[];
    __shared__ acc_t partial[256];
    backward(ColumnGroup(partial), dy, logits, target, Share(weight, c), dlogits, p, mean, smem);
}
