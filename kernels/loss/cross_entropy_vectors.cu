// loss/cross_entropy_vectors.cu: softmax cross-entropy of rows of whole vectors of logits, read once
// into registers, and its gradient.
//
// Computes   as cross_entropy.cu, the maximum first and then the sum: a row is in registers for both
// Layout     logits and dlogits contiguous (N,C), C whole vectors of 16 bytes; target, weight and
//            gradients any strides; loss contiguous
// Launch     block (lanes, rows), 128 threads, 2 to 32 lanes a row; `long`: block 64 to 512, one row.
//            With a reduction at most 1024 blocks, which walk over the rows and leave one partial
//            sum each, which loss/sums.cu adds up. No shared memory but for the reductions
// Traffic    forward |z| + |t|, backward |z| + |t| + |dz| bytes; ignored rows are not read. 128 bits
//            an access. About 7 flop a logit
// Range      rows of up to 512 * VECTORS vectors, any number of them. Where an address is no multiple
//            of 16 bytes, elements come and go one by one. NaN, infinities and targets as
//            cross_entropy.cu
// Siblings   cross_entropy.cu takes any axis, length and strides, by way of shared memory
// Source     as cross_entropy.cu
//
// entry cross_entropy_vectors                costs, a few lanes a row
// entry cross_entropy_vectors_long           costs, a block a row
// entry cross_entropy_backward_vectors       gradient, a few lanes a row
// entry cross_entropy_backward_vectors_long  gradient, a block a row
// variant SCALAR = floating
// variant SMOOTH = 0, 1
#include <pycnn/kernel.cuh>
#include <pycnn/classes.cuh>
#include <pycnn/row_vectors.cuh>

#ifndef SMOOTH
#define SMOOTH 0  // whether there is label smoothing
#endif

struct Rows {
    index_t count, target, gradient;  // elements from one row's target, and gradient, to the next
    int length;
};

// The cost of every row to `loss`, or the sum of those of this block, and that of the targets'
// weights, to partial_cost and partial_weight.
template <bool WHOLE, typename Group>
__device__ __forceinline__ void forward(const Group& group, const scalar_t* __restrict__ logits,
                                        const void* __restrict__ target, Weights weight,
                                        scalar_t* __restrict__ loss,
                                        acc_t* __restrict__ partial_cost,
                                        acc_t* __restrict__ partial_weight, const Rows& p,
                                        const Classes& c) {
    const acc_t hard = static_cast<acc_t>(c.hard), smooth = static_cast<acc_t>(c.smooth);
    const index_t step = static_cast<index_t>(gridDim.x) * group.num_groups;
    const auto target_of = [&](index_t row) {
        return row < p.count ? target_at(target, c, row * p.target) : c.ignore_index;
    };
    index_t first = static_cast<index_t>(blockIdx.x) * group.num_groups;
    index_t next = target_of(first + group.index);  // asked for a round ahead
    SumPair sums = {};  // of costs, and of the targets' weights: the first thread of a group has them
    for (; first < p.count; first += step) {
        const index_t row = first + group.index, t = next;
        const bool inside = row < p.count;  // all threads stay for the reductions
        next = target_of(row + step);
        const bool kept = t != c.ignore_index, known = kept && is_class(c, t);
        const AskedRow<WHOLE> r(group, row, p.length, kept);
        Vec vec[VECTORS];
        r.load(logits, vec, -limits<acc_t>::infinity());
        const acc_t of_target = known ? to_acc(ldg(logits + r.start + t)) : acc_t(0);
        const acc_t top = row_maximum(group, vec);
        const Decay decay(top);
        acc_t sum = 0;
        each_vector(vec, [&](int, const acc_t(&z)[VEC_SIZE]) {
#pragma unroll
            for (int i = 0; i < VEC_SIZE; ++i) sum += decay(z[i]);
        });
        const acc_t log_sum = decay.log_sum(group.reduce(sum, Sum()));
        acc_t spread = 0;
        if (SMOOTH) {
#pragma unroll
            for (int k = 0; k < VECTORS; ++k) vec[k] = hidden(vec[k]);
            each_vector(vec, [&](int k, const acc_t(&z)[VEC_SIZE]) {
#pragma unroll
                for (int i = 0; i < VEC_SIZE; ++i)
                    if (r.has(k)) spread += weight(r.at(k) + i) * ((z[i] - top) - log_sum);
            });
            spread = smooth * group.reduce(spread, Sum());
        }
        if (inside && group.thread_rank == 0) {
            const acc_t w = known ? weight(t) : acc_t(0);
            acc_t cost = kept ? limits<acc_t>::quiet_nan() : acc_t(0);
            if (known) cost = -hard * w * ((of_target - top) - log_sum) - spread;
            if (loss) loss[row] = from_acc(cost);
            sums.first += cost;
            sums.second += w;
        }
    }
    if (!loss) leave_sums(group, sums, partial_cost, partial_weight);
}

