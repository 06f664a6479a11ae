// softmax/vectors.cu: softmax and log-softmax of rows of whole vectors, read once into registers,
// and their gradients.
//
// Computes   as softmax.cu, the maximum first and then the sum: a row is in registers for both
// Layout     contiguous; rows of whole vectors of 16 bytes
// Launch     softmax_vectors       block (lanes, rows), 128 threads: 2 to 32 lanes a row
//            softmax_vectors_long  block 64 to 512: one row
//            backward_vectors and backward_vectors_long alike
//            a thread has at most VECTORS vectors of each operand; no shared memory but for the
//            reductions
// Traffic    |x| + |y| bytes, backward |dy| + |y| + |dx|; 128 bits an access. 4 flop and an
//            exponential an element
// Range      rows of up to 512 * VECTORS vectors, any number of them. Where an address is no
//            multiple of 16 bytes, elements come and go one by one. NaN and infinities as softmax.cu
// Siblings   softmax.cu takes any axis, length and strides, by way of shared memory
// Source     as softmax.cu
//
// entry softmax_vectors                a few lanes a row
// entry softmax_vectors_long           a block a row
// entry softmax_backward_vectors       their gradient, a few lanes a row
// entry softmax_backward_vectors_long  their gradient, a block a row
// variant SCALAR = floating
// variant LOG = 0, 1
#include <pycnn/kernel.cuh>
#include <pycnn/row_vectors.cuh>

#ifndef LOG
#define LOG 0
#endif

template <bool WHOLE, typename Group>
__device__ __forceinline__ void softmax_row(const Group& group, const scalar_t* __restrict__ x,
                                            scalar_t* __restrict__ y, index_t rows, int length) {
    const index_t row = static_cast<index_t>(blockIdx.x) * group.num_groups + group.index;
    const AskedRow<WHOLE> r(group, row, length, row < rows);  // all threads stay to the end
    Vec vec[VECTORS];
    r.load(x, vec, -limits<acc_t>::infinity());
    const acc_t top = row_maximum(group, vec);
    const Decay decay(top);

    acc_t kept[VECTORS][VEC_SIZE], sum = 0;
    each_vector(vec, [&](int k, const acc_t (&value)[VEC_SIZE]) {
#pragma unroll
        for (int i = 0; i < VEC_SIZE; ++i) {
            const acc_t part = decay(value[i]);
            kept[k][i] = LOG ? value[i] - top : part;
            sum += part;
        }
    });
    sum = group.reduce(sum, Sum());
    const acc_t scale = LOG ? decay.log_sum(sum) : acc_t(1) / sum;
#pragma unroll
    for (int k = 0; k < VECTORS; ++k)
        if (r.has(k))
            r.store(y, k, [&](int i) { return LOG ? kept[k][i] - scale : kept[k][i] * scale; });
}

template <bool WHOLE, typename Group>
__device__ __forceinline__ void backward_row(const Group& group, const scalar_t* __restrict__ dy,
                                             const scalar_t* __restrict__ y,
                                             scalar_t* __restrict__ dx, index_t rows, int length) {
    const index_t row = static_cast<index_t>(blockIdx.x) * group.num_groups + group.index;
    const AskedRow<WHOLE> r(group, row, length, row < rows);
    Vec g[VECTORS], v[VECTORS];
    r.load(dy, g, 0);
    r.load(y, v, 0);
    acc_t sum = 0;
    each_vector(v, [&](int k, const acc_t (&of_y)[VEC_SIZE]) {
        acc_t own[VEC_SIZE];
        unpack(g[k].at, own);
#pragma unroll
        for (int i = 0; i < VEC_SIZE; ++i) sum += LOG ? own[i] : own[i] * of_y[i];
    });
    sum = group.reduce(sum, Sum());
    each_vector(v, [&](int k, const acc_t (&of_y)[VEC_SIZE]) {
        if (!r.has(k)) return;
        acc_t own[VEC_SIZE];
        unpack(g[k].at, own);
        r.store(dx, k, [&](int i) {
            return LOG ? own[i] - exp_below(of_y[i]) * sum : of_y[i] * (own[i] - sum);
        });
    });
}

extern "C" __global__ void __launch_bounds__(128, 5)
softmax_vectors(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, index_t rows,
                int length) {
    by_alignment([&](auto whole) {
        softmax_row<whole.value>(LaneGroup(), x, y, rows, length);
    }, x, y);
}

extern "C" __global__ void __launch_bounds__(512, 1)
softmax_vectors_long(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, index_t rows,
                     int length) {
    __shared__ acc_t partial[WARP];
    by_alignment([&](auto whole) {
        softmax_row<whole.value>(BlockGroup(partial), x, y, rows, length);
    }, x, y);
}

extern "C" __global__ void __launch_bounds__(128, 5)
softmax_backward_vectors(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ y,
                         scalar_t* __restrict__ dx, index_t rows, int length) {
    by_alignment([&](auto whole) {
        backward_row<whole.value>(LaneGroup(), dy, y, dx, rows, length);
    }, dy, y, dx);
}

extern "C" __global__ void __launch_bounds__(512, 1)
softmax_backward_vectors_long(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ y,
                              scalar_t* __restrict__ dx, index_t rows, int length) {
    __shared__ acc_t partial[WARP];
    by_alignment([&](auto whole) {
        backward_row<whole.value>(BlockGroup(partial), dy, y, dx, rows, length);
    }, dy, y, dx);
}
