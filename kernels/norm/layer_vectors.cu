// norm/layer_vectors.cu: normalisation of rows of whole vectors, read once into registers.
//
// Computes   as layer.cu, with a weight and a bias for every element of a row; mean and variance by
//            two passes over registers, of differences from the first element
// Layout     contiguous; rows of whole vectors of 16 bytes; weight and bias contiguous
// Launch     layer_vectors       block (lanes, rows), 128 threads: 2 to 32 lanes a row
//            layer_vectors_long  block 64 to 512: one row
//            layer_backward_vectors_long alike, and group_vectors and group_vectors_long with up to
//            832 threads, whose rows are groups of channels with a weight and a bias for each
// Traffic    |x| + |y|, backward |dy| + |x| + |dx| bytes, 128 bits an access; weight and bias once a
//            row, from caches. 8 and 14 flop an element
// Range      rows of up to 32 kB, groups of 64 kB, any number of them. Where an address is no multiple
//            of 16 bytes, elements come and go one by one, and are read three times. So are those of
//            rows whose squares overflow, once more and scaled; deterministic
// Siblings   layer.cu takes any axes, strides and lengths, by way of shared memory;
//            layer_gradient.cu has all gradients of rows of up to 16 kB
// Source     as layer.cu
//
// entry layer_vectors                normalised rows, a few lanes each
// entry layer_vectors_long           normalised rows, a block each
// entry group_vectors                normalised groups of channels, a few lanes each
// entry group_vectors_long           normalised groups of channels, a block each
// entry layer_backward_vectors_long  gradient with respect to x, and statistics, a block a row
// variant SCALAR = floating
#include <pycnn/kernel.cuh>
#include <pycnn/row_parameters.cuh>
#include <pycnn/statistic.cuh>
#include <pycnn/welford.cuh>

constexpr int GROUP_VECTORS = 5;  // of a thread where a block has a group: two fit then

struct Layer {
    index_t rows;
    int length, weight_wide, bias_wide;
    int groups, channels, spread;  // of group norm: rows of an image, channels of a row, their elements
    double eps;
};

// A weight and a bias for every element of a row.
template <bool WHOLE>
struct OfElements {
    Parameters<WHOLE> weights, biases;

    __device__ __forceinline__ OfElements(const void* weight, const void* bias, const Layer& p)
        : weights{weight, p.weight_wide, 1}, biases{bias, p.bias_wide, 0} {}
    __device__ __forceinline__ void load(index_t, int i, acc_t (&scale)[VEC_SIZE],
                                         acc_t (&shift)[VEC_SIZE]) const {
        weights.load(i, scale);
        biases.load(i, shift);
    }
};

// The same for all elements of a channel, which are whole vectors.
template <bool>
struct OfChannels {
    const void *weight, *bias;
    const Layer& p;

    __device__ __forceinline__ OfChannels(const void* its_weight, const void* its_bias,
                                          const Layer& params)
        : weight(its_weight), bias(its_bias), p(params) {}
    static __device__ __forceinline__ acc_t one(const void* from, int wide, int c) {
        return wide ? ldg(static_cast<const acc_t*>(from) + c)
                    : to_acc(ldg(static_cast<const scalar_t*>(from) + c));
    }
    __device__ __forceinline__ void load(index_t row, int i, acc_t (&scale)[VEC_SIZE],
                                         acc_t (&shift)[VEC_SIZE]) const {
        const unsigned group = static_cast<unsigned>(row % p.groups);
        const int c = static_cast<int>(group) * p.channels +
                      static_cast<unsigned>(i) / static_cast<unsigned>(p.spread);
        const acc_t by = weight ? one(weight, p.weight_wide, c) : acc_t(1);
        const acc_t more = bias ? one(bias, p.bias_wide, c) : acc_t(0);
#pragma unroll
        for (int k = 0; k < VEC_SIZE; ++k) {
            scale[k] = by;
            shift[k] = more;
        }
    }
};

