// pool/global_pool.cu: mean or maximum over all spatial axes.
//
// Computes   y[n,c] = 1/L sum over the L elements of x[n,c], or their maximum with its index
// Layout     x any strides; y (N, C) contiguous, in either layout
// Launch     block 256 in groups: a power of two of threads a plane, so that each has about 8
//            elements
//            STAGED=1  neighbouring planes of up to 2048 elements, brought into shared memory in one
//                      piece (48 kB at most)
//            STAGED=0  planes where they lie; with channels last, neighbouring threads work on
//                      neighbouring channels
//            channels: 16 threads for vectors of channels, each 16th pixel to one of 16 rows of them
// Traffic    |x| + |y| (+ |indices|) bytes; an addition or comparison an element
// Range      any extents, 64-bit index arithmetic. As in PyTorch the index is that of the first
//            maximum in row-major order, or of the last NaN. Sums are added up in an order that
//            depends on the shape alone
// Siblings   avg_pool.cu, max_pool.cu: one thread a window. Their backward kernels are those of
//            this one too: the window is the whole plane
// Source     Lin, Chen, Yan: Network in network, 2013
//
// entry global_avg_pool           mean of every plane
// entry global_avg_pool_channels  mean of every plane, channels being neighbours and whole vectors
// entry global_max_pool           maximum of every plane, optionally with its index
// variant SCALAR = floating
// variant STAGED = 0, 1
// only global_avg_pool_channels STAGED = 0
#include <pycnn/block.cuh>
#include <pycnn/narrow.cuh>
#include <pycnn/strided.cuh>

#ifndef STAGED
#define STAGED 0
#endif

constexpr int THREADS = 256, WARP = 32;
constexpr int VEC_SIZE = 16 / sizeof(scalar_t);

struct Planes {
    index_t count, channels;   // planes, and how many of them an image has
    index_t length;            // elements of a plane
    index_t n, c;              // strides of x from image to image, from channel to channel
    index_t group_size;        // threads that share a plane
    index_t across;            // neighbouring threads are of neighbouring planes
    Strided<1> element;        // of a plane
};

struct Mean {
    acc_t sum = 0;
    __device__ __forceinline__ void add(acc_t value, index_t) { sum += value; }
    __device__ __forceinline__ void merge(const Mean& other) { sum += other.sum; }
};

struct Maximum {
    acc_t best = -limits<acc_t>::infinity();
    index_t at = -1;

    // A later element.
    __device__ __forceinline__ void add(acc_t value, index_t index) {
        if (value > best || value != value || at < 0) {
            best = value;
            at = index;
        }
    }
    // Elements among which some are earlier and some later.
    __device__ __forceinline__ void merge(const Maximum& other) {
        if (other.at < 0) return;
        const bool nan = best != best, other_nan = other.best != other.best;
        const bool wins = nan || other_nan ? other_nan && (!nan || other.at > at)
                          : other.best == best ? other.at < at : other.best > best;
        if (at < 0 || wins) *this = other;
    }
};

__device__ __forceinline__ Mean shuffled(const Mean& from, int distance) {
    Mean other;
    other.sum = __shfl_down_sync(0xffffffffu, from.sum, distance);
    return other;
}
__device__ __forceinline__ Maximum shuffled(const Maximum& from, int distance) {
    Maximum other;
    other.best = __shfl_down_sync(0xffffffffu, from.best, distance);
    other.at = __shfl_down_sync(0xffffffffu, from.at, distance);
    return other;
}

// What a group of neighbouring threads has, by its first one; groups of several warps by way of
// `partial`.
template <typename Fold>
__device__ __forceinline__ Fold merged(Fold fold, int thread, int group_size, Fold* partial) {
    const int lanes = group_size < WARP ? group_size : WARP;
    for (int distance = lanes / 2; distance > 0; distance /= 2) {
        const Fold other = shuffled(fold, distance);
        if ((thread & (lanes - 1)) < distance) fold.merge(other);
    }
    if (group_size == lanes) return fold;
    if (thread % WARP == 0) partial[thread / WARP] = fold;
    __syncthreads();
    if ((thread & (group_size - 1)) == 0)
        for (int warp = 1; warp < group_size / WARP; ++warp)
            fold.merge(partial[thread / WARP + warp]);
    return fold;
}

