// elementwise/dropout.cu: elements or whole channels set to zero at random, and its gradient.
//
// Computes   y[i] = x[i] factor(i / span), factor(g) = r(g) < threshold ? 0 : scale
//            r(g) = 32-bit number g % 4 of Philox4x32-10 with counter (g / 4, offset), key seed;
//            span is 1, or the elements of a channel. The gradient is the same of dy
// Layout     y contiguous; dropout: x contiguous; dropout_strided: x of any strides
// Launch     block 256, 16 bytes of y a thread; grid of as many blocks as that needs; no shared
//            memory
// Traffic    |x| + |y| bytes: bound by bandwidth; no mask is stored. Some 80 integer operations for
//            four numbers
// Range      any length; 64-bit index arithmetic. A dropped NaN or infinity gives NaN, as in PyTorch
// Siblings   none
// Source     Srivastava et al.: Dropout, JMLR 2014; Tompson et al., CVPR 2015, for channels
//
// entry dropout          x with elements dropped, contiguous
// entry dropout_strided  x with elements dropped, any strides
// variant SCALAR = floating
#include <pycnn/map.cuh>
#include <pycnn/philox.cuh>

struct DropoutParams {
    unsigned long long seed, offset;
    unsigned long long threshold;  // 0 to 2^32: the probability to be dropped, times 2^32
    index_t count, span;
};

struct Factor {
    const DropoutParams& v;
    acc_t scale;
    unsigned threshold;  // 32 bits of it: where all are dropped, the scale is 0

    __device__ __forceinline__ Factor(const DropoutParams& params, acc_t kept)
        : v(params),
          scale(params.threshold >> 32 ? acc_t(0) : kept),
          threshold(static_cast<unsigned>(params.threshold)) {}
    __device__ __forceinline__ Philox numbers(index_t group) const {
        return Philox(static_cast<unsigned long long>(group) / 4, v.offset, v.seed);
    }
    __device__ __forceinline__ acc_t of(unsigned number) const {
        return number < threshold ? acc_t(0) : scale;
    }
    __device__ __forceinline__ acc_t operator()(index_t i) const {
        const index_t group = v.span == 1 ? i : i / v.span;
        return of(numbers(group)[group & 3]);
    }
};

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
dropout(const scalar_t* x, scalar_t* y, acc_t scale, DropoutParams v) {
    const Factor factor(v, scale);
    const index_t block_end = (blockIdx.x + index_t(1)) * ELEMENTWISE_THREADS * VEC_SIZE;
    if (block_end <= v.count && v.span == 1 && aligned(x) && aligned(y)) {
        const index_t i = first_of_vec();
        Vec vec = load_vec(x, i);
#pragma unroll
        for (int four = 0; four < VEC_SIZE; four += 4) {
            const Philox numbers = factor.numbers(i + four);
#pragma unroll
            for (int k = four; k < four + 4 && k < VEC_SIZE; ++k) {
                const int place = VEC_SIZE < 4 ? static_cast<int>((i + k) & 3) : k & 3;
                vec.at[k] = from_acc(to_acc(vec.at[k]) * factor.of(numbers[place]));
            }
        }
        *reinterpret_cast<Vec*>(y + i) = vec;
        return;
    }
    if (block_end <= v.count && v.span % VEC_SIZE == 0 && aligned(x) && aligned(y)) {
        const index_t i = first_of_vec();
        const acc_t same = factor(i);
        store_vec(y, i, [=](acc_t value) { return value * same; }, load_vec(x, i));
        return;
    }
#pragma unroll 1
    for (index_t i = first_of_elements(); i < v.count && i < block_end; i += ELEMENTWISE_THREADS)
        y[i] = from_acc(to_acc(x[i]) * factor(i));
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
dropout_strided(const scalar_t* x, scalar_t* y, acc_t scale, DropoutParams v, Strided<1> view) {
    const Factor factor(v, scale);
    const index_t block_end = (blockIdx.x + index_t(1)) * ELEMENTWISE_THREADS * VEC_SIZE;
#pragma unroll 1
    for (index_t i = first_of_elements(); i < v.count && i < block_end; i += ELEMENTWISE_THREADS) {
        index_t at[1];
        view.locate(i, at);
        y[i] = from_acc(to_acc(x[at[0]]) * factor(i));
    }
}