// Moments of a row's values times `unit`.
template <bool WHOLE, int COUNT, typename Group>
__device__ __forceinline__ Moments moments_of(const Group& group, const AskedRow<WHOLE, COUNT>& r,
                                              const scalar_t* x, const Vec (&vec)[COUNT],
                                              int length, acc_t unit) {
    Moments all;
    all.count = length;
    all.pivot = r.end > 0 ? to_acc(ldg(x + r.start)) * unit : acc_t(0);
    acc_t sum = 0;
    r.each(x, vec, [&](int, const acc_t (&value)[VEC_SIZE]) {
#pragma unroll
        for (int i = 0; i < VEC_SIZE; ++i) sum += value[i] * unit - all.pivot;
    });
    all.mean = group.reduce(sum, Sum()) / length;
    sum = 0;
    r.each(x, vec, [&](int, const acc_t (&value)[VEC_SIZE]) {
#pragma unroll
        for (int i = 0; i < VEC_SIZE; ++i) {
            const acc_t off = (value[i] * unit - all.pivot) - all.mean;
            sum += off * off;
        }
    });
    all.squares = group.reduce(sum, Sum());
    return all;
}

// The same, and the unit: another than 1 where squares would overflow. False, for the whole warp,
// where rows in vectors need it: they go one by one then, and the usual way has no such products.
template <bool WHOLE, int COUNT, typename Group>
__device__ __forceinline__ bool moments_of(const Group& group, const AskedRow<WHOLE, COUNT>& r,
                                           const scalar_t* x, const Vec (&vec)[COUNT],
                                           int length, Moments& all, acc_t& unit) {
    unit = 1;
    all = moments_of(group, r, x, vec, length, acc_t(1));
    if (!__any_sync(FULL_MASK, !all.fits())) return true;
    if (WHOLE) return false;
    if (!all.fits()) unit = far_unit<acc_t>();
    all = moments_of(group, r, x, vec, length, unit);
    return true;
}

// body(Whole) as by_alignment has it; and one by one where it returns false.
template <typename Body, typename... Arrays>
__device__ __forceinline__ void usually_whole(Body body, const Arrays*... arrays) {
    if (!all_whole(arrays...) || !body(Whole<true>())) body(Whole<false>());
}

template <template <bool> class Affine, int COUNT, bool WHOLE, typename Group>
__device__ __forceinline__ bool forward(const Group& group, const scalar_t* __restrict__ x,
                                        const void* weight, const void* bias,
                                        scalar_t* __restrict__ y, const Layer& p) {
    const index_t row = static_cast<index_t>(blockIdx.x) * group.num_groups + group.index;
    const AskedRow<WHOLE, COUNT> r(group, row, p.length, row < p.rows);  // all stay to the end
    Vec vec[COUNT];
    if constexpr (WHOLE) r.load(x, vec, 0);
    acc_t unit;
    Moments all;
    if (!moments_of(group, r, x, vec, p.length, all, unit)) return false;
    const acc_t rstd = all.rstd(static_cast<acc_t>(p.eps), unit);
    const Affine<WHOLE> affine(weight, bias, p);
    r.each(x, vec, [&](int k, const acc_t (&value)[VEC_SIZE]) {
        acc_t scale[VEC_SIZE], shift[VEC_SIZE];
        affine.load(row, r.at(k), scale, shift);
        r.store(y, k, [&](int i) {
            return ((value[i] * unit - all.pivot) - all.mean) * rstd * scale[i] + shift[i];
        });
    });
    return true;
}

