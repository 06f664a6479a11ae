// norm/layer.cu: normalisation of slices that are read once and wait on chip for statistics.
//
// Computes   y = (x - mean) * rstd * weight[j] + bias[j] over each slice of `length` elements
//            dx = rstd * (g - mean of g - z * mean of g * z), g = weight[j] * dy,
//            z = (x - mean) * rstd; and the statistics, which go to the sums behind dweight
//            j = (slice % period) * channels + element / spread: the element itself for layer
//            norm, the channel for a group of channels
// Layout     x, dy any strides; results contiguous
// Launch     lanes: block (team, teams), a power of two of lanes a slice. block: block 512, one
//            slice. Every team does `steps` slices. Shared memory: the elements of a slice, and
//            weight and bias in layer norm, as far as 48 kB hold them
// Traffic    |x| + |y|, backward |dy| + |x| + |dx| bytes as long as a slice fits; what does not
//            is read again from global memory (forward once more, backward twice). Weight and
//            bias once a block. 7 and 13 flop an element
// Range      any extents, 64-bit index arithmetic; statistics as in welford.cuh; deterministic
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

// pycnn.plan.norm_layer.layer_dtype
template <int OPERANDS>
struct Layer {
    index_t count, length;
    index_t steps;                      // slices that a team works on, one after the other
    index_t cached;                     // elements of a slice that are kept, of each operand
    index_t period, channels, spread;   // which weight an element has
    int weight_wide, bias_wide;
    int affine_cached;                  // weight and bias wait in shared memory
    double eps;
    Strided<OPERANDS> start, along;
    Strided<2> affine;                  // weight and bias by number
};

struct LaneTeam {
    int rank = threadIdx.x, size = blockDim.x, slot = threadIdx.y, slots = blockDim.y;

    template <typename State>
    __device__ __forceinline__ State merge(State mine) const {
        return merge_lanes(mine, size);
    }
};

struct BlockTeam {
    Moments* shared;
    int rank = threadIdx.x, size = blockDim.x, slot = 0, slots = 1;

    __device__ __forceinline__ explicit BlockTeam(Moments* of_warps) : shared(of_warps) {}
    template <typename State>
    __device__ __forceinline__ State merge(State mine) const {
        return merge_block(mine, reinterpret_cast<State*>(shared));
    }
};

// One operand's slice, and where it waits.
template <int OPERANDS>
struct Kept {
    const scalar_t* from;
    const Strided<OPERANDS>& along;
    int operand;
    scalar_t* cache;
    index_t cached;

    __device__ __forceinline__ void load(const Batch& b, acc_t (&value)[WIDTH]) const {
        fetch(from, along, operand, b, value);
        if (b.pack && b.first + WIDTH <= cached) {
            Pack pack;
#pragma unroll
            for (int k = 0; k < WIDTH; ++k) pack.at[k] = from_acc(value[k]);
            *reinterpret_cast<Pack*>(cache + b.first) = pack;
            return;
        }
#pragma unroll
        for (int k = 0; k < WIDTH; ++k)
            if (b.has(k) && b.at(k) < cached) cache[b.at(k)] = from_acc(value[k]);
    }

    // What this thread has loaded before.
    __device__ __forceinline__ void again(const Batch& b, acc_t (&value)[WIDTH]) const {
        if (b.pack && b.first + WIDTH <= cached) {
            const Pack pack = *reinterpret_cast<const Pack*>(cache + b.first);
#pragma unroll
            for (int k = 0; k < WIDTH; ++k) value[k] = to_acc(pack.at[k]);
            return;
        }
#pragma unroll
        for (int k = 0; k < WIDTH; ++k) {
            const index_t i = b.at(k);
            value[k] = !b.has(k)    ? acc_t(0)
                       : i < cached ? to_acc(cache[i])
                                    : to_acc(from[offset_of(along, operand, i)]);
        }
    }
};

