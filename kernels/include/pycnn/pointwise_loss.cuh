// pycnn/pointwise_loss.cuh: losses that compare two tensors element by element.
//
// A kernel file gives the cost of an element and its derivative, and the entries:
//
//   struct Cost { __device__ acc_t operator()(acc_t x, acc_t t, acc_t w, acc_t p) const; };
//   struct Slope { ... };               // of the same arguments: d cost / dx
//   mse_loss, mse_loss_strided, mse_loss_backward, mse_loss_backward_strided
//
// w, a weight, is 1 where there is none; p is a positive weight, or a constant that a loss has. The
// entries without _strided are for contiguous x, t (and dx) and no weights, 16 bytes a thread.
#pragma once

#include <pycnn/map.cuh>
#include <pycnn/reduce.cuh>

struct LossOptions {
    double factor;       // of every cost, and of every gradient
    double parameter;    // what p is where there is no array of it
    index_t dy_stands;   // the gradient is that of one number, not one for each element
};

constexpr int LOSS_THREADS = 256;

// body(i) for the elements of this thread: `vector(first)` where 16 bytes may be read at once.
template <typename Vector, typename Body>
__device__ __forceinline__ void each_element(index_t count, bool vectors, Vector vector,
                                             Body body) {
    const index_t threads = static_cast<index_t>(gridDim.x) * LOSS_THREADS;
    const index_t vecs = vectors ? count / VEC_SIZE : 0;
    for (index_t i = flat_thread(); i < vecs; i += threads) vector(i * VEC_SIZE);
    for (index_t i = vecs * VEC_SIZE + flat_thread(); i < count; i += threads) body(i);
}

// Sum of this block's costs to `partial`.
__device__ __forceinline__ void store_partial(acc_t sum, acc_t* partial) {
    __shared__ acc_t warps[WARP];
    sum = block_reduce(sum, Sum(), warps);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// `partial` null: every cost to `loss`.
template <typename Cost>
__device__ __forceinline__ void loss_contiguous(const scalar_t* __restrict__ x,
                                                const scalar_t* __restrict__ t,
                                                scalar_t* __restrict__ loss,
                                                acc_t* __restrict__ partial, index_t count,
                                                const LossOptions& options) {
    const Cost cost;
    const acc_t factor = static_cast<acc_t>(options.factor);
    const acc_t parameter = static_cast<acc_t>(options.parameter);
    acc_t sum = 0;
    const auto one = [&](acc_t a, acc_t b, scalar_t* to) {
        const acc_t value = factor * cost(a, b, 1, parameter);
        sum += value;
        if (!partial) *to = from_acc(value);
    };
    each_element(
        count, aligned(x) && aligned(t) && (partial || aligned(loss)),
        [&](index_t i) {
            const Vec a = *reinterpret_cast<const Vec*>(x + i);
            const Vec b = *reinterpret_cast<const Vec*>(t + i);
            Vec c;
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) one(to_acc(a.at[k]), to_acc(b.at[k]), &c.at[k]);
            if (!partial) *reinterpret_cast<Vec*>(loss + i) = c;
        },
        [&](index_t i) { one(to_acc(x[i]), to_acc(t[i]), loss + i); });
    if (partial) store_partial(sum, partial);
}

// Offsets: x, t, weight, positive weight.
template <typename Cost>
__device__ __forceinline__ void loss_strided(const scalar_t* __restrict__ x,
                                             const scalar_t* __restrict__ t,
                                             const scalar_t* __restrict__ weight,
                                             const scalar_t* __restrict__ positive,
                                             scalar_t* __restrict__ loss,
                                             acc_t* __restrict__ partial, index_t count,
                                             const LossOptions& options, const Strided<4>& v) {
    const Cost cost;
    const acc_t factor = static_cast<acc_t>(options.factor);
    const acc_t parameter = static_cast<acc_t>(options.parameter);
    acc_t sum = 0;
    const index_t threads = static_cast<index_t>(gridDim.x) * LOSS_THREADS;
    for (index_t i = flat_thread(); i < count; i += threads) {
        index_t at[4];
        v.locate(i, at);
        const acc_t w = weight ? to_acc(weight[at[2]]) : acc_t(1);
        const acc_t p = positive ? to_acc(positive[at[3]]) : parameter;
        const acc_t value = factor * cost(to_acc(x[at[0]]), to_acc(t[at[1]]), w, p);
        sum += value;
        if (!partial) loss[i] = from_acc(value);
    }
    if (partial) store_partial(sum, partial);
}

template <typename Slope>
__device__ __forceinline__ void slope_contiguous(const scalar_t* __restrict__ dy,
                                                 const scalar_t* __restrict__ x,
                                                 const scalar_t* __restrict__ t,
                                                 scalar_t* __restrict__ dx, index_t count,
                                                 const LossOptions& options) {
    const Slope slope;
    const bool stands = options.dy_stands;
    const acc_t factor = static_cast<acc_t>(options.factor);
    const acc_t parameter = static_cast<acc_t>(options.parameter);
    __shared__ acc_t shared;  // read once a block
    if (threadIdx.x == 0 && stands) shared = to_acc(*dy);
    __syncthreads();
    const acc_t common = stands ? shared : 0;
    each_element(
        count, aligned(x) && aligned(t) && aligned(dx) && (stands || aligned(dy)),
        [&](index_t i) {
            const Vec a = *reinterpret_cast<const Vec*>(x + i);
            const Vec b = *reinterpret_cast<const Vec*>(t + i);
            Vec g = a;
            if (!stands) g = *reinterpret_cast<const Vec*>(dy + i);
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) {
                const acc_t gradient = stands ? common : to_acc(g.at[k]);
                g.at[k] = from_acc(factor * gradient * slope(to_acc(a.at[k]), to_acc(b.at[k]), 1,
                                                             parameter));
            }
            *reinterpret_cast<Vec*>(dx + i) = g;
        },
        [&](index_t i) {
            const acc_t gradient = stands ? common : to_acc(dy[i]);
            dx[i] = from_acc(factor * gradient * slope(to_acc(x[i]), to_acc(t[i]), 1, parameter));
        });
}

// Offsets: x, t, weight, positive weight, dy.
template <typename Slope>
__device__ __forceinline__ void slope_strided(const scalar_t* __restrict__ dy,
                                              const scalar_t* __restrict__ x,
                                              const scalar_t* __restrict__ t,
                                              const scalar_t* __restrict__ weight,
                                              const scalar_t* __restrict__ positive,
                                              scalar_t* __restrict__ dx, index_t count,
                                              const LossOptions& options, const Strided<5>& v) {
    const Slope slope;
    const acc_t factor = static_cast<acc_t>(options.factor);
    const acc_t parameter = static_cast<acc_t>(options.parameter);
    const index_t threads = static_cast<index_t>(gridDim.x) * LOSS_THREADS;
    for (index_t i = flat_thread(); i < count; i += threads) {
        index_t at[5];
        v.locate(i, at);
        const acc_t w = weight ? to_acc(weight[at[2]]) : acc_t(1);
        const acc_t p = positive ? to_acc(positive[at[3]]) : parameter;
        const acc_t gradient = factor * to_acc(dy[at[4]]);
        dx[i] = from_acc(gradient * slope(to_acc(x[at[0]]), to_acc(t[at[1]]), w, p));
    }
}