template <bool WHOLE, typename Group>
__device__ __forceinline__ void backward(const Group& group, const scalar_t* __restrict__ dy,
                                         const acc_t* __restrict__ weight_sum,
                                         const scalar_t* __restrict__ logits,
                                         const void* __restrict__ target, Weights weight,
                                         scalar_t* __restrict__ dlogits, const Rows& p,
                                         const Classes& c) {
    const index_t row = static_cast<index_t>(blockIdx.x) * group.num_groups + group.index;
    const bool inside = row < p.count;
    const index_t t = inside ? target_at(target, c, row * p.target) : c.ignore_index;
    const bool kept = t != c.ignore_index;
    Vec z[VECTORS];
    const AskedRow<WHOLE> read(group, row, p.length, kept), r(group, row, p.length, inside);
    read.load(logits, z, -limits<acc_t>::infinity());
    acc_t top = row_maximum(group, z);
    if (!kept) top = 0;  // of minus infinities, all parts are 0
    const Decay decay(top);
    acc_t part[VECTORS][VEC_SIZE], sum = 0, weights = 0;
    each_vector(z, [&](int k, const acc_t (&value)[VEC_SIZE]) {
#pragma unroll
        for (int i = 0; i < VEC_SIZE; ++i) sum += part[k][i] = decay(value[i]);
    });
    sum = group.reduce(sum, Sum());
    if (SMOOTH) {
#pragma unroll
        for (int k = 0; k < VECTORS; ++k)
#pragma unroll
            for (int i = 0; i < VEC_SIZE; ++i)
                if (read.has(k)) weights += weight(read.at(k) + i);
        weights = group.reduce(weights, Sum());
    }
    acc_t hard = 0, smooth = 0, scale = 0;
    if (kept) {
        const acc_t g = scaled(dy + row * p.gradient, weight_sum, 1);
        hard = g * static_cast<acc_t>(c.hard) * weight.of_target(c, t);
        smooth = g * static_cast<acc_t>(c.smooth);
        scale = (SMOOTH ? hard + smooth * weights : hard) / sum;
    }
#pragma unroll
    for (int k = 0; k < VECTORS; ++k) {
        if (!r.has(k)) continue;
        const index_t own = t - r.at(k);  // the class of the target, in this vector
#pragma unroll
        for (int i = 0; i < VEC_SIZE; ++i) {
            part[k][i] *= scale;
            if (SMOOTH) part[k][i] -= smooth * weight(r.at(k) + i);
        }
        if (own >= 0 && own < VEC_SIZE)
#pragma unroll
            for (int i = 0; i < VEC_SIZE; ++i)
                if (own == i) part[k][i] -= hard;
        r.store(dlogits, k, [&](int i) { return part[k][i]; });
    }
}

#define FORWARD_PARAMETERS                                                              \
    const scalar_t *__restrict__ logits, const void *__restrict__ target,               \
        const scalar_t *__restrict__ weight, scalar_t *__restrict__ loss,               \
        acc_t *__restrict__ partial_cost, acc_t *__restrict__ partial_weight, Rows p, Classes c
#define BACKWARD_PARAMETERS                                                             \
    const scalar_t *__restrict__ dy, const acc_t *__restrict__ weight_sum,              \
        const scalar_t *__restrict__ logits, const void *__restrict__ target,           \
        const scalar_t *__restrict__ weight, scalar_t *__restrict__ dlogits, Rows p, Classes c

extern "C" __global__ void __launch_bounds__(128, SMOOTH ? 3 : 8) cross_entropy_vectors(FORWARD_PARAMETERS) {
    by_alignment([&](auto whole) {
        forward<whole.value>(LaneGroup(), logits, target, {weight, c.weight_stride}, loss,
                partial_cost, partial_weight, p, c);
    }, logits);
}

extern "C" __global__ void __launch_bounds__(512, 1)
    cross_entropy_vectors_long(FORWARD_PARAMETERS) {
    __shared__ acc_t partial[WARP];
    by_alignment([&](auto whole) {
        forward<whole.value>(BlockGroup(partial), logits, target, {weight, c.weight_stride}, loss,
                partial_cost, partial_weight, p, c);
    }, logits);
}

extern "C" __global__ void __launch_bounds__(128, SMOOTH ? 3 : 4)
    cross_entropy_backward_vectors(BACKWARD_PARAMETERS) {
    by_alignment([&](auto whole) {
        backward<whole.value>(LaneGroup(), dy, weight_sum, logits, target, {weight,
                c.weight_stride}, dlogits, p, c);
    }, logits, dlogits);
}

extern "C" __global__ void __launch_bounds__(512, 1)
    cross_entropy_backward_vectors_long(BACKWARD_PARAMETERS) {
    __shared__ acc_t partial[WARP];
    by_alignment([&](auto whole) {
        backward<whole.value>(BlockGroup(partial), dy, weight_sum, logits, target, {weight,
                c.weight_stride}, dlogits, p, c);
    }, logits, dlogits);
}