template <bool WHOLE, typename Group>
__device__ __forceinline__ bool backward(const Group& group, const scalar_t* __restrict__ dy,
                                         const scalar_t* __restrict__ x, const void* weight,
                                         scalar_t* __restrict__ dx, Statistic* statistics,
                                         const Layer& p) {
    const index_t row = static_cast<index_t>(blockIdx.x) * group.num_groups + group.index;
    const AskedRow<WHOLE> r(group, row, p.length, row < p.rows);
    Vec of_dy[VECTORS], of_x[VECTORS];
    if constexpr (WHOLE) {
        r.load(dy, of_dy, 0);
        r.load(x, of_x, 0);
    }
    acc_t unit;
    Moments all;
    if (!moments_of(group, r, x, of_x, p.length, all, unit)) return false;
    const acc_t rstd = all.rstd(static_cast<acc_t>(p.eps), unit);
    const Parameters<WHOLE> weights = {weight, p.weight_wide, 1};
    // body(k, weighted dy, z)
    const auto each = [&](auto body) {
        r.each(x, of_x, [&](int k, const acc_t (&value)[VEC_SIZE]) {
            acc_t g[VEC_SIZE], z[VEC_SIZE], scale[VEC_SIZE];
            weights.load(r.at(k), scale);
            r.values(dy, of_dy, k, g);
#pragma unroll
            for (int i = 0; i < VEC_SIZE; ++i) {
                g[i] *= scale[i];
                z[i] = ((value[i] * unit - all.pivot) - all.mean) * rstd;
            }
            body(k, g, z);
        });
    };
    acc_t sum = 0, product = 0;
    each([&](int, const acc_t (&g)[VEC_SIZE], const acc_t (&z)[VEC_SIZE]) {
#pragma unroll
        for (int i = 0; i < VEC_SIZE; ++i) {
            sum += g[i];
            product += g[i] * z[i];
        }
    });
    const acc_t shift = group.reduce(sum, Sum()) / p.length;
    const acc_t tilt = group.reduce(product, Sum()) / p.length;
    each([&](int k, const acc_t (&g)[VEC_SIZE], const acc_t (&z)[VEC_SIZE]) {
        r.store(dx, k, [&](int i) { return (rstd * unit) * (g[i] - shift - z[i] * tilt); });
    });
    if (group.thread_rank == 0 && r.end > 0)
        statistics[row] = Statistic(all.whole_mean() / unit, all.rest_of_mean() / unit, rstd * unit);
    return true;
}

extern "C" __global__ void __launch_bounds__(128, sizeof(acc_t) == 4 ? 8 : 5)
layer_vectors(const scalar_t* __restrict__ x, const void* weight, const void* bias,
              scalar_t* __restrict__ y, Layer p) {
    usually_whole([&](auto whole) {
        return forward<OfElements, VECTORS, whole.value>(LaneGroup(), x, weight, bias, y, p);
    }, x, y, weight, bias);
}

extern "C" __global__ void __launch_bounds__(512, 1)
layer_vectors_long(const scalar_t* __restrict__ x, const void* weight, const void* bias,
                   scalar_t* __restrict__ y, Layer p) {
    __shared__ acc_t partial[WARP];
    usually_whole([&](auto whole) {
        return forward<OfElements, VECTORS, whole.value>(BlockGroup(partial), x, weight, bias, y, p);
    }, x, y, weight, bias);
}

extern "C" __global__ void __launch_bounds__(128, sizeof(acc_t) == 4 ? 8 : 5)
group_vectors(const scalar_t* __restrict__ x, const void* weight, const void* bias,
              scalar_t* __restrict__ y, Layer p) {
    usually_whole([&](auto whole) {
        return forward<OfChannels, VECTORS, whole.value>(LaneGroup(), x, weight, bias, y, p);
    }, x, y);
}

extern "C" __global__ void __launch_bounds__(832, 1)
group_vectors_long(const scalar_t* __restrict__ x, const void* weight, const void* bias,
                   scalar_t* __restrict__ y, Layer p) {
    __shared__ acc_t partial[WARP];
    usually_whole([&](auto whole) {
        return forward<OfChannels, GROUP_VECTORS, whole.value>(BlockGroup(partial), x, weight, bias, y, p);
    }, x, y);
}

extern "C" __global__ void __launch_bounds__(512, 1)
layer_backward_vectors_long(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
                            const void* weight, scalar_t* __restrict__ dx,
                            Statistic* __restrict__ statistics, Layer p) {
    __shared__ acc_t partial[WARP];
    usually_whole([&](auto whole) {
        return backward<whole.value>(BlockGroup(partial), dy, x, weight, dx, statistics, p);
    }, dy, x, dx, weight);
}
