// norm/layer.cu: normalisation of slices that are read once and wait on chip for statistics.
//
// Computes   y = (x - mean) * rstd * weight[j] + bias[j] over each slice of `length` elements
//            dx = rstd * (g - mean of g - z * mean of g * z), g = weight[j] * dy,
//            z = (x - mean) * rstd; and the statistics, which go to the sums behind dweight
//            j = (slice % period) * channels + element / spread: the element itself for layer
//            norm, the channel for a group of channels
// Layout     x, dy any strides; results contiguous
// Launch     lanes: block (group, groups), a power of two of lanes a slice. block: block 512, one
//            slice. Every group does `steps` slices. Shared memory: the elements of a slice, and
//            weight and bias in layer norm, as far as 48 kB hold them
// Traffic    |x| + |y|, backward |dy| + |x| + |dx| bytes as long as a slice fits; what does not
//            is read again from global memory (forward once more, backward twice). Weight and
//            bias once a block. 7 and 13 flop an element
// Range      any extents, 64-bit index arithmetic; statistics as in welford.cuh; deterministic.
//            Slices whose squares overflow are gone through once more, scaled
// Siblings   lanes up to 1024 elements: no barrier, many slices a block; block beyond.
//            norm/moments.cu and norm/apply.cu where one statistic takes many blocks
// Source     Ba, Kiros, Hinton: Layer normalization, 2016; Wu, He: Group normalization, 2018
//
// entry layer_lanes           normalised slices, a few lanes each
// entry layer_block           normalised slices, a block each
// entry layer_backward_lanes  gradient with respect to x, and statistics, a few lanes a slice
// entry layer_backward_block  gradient with respect to x, and statistics, a block a slice
// variant SCALAR = floating
#include <pycnn/norm_planes.cuh>

template <int OPERANDS>
struct Layer {
    index_t count, length;
    index_t steps;                      // slices that a group works on, one after the other
    index_t cached;                     // elements of a slice that are kept, of each operand
    index_t period, channels, spread;   // which weight an element has
    int weight_wide, bias_wide;
    int affine_cached;                  // weight and bias wait in shared memory
    double eps;
    Strided<OPERANDS> start, along;
    Strided<2> affine;                  // weight and bias by number
};

struct LaneGroup {
    int thread_rank = threadIdx.x, size = blockDim.x, index = threadIdx.y, num_groups = blockDim.y;

    template <typename State>
    __device__ __forceinline__ State merge(State mine) const {
        return merge_lanes(mine, size);
    }
    // Of all groups whose threads must stay together.
    __device__ __forceinline__ bool any(bool of_mine) const {
        return __any_sync(FULL_MASK, of_mine);
    }
};

struct BlockGroup {
    Moments* shared;
    int thread_rank = threadIdx.x, size = blockDim.x, index = 0, num_groups = 1;

    __device__ __forceinline__ explicit BlockGroup(Moments* of_warps) : shared(of_warps) {}
    template <typename State>
    __device__ __forceinline__ State merge(State mine) const {
        return merge_block(mine, reinterpret_cast<State*>(shared));
    }
    __device__ __forceinline__ bool any(bool of_mine) const { return of_mine; }
};

// Moments of a group's values, times `unit`, which becomes another one where squares overflow.
// add(mine, unit) goes through the values.
template <typename Group, typename Add>
__device__ __forceinline__ Moments moments_of(const Group& group, acc_t& unit, Add add) {
    Moments all;
    unit = 1;
#pragma unroll 1
    for (int pass = 0; pass < 2; ++pass) {
        Moments mine = {};
        add(mine, unit);
        all = group.merge(mine);
        if (pass == 1 || !group.any(!all.fits())) break;
        if (!all.fits()) unit = far_unit<acc_t>();
    }
    return all;
}

// One operand's slice, held in shared memory as far as it fits.
template <int OPERANDS>
struct SmemSlice {
    const scalar_t* from;
    const Strided<OPERANDS>& along;
    int operand;
    scalar_t* smem;
    index_t cached;

    __device__ __forceinline__ void load(const Batch& b, acc_t (&value)[VEC_SIZE]) const {
        load_batch(from, along, operand, b, value);
        if (b.vec && b.first + VEC_SIZE <= cached) {
            Vec vec;
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) vec.at[k] = from_acc(value[k]);
            b.vector_of(smem) = vec;
            return;
        }
#pragma unroll
        for (int k = 0; k < VEC_SIZE; ++k)
            if (b.has(k) && b.at(k) < cached) smem[b.at(k)] = from_acc(value[k]);
    }

    // What this thread has loaded before.
    __device__ __forceinline__ void reload(const Batch& b, acc_t (&value)[VEC_SIZE]) const {
        if (b.vec && b.first + VEC_SIZE <= cached) {
            const Vec vec = *reinterpret_cast<const Vec*>(smem + b.first);
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) value[k] = to_acc(vec.at[k]);
            return;
        }
#pragma unroll
        for (int k = 0; k < VEC_SIZE; ++k) {
            const index_t i = b.at(k);
            value[k] = !b.has(k)    ? acc_t(0)
                       : i < cached ? to_acc(smem[i])
                                    : to_acc(from[offset_of(along, operand, i)]);
        }
    }
};