// Weight and bias of the elements of a slice.
template <int OPERANDS>
struct Affine {
    const Layer<OPERANDS>& p;
    const void *weight, *bias;
    acc_t* cache;  // weights, then biases

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
            if (weight) cache[i] = weight_of(i);
            if (bias) cache[p.length + i] = bias_of(i);
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
        return p.affine_cached ? cache[i] : weight_of(of(slice, i));
    }
    __device__ __forceinline__ acc_t shift(index_t slice, index_t i) const {
        if (!bias) return acc_t(0);
        return p.affine_cached ? cache[p.length + i] : bias_of(of(slice, i));
    }
    // Whether a whole vector has one weight.
    __device__ __forceinline__ bool shared_by(const Batch& b) const {
        return b.pack && p.spread % WIDTH == 0;
    }
};

// Bytes before the slices in shared memory.
template <int OPERANDS>
__device__ __forceinline__ index_t affine_bytes(const Layer<OPERANDS>& p) {
    return p.affine_cached ? (2 * p.length * sizeof(acc_t) + 15) / 16 * 16 : 0;
}

template <typename Team>
__device__ __forceinline__ void forward(const Team& team, const scalar_t* x, const void* weight,
                                        const void* bias, scalar_t* y, const Layer<2>& p,
                                        unsigned char* shared) {
    const Affine<2> affine = {p, weight, bias, reinterpret_cast<acc_t*>(shared)};
    scalar_t* const cache = reinterpret_cast<scalar_t*>(shared + affine_bytes(p));
    affine.load();
    const bool packs = all_aligned<2>({x, y});
    for (index_t step = 0; step < p.steps; ++step) {
        const index_t slice = (blockIdx.x * p.steps + step) * team.slots + team.slot;
        const index_t length = slice < p.count ? p.length : 0;  // all threads stay
        const index_t offset[2] = {offset_of(p.start, 0, slice), offset_of(p.start, 1, slice)};
        const scalar_t* const operand[2] = {x + offset[0], y + offset[1]};
        const bool vectors = in_vectors(p.along, offset);
        const Kept<2> kept = {operand[0], p.along, 0, cache + team.slot * p.cached, p.cached};
        Moments mine = {};
        each_batch(team.rank, team.size, 0, length, offset[1], vectors, packs, [&](const Batch& b) {
            acc_t value[WIDTH];
            kept.load(b, value);
            mine.add(value, b.there());
        });
        const Moments all = team.merge(mine);
        const acc_t rstd = all.rstd(static_cast<acc_t>(p.eps));
        each_batch(team.rank, team.size, 0, length, offset[1], vectors, packs, [&](const Batch& b) {
            acc_t value[WIDTH];
            kept.again(b, value);
            const bool one = affine.shared_by(b);
            const acc_t scale = one ? affine.scale(slice, b.first) : acc_t(1);
            const acc_t shift = one ? affine.shift(slice, b.first) : acc_t(0);
#pragma unroll
            for (int k = 0; k < WIDTH; ++k) {
                if (!b.has(k)) continue;
                const acc_t z = ((value[k] - all.pivot) - all.mean) * rstd;
                value[k] = one ? z * scale + shift
                               : z * affine.scale(slice, b.at(k)) + affine.shift(slice, b.at(k));
            }
            put(const_cast<scalar_t*>(operand[1]), p.along, 1, b, value);
        });
    }
}