// store(plane, what all its elements come to), by one thread a plane.
template <typename Fold, typename Store>
__device__ __forceinline__ void reduce(const scalar_t* __restrict__ x, const Planes& p,
                                       Store store) {
    __shared__ unsigned long long partial_memory[THREADS * sizeof(Fold) / 8];
    Fold* const partial = reinterpret_cast<Fold*>(partial_memory);
    const int thread = threadIdx.x, group_size = static_cast<int>(p.group_size);
    const int log_size = __ffs(group_size) - 1, num_groups = THREADS >> log_size;
    const int group = p.across ? thread & (num_groups - 1) : thread >> log_size;
    const int thread_rank = p.across ? thread / num_groups : thread & (group_size - 1);
    const index_t first = static_cast<index_t>(blockIdx.x) * num_groups, plane = first + group;
    Fold fold;
#if STAGED
    extern __shared__ __align__(16) unsigned long long memory[];
    scalar_t* sX = reinterpret_cast<scalar_t*>(memory);
    const int planes = static_cast<int>(p.count - first < num_groups ? p.count - first : num_groups);
    const int length = static_cast<int>(p.length), all = planes * length;
    const scalar_t* from = x + first * length;
    if (all % VEC_SIZE == 0 && aligned_to<scalar_t, VEC_SIZE>(from)) {
        using Vec = Block<scalar_t, VEC_SIZE>;
#pragma unroll 4
        for (int i = thread; i < all / VEC_SIZE; i += THREADS)
            reinterpret_cast<Vec*>(sX)[i] = reinterpret_cast<const Vec*>(from)[i];
    } else {
        // A warp begins where a sector does, so that it touches none twice.
        const int skipped = static_cast<int>(reinterpret_cast<unsigned long long>(from) % 32);
        for (int i = thread - skipped / static_cast<int>(sizeof(scalar_t)); i < all; i += THREADS)
            if (i >= 0) sX[i] = from[i];
    }
    __syncthreads();
    if (plane < p.count)
#pragma unroll 4
        for (int i = thread_rank; i < length; i += group_size)
            fold.add(to_acc(sX[group * length + i]), i);
#else
    if (plane < p.count) {
        const index_t image = plane / p.channels;
        const scalar_t* from = x + image * p.n + (plane - image * p.channels) * p.c;
        for (index_t i = thread_rank; i < p.length; i += group_size) {
            index_t at[1];
            p.element.locate(i, at);
            fold.add(to_acc(ldg(from + at[0])), i);
        }
    }
    if (p.across) {
        partial[thread] = fold;
        for (int distance = group_size / 2; distance > 0; distance /= 2) {
            __syncthreads();
            if (thread_rank < distance) {
                fold.merge(partial[thread + distance * num_groups]);
                partial[thread] = fold;
            }
        }
        if (thread_rank == 0 && plane < p.count) store(plane, fold);
        return;
    }
#endif
    fold = merged(fold, thread, group_size, partial);
    if (thread_rank == 0 && plane < p.count) store(plane, fold);
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
global_avg_pool(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Planes p) {
    reduce<Mean>(x, p, [&](index_t plane, const Mean& mean) {
        y[plane] = from_acc(mean.sum / static_cast<acc_t>(p.length));
    });
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
global_max_pool(const scalar_t* __restrict__ x, scalar_t* __restrict__ y,
                index_t* __restrict__ indices, Planes p) {
    reduce<Maximum>(x, p, [&](index_t plane, const Maximum& maximum) {
        y[plane] = from_acc(maximum.best);
        if (indices) indices[plane] = maximum.at;
    });
}

// Vectors of channels, side by side, of LANES threads; the pixels are divided among as many rows of
// threads as a block has.
constexpr int CHANNEL_LANES = 16, CHANNEL_ROWS = THREADS / CHANNEL_LANES;

template <bool VECTORS>
__device__ __forceinline__ void mean_of_channels(const scalar_t* __restrict__ x,
                                                 scalar_t* __restrict__ y, const Planes& p) {
    // The first 16 bytes of all lanes' sums, then the second, half of the banks further on: no bank
    // is met twice, whether lanes store theirs or channels are read in order.
    constexpr int PART = 16 / sizeof(acc_t), PITCH = (CHANNEL_LANES + 4) * PART;
    __shared__ __align__(16) acc_t partial[CHANNEL_ROWS][VEC_SIZE / PART * PITCH];
    const int lane = threadIdx.x % CHANNEL_LANES, row = threadIdx.x / CHANNEL_LANES;
    const int channels = static_cast<int>(p.channels), length = static_cast<int>(p.length);
    unsigned block = blockIdx.x;
    const int first = next_tile(block, channels, CHANNEL_LANES * VEC_SIZE);
    const index_t image = block, step = p.element.stride[0][0];
    const int own = first + lane * VEC_SIZE;
    const scalar_t* const from = x + image * p.n + own;
    acc_t sum[VEC_SIZE] = {};
    if (own < channels)
#pragma unroll 4
        for (int i = row; i < length; i += CHANNEL_ROWS) {
            acc_t value[VEC_SIZE];
            unpack(load_block<scalar_t, VEC_SIZE>(from + i * step, VECTORS).at, value);
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) sum[k] += value[k];
        }
#pragma unroll
    for (int k = 0; k < VEC_SIZE; k += PART) {
        Block<acc_t, PART> part;
#pragma unroll
        for (int i = 0; i < PART; ++i) part.at[i] = sum[k + i];
        *reinterpret_cast<Block<acc_t, PART>*>(&partial[row][k / PART * PITCH + lane * PART]) = part;
    }
    __syncthreads();
    const int c = threadIdx.x, k = c % VEC_SIZE;
    if (c >= CHANNEL_LANES * VEC_SIZE || first + c >= channels) return;
    const int slot = k / PART * PITCH + c / VEC_SIZE * PART + k % PART;
    acc_t all = 0;
#pragma unroll
    for (int r = 0; r < CHANNEL_ROWS; ++r) all += partial[r][slot];
    y[image * channels + first + c] = from_acc(all / static_cast<acc_t>(length));
}

extern "C" __global__ void __launch_bounds__(THREADS)
global_avg_pool_channels(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Planes p) {
    if (aligned_to<scalar_t, VEC_SIZE>(x))
        mean_of_channels<true>(x, y, p);
    else
        mean_of_channels<false>(x, y, p);
}