// Weight and bias of the elements of a slice.
template <int OPERANDS>
struct Affine {
    const Layer<OPERANDS>& p;
    const void *weight, *bias;
    acc_t* smem;  // weights, then biases

    __device__ __forceinline__ acc_t weight_of(index_t number) const {
        return parameter(weight, offset_of(p.affine, 0, number), p.weight_wide);
    }
    __device__ __forceinline__ acc_t bias_of(index_t number) const {
        return parameter(bias, offset_of(p.affine, 1, number), p.bias_wide);
    }
    __device__ __forceinline__ void load() const {
        if (!p.affine_cached) return;
        const index_t threads = blockDim.x * blockDim.y;
        for (index_t i = threadIdx.y * blockDim.x + threadIdx.x; i < p.length; i += threads) {
            if (weight) smem[i] = weight_of(i);
            if (bias) smem[p.length + i] = bias_of(i);
        }
        __syncthreads();
    }
    // Number of the weight of element i of the slice.
    __device__ __forceinline__ index_t of(index_t slice, index_t i) const {
        const index_t within =
            p.spread == 1 ? i : static_cast<unsigned>(i) / static_cast<unsigned>(p.spread);
        return p.period == 1 ? within : slice % p.period * p.channels + within;
    }
    __device__ __forceinline__ acc_t scale(index_t slice, index_t i) const {
        if (!weight) return acc_t(1);
        return p.affine_cached ? smem[i] : weight_of(of(slice, i));
    }
    __device__ __forceinline__ acc_t shift(index_t slice, index_t i) const {
        if (!bias) return acc_t(0);
        return p.affine_cached ? smem[p.length + i] : bias_of(of(slice, i));
    }
    // Whether a whole vector has one weight.
    __device__ __forceinline__ bool shared_by(const Batch& b) const {
        return b.vec && p.spread % VEC_SIZE == 0;
    }
};

// Bytes before the slices in shared memory.
template <int OPERANDS>
__device__ __forceinline__ index_t affine_bytes(const Layer<OPERANDS>& p) {
    return p.affine_cached ? (2 * p.length * sizeof(acc_t) + 15) / 16 * 16 : 0;
}

template <typename Group>
__device__ __forceinline__ void forward(const Group& group, const scalar_t* x, const void* weight,
                                        const void* bias, scalar_t* y, const Layer<2>& p,
                                        unsigned char* shared) {
    const Affine<2> affine = {p, weight, bias, reinterpret_cast<acc_t*>(shared)};
    scalar_t* const smem = reinterpret_cast<scalar_t*>(shared + affine_bytes(p));
    affine.load();
    const bool vecs = all_aligned<2>({x, y});
    for (index_t step = 0; step < p.steps; ++step) {
        const index_t slice = (blockIdx.x * p.steps + step) * group.num_groups + group.index;
        const index_t length = slice < p.count ? p.length : 0;  // all threads stay
        const index_t offset[2] = {offset_of(p.start, 0, slice), offset_of(p.start, 1, slice)};
        const scalar_t* const operand[2] = {x + offset[0], y + offset[1]};
        const bool vectors = in_vectors(p.along, offset);
        const SmemSlice<2> smem_x = {operand[0], p.along, 0, smem + group.index * p.cached,
                                     p.cached};
        acc_t unit;
        const Moments all = moments_of(group, unit, [&](Moments& mine, acc_t scale) {
            each_batch(
                group.thread_rank, group.size, 0, length, offset[1], vectors, vecs,
                [&](const Batch& b) {
                    acc_t value[VEC_SIZE];
                    smem_x.load(b, value);
                    mine.add(value, b.there(), scale);
                });
        });
        const acc_t rstd = all.rstd(static_cast<acc_t>(p.eps), unit);
        each_batch(
            group.thread_rank, group.size, 0, length, offset[1], vectors, vecs,
            [&](const Batch& b) {
                acc_t value[VEC_SIZE];
                smem_x.reload(b, value);
                const bool one = affine.shared_by(b);
                const acc_t scale = one ? affine.scale(slice, b.first) : acc_t(1);
                const acc_t shift = one ? affine.shift(slice, b.first) : acc_t(0);
#pragma unroll
                for (int k = 0; k < VEC_SIZE; ++k) {
                    if (!b.has(k)) continue;
                    const acc_t z = ((value[k] * unit - all.pivot) - all.mean) * rstd;
                    value[k] = one ? z * scale + shift
                                   : z * affine.scale(slice, b.at(k)) +
                                         affine.shift(slice, b.at(k));
                }
                store_batch(const_cast<scalar_t*>(operand[1]), p.along, 1, b, value);
            });
    }
}

