// softmax/vectors.cu: softmax and log-softmax of rows of whole vectors, read once into registers.
//
// Computes   as softmax.cu, the maximum first and then the sum: a row is in registers for both
// Layout     contiguous; rows of whole vectors of 16 bytes
// Launch     softmax_vectors       block (lanes, rows), 128 threads: 2 to 32 lanes a row
//            softmax_vectors_long  block 64 to 512: one row
//            a thread has at most VECTORS vectors; no shared memory but for the reductions
// Traffic    |x| + |y| bytes, 128 bits an access. 4 flop and an exponential an element
// Range      rows of up to 512 * VECTORS vectors, any number of them. Where an address is no
//            multiple of 16 bytes, elements come and go one by one. NaN and infinities as softmax.cu
// Siblings   softmax.cu takes any axis, length and strides, by way of shared memory
// Source     as softmax.cu
//
// entry softmax_vectors       a few lanes a row
// entry softmax_vectors_long  a block a row
// variant SCALAR = floating
// variant LOG = 0, 1
#include <pycnn/kernel.cuh>
#include <pycnn/slices.cuh>

#ifndef LOG
#define LOG 0
#endif

constexpr int VECTORS = 4;  // of a thread; as in pycnn/plan/softmax.py

template <typename Group>
__device__ __forceinline__ void softmax_row(const Group& group, const scalar_t* __restrict__ x,
                                            scalar_t* __restrict__ y, index_t rows, int length) {
    const index_t row = static_cast<index_t>(blockIdx.x) * group.num_groups + group.index;
    const int end = row < rows ? length : 0;  // all threads stay to the end
    const int step = group.size * VEC_SIZE, first = group.thread_rank * VEC_SIZE;
    x += row * length;
    y += row * length;

    Vec vec[VECTORS];
    if (skew(x) == 0) {
#pragma unroll
        for (int k = 0; k < VECTORS; ++k)
            if (first + k * step < end)
                vec[k] = *reinterpret_cast<const Vec*>(x + first + k * step);
    } else {
#pragma unroll
        for (int k = 0; k < VECTORS; ++k)
#pragma unroll
            for (int i = 0; i < VEC_SIZE; ++i)
                if (first + k * step < end) vec[k].at[i] = ldg(x + first + k * step + i);
    }

    acc_t top = Max::identity();
#pragma unroll
    for (int k = 0; k < VECTORS; ++k)
#pragma unroll
        for (int i = 0; i < VEC_SIZE; ++i)
            if (first + k * step < end) top = Max()(top, to_acc(vec[k].at[i]));
    top = group.reduce(top, Max());

    acc_t kept[VECTORS][VEC_SIZE], sum = 0;
#pragma unroll
    for (int k = 0; k < VECTORS; ++k)
#pragma unroll
        for (int i = 0; i < VEC_SIZE; ++i) {
            if (first + k * step >= end) continue;
            const acc_t below = to_acc(vec[k].at[i]) - top, part = exp(below);
            kept[k][i] = LOG ? below : part;
            sum += part;
        }
    sum = group.reduce(sum, Sum());
    const acc_t scale = LOG ? log(sum) : acc_t(1) / sum;

#pragma unroll
    for (int k = 0; k < VECTORS; ++k) {
        if (first + k * step >= end) continue;
        Vec result;
#pragma unroll
        for (int i = 0; i < VEC_SIZE; ++i)
            result.at[i] = from_acc(LOG ? kept[k][i] - scale : kept[k][i] * scale);
        scalar_t* const to = y + first + k * step;
        if (skew(y) == 0)
            *reinterpret_cast<Vec*>(to) = result;
        else
#pragma unroll
            for (int i = 0; i < VEC_SIZE; ++i) to[i] = result.at[i];
    }
}

extern "C" __global__ void __launch_bounds__(128, 5)
softmax_vectors(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, index_t rows,
                int length) {
    softmax_row(LaneGroup(), x, y, rows, length);
}

extern "C" __global__ void __launch_bounds__(512, 1)
softmax_vectors_long(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, index_t rows,
                     int length) {
    __shared__ acc_t partial[WARP];
    softmax_row(BlockGroup(partial), x, y, rows, length);
}