template <typename Team>
__device__ __forceinline__ void backward(const Team& team, const scalar_t* dy, const scalar_t* x,
                                         const void* weight, scalar_t* dx, Statistic* statistics,
                                         const Layer<3>& p, unsigned char* shared) {
    const Affine<3> affine = {p, weight, nullptr, reinterpret_cast<acc_t*>(shared)};
    scalar_t* const cache = reinterpret_cast<scalar_t*>(shared + affine_bytes(p));
    affine.load();
    const bool packs = all_aligned<3>({dy, x, dx});
    for (index_t step = 0; step < p.steps; ++step) {
        const index_t slice = (blockIdx.x * p.steps + step) * team.slots + team.slot;
        const index_t length = slice < p.count ? p.length : 0;  // all threads stay
        const index_t offset[3] = {offset_of(p.start, 0, slice), offset_of(p.start, 1, slice),
                                   offset_of(p.start, 2, slice)};
        const scalar_t* const operand[3] = {dy + offset[0], x + offset[1], dx + offset[2]};
        const bool vectors = in_vectors(p.along, offset);
        scalar_t* const mine_of_cache = cache + 2 * team.slot * p.cached;
        const Kept<3> kept_dy = {operand[0], p.along, 0, mine_of_cache, p.cached};
        const Kept<3> kept_x = {operand[1], p.along, 1, mine_of_cache + p.cached, p.cached};
        Moments mine = {};
        each_batch(team.rank, team.size, 0, length, offset[2], vectors, packs, [&](const Batch& b) {
            acc_t g[WIDTH], v[WIDTH];
            kept_dy.load(b, g);
            kept_x.load(b, v);
            mine.add(v, b.there());
        });
        const Moments all = team.merge(mine);
        const acc_t rstd = all.rstd(static_cast<acc_t>(p.eps));
        SumPair sums = {};
        each_batch(team.rank, team.size, 0, length, offset[2], vectors, packs, [&](const Batch& b) {
            acc_t g[WIDTH], v[WIDTH];
            kept_dy.again(b, g);
            kept_x.again(b, v);
            const bool one = affine.shared_by(b);
            const acc_t scale = one ? affine.scale(slice, b.first) : acc_t(1);
#pragma unroll
            for (int k = 0; k < WIDTH; ++k) {
                if (!b.has(k)) continue;
                g[k] *= one ? scale : affine.scale(slice, b.at(k));
                sums.first += g[k];
                sums.second += g[k] * (((v[k] - all.pivot) - all.mean) * rstd);
            }
        });
        sums = team.merge(sums);
        const acc_t shift = sums.first / all.count, tilt = sums.second / all.count;
        each_batch(team.rank, team.size, 0, length, offset[2], vectors, packs, [&](const Batch& b) {
            acc_t g[WIDTH], v[WIDTH];
            kept_dy.again(b, g);
            kept_x.again(b, v);
            const bool one = affine.shared_by(b);
            const acc_t scale = one ? affine.scale(slice, b.first) : acc_t(1);
#pragma unroll
            for (int k = 0; k < WIDTH; ++k) {
                if (!b.has(k)) continue;
                const acc_t z = ((v[k] - all.pivot) - all.mean) * rstd;
                g[k] *= one ? scale : affine.scale(slice, b.at(k));
                g[k] = rstd * (g[k] - shift - z * tilt);
            }
            put(const_cast<scalar_t*>(operand[2]), p.along, 2, b, g);
        });
        if (team.rank == 0 && length > 0) {
            Statistic s = {};
            s.mean = all.whole_mean();
            s.rest = all.rest_of_mean();
            s.rstd = rstd;
            statistics[slice] = s;
        }
    }
}

extern "C" __global__ void __launch_bounds__(512, 1)
layer_lanes(const scalar_t* __restrict__ x, const void* weight, const void* bias,
            scalar_t* __restrict__ y, Layer<2> p) {
    extern __shared__ __align__(16) unsigned char shared[];
    forward(LaneTeam(), x, weight, bias, y, p, shared);
}

extern "C" __global__ void __launch_bounds__(512, 1)
layer_block(const scalar_t* __restrict__ x, const void* weight, const void* bias,
            scalar_t* __restrict__ y, Layer<2> p) {
    extern __shared__ __align__(16) unsigned char shared[];
    __shared__ Moments partial[LANES];
    forward(BlockTeam(partial), x, weight, bias, y, p, shared);
}

extern "C" __global__ void __launch_bounds__(512, 1)
layer_backward_lanes(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
                     const void* weight, scalar_t* __restrict__ dx,
                     Statistic* __restrict__ statistics, Layer<3> p) {
    extern __shared__ __align__(16) unsigned char shared[];
    backward(LaneTeam(), dy, x, weight, dx, statistics, p, shared);
}

extern "C" __global__ void __launch_bounds__(512, 1)
layer_backward_block(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
                     const void* weight, scalar_t* __restrict__ dx,
                     Statistic* __restrict__ statistics, Layer<3> p) {
    extern __shared__ __align__(16) unsigned char shared[];
    __shared__ Moments partial[LANES];
    backward(BlockTeam(partial), dy, x, weight, dx, statistics, p, shared);
}