template <typename Group>
__device__ __forceinline__ void backward(const Group& group, const scalar_t* dy, const scalar_t* x,
                                         const void* weight, scalar_t* dx, Statistic* statistics,
                                         const Layer<3>& p, unsigned char* shared) {
    const Affine<3> affine = {p, weight, nullptr, reinterpret_cast<acc_t*>(shared)};
    scalar_t* const smem = reinterpret_cast<scalar_t*>(shared + affine_bytes(p));
    affine.load();
    const bool vecs = all_aligned<3>({dy, x, dx});
    for (index_t step = 0; step < p.steps; ++step) {
        const index_t slice = (blockIdx.x * p.steps + step) * group.num_groups + group.index;
        const index_t length = slice < p.count ? p.length : 0;  // all threads stay
        const index_t offset[3] = {offset_of(p.start, 0, slice), offset_of(p.start, 1, slice),
                                   offset_of(p.start, 2, slice)};
        const scalar_t* const operand[3] = {dy + offset[0], x + offset[1], dx + offset[2]};
        const bool vectors = in_vectors(p.along, offset);
        scalar_t* const smem_of_group = smem + 2 * group.index * p.cached;
        const SmemSlice<3> smem_dy = {operand[0], p.along, 0, smem_of_group, p.cached};
        const SmemSlice<3> smem_x = {operand[1], p.along, 1, smem_of_group + p.cached, p.cached};
        acc_t unit;
        const Moments all = moments_of(group, unit, [&](Moments& mine, acc_t scale) {
            each_batch(
                group.thread_rank, group.size, 0, length, offset[2], vectors, vecs,
                [&](const Batch& b) {
                    acc_t g[VEC_SIZE], v[VEC_SIZE];
                    smem_dy.load(b, g);
                    smem_x.load(b, v);
                    mine.add(v, b.there(), scale);
                });
        });
        const acc_t rstd = all.rstd(static_cast<acc_t>(p.eps), unit);
        SumPair sums = {};
        each_batch(
            group.thread_rank, group.size, 0, length, offset[2], vectors, vecs,
            [&](const Batch& b) {
                acc_t g[VEC_SIZE], v[VEC_SIZE];
                smem_dy.reload(b, g);
                smem_x.reload(b, v);
                const bool one = affine.shared_by(b);
                const acc_t scale = one ? affine.scale(slice, b.first) : acc_t(1);
#pragma unroll
                for (int k = 0; k < VEC_SIZE; ++k) {
                    if (!b.has(k)) continue;
                    g[k] *= one ? scale : affine.scale(slice, b.at(k));
                    sums.first += g[k];
                    sums.second += g[k] * (((v[k] * unit - all.pivot) - all.mean) * rstd);
                }
            });
        sums = group.merge(sums);
        const acc_t shift = sums.first / all.count, tilt = sums.second / all.count;
        each_batch(
            group.thread_rank, group.size, 0, length, offset[2], vectors, vecs,
            [&](const Batch& b) {
                acc_t g[VEC_SIZE], v[VEC_SIZE];
                smem_dy.reload(b, g);
                smem_x.reload(b, v);
                const bool one = affine.shared_by(b);
                const acc_t scale = one ? affine.scale(slice, b.first) : acc_t(1);
#pragma unroll
                for (int k = 0; k < VEC_SIZE; ++k) {
                    if (!b.has(k)) continue;
                    const acc_t z = ((v[k] * unit - all.pivot) - all.mean) * rstd;
                    g[k] *= one ? scale : affine.scale(slice, b.at(k));
                    g[k] = (rstd * unit) * (g[k] - shift - z * tilt);
                }
                store_batch(const_cast<scalar_t*>(operand[2]), p.along, 2, b, g);
            });
        if (group.thread_rank == 0 && length > 0) {
            statistics[slice] = Statistic(all.whole_mean() / unit, all.rest_of_mean() / unit,
                                          rstd * unit);
        }
    }
}

extern "C" __global__ void __launch_bounds__(512, 1)
layer_lanes(const scalar_t* __restrict__ x, const void* weight, const void* bias,
            scalar_t* __restrict__ y, Layer<2> p) {
    extern __shared__ __align__(16) unsigned char shared[];
    forward(LaneGroup(), x, weight, bias, y, p, shared);
}

extern "C" __global__ void __launch_bounds__(512, 1)
layer_block(const scalar_t* __restrict__ x, const void* weight, const void* bias,
            scalar_t* __restrict__ y, Layer<2> p) {
    extern __shared__ __align__(16) unsigned char shared[];
    __shared__ Moments partial[LANES];
    forward(BlockGroup(partial), x, weight, bias, y, p, shared);
}

extern "C" __global__ void __launch_bounds__(512, 1)
layer_backward_lanes(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
                     const void* weight, scalar_t* __restrict__ dx,
                     Statistic* __restrict__ statistics, Layer<3> p) {
    extern __shared__ __align__(16) unsigned char shared[];
    backward(LaneGroup(), dy, x, weight, dx, statistics, p, shared);
}

extern "C" __global__ void __launch_bounds__(512, 1)
layer_backward_block(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
                     const void* weight, scalar_t* __restrict__ dx,
                     Statistic* __restrict__ statistics, Layer<3> p) {
    extern __shared__ __align__(16) unsigned char shared[];
    __shared__ Moments partial[LANES];
    backward(BlockGroup(partial), dy, x, weight, dx, statistics, p, shared);
}
