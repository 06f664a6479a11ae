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
//            odd: such planes, of an odd number of elements in up to 256 bytes, each by one thread: they meet
//            no bank twice, and of 16 bits, by words of two, seldom
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
// entry global_avg_pool_odd       mean of every plane, each by one thread
// entry global_avg_pool_channels  mean of every plane, channels being neighbours and whole vectors
// entry global_max_pool           maximum of every plane, optionally with its index
// variant SCALAR = floating
// variant STAGED = 0, 1
// only global_avg_pool_channels STAGED = 0
// only global_avg_pool_odd STAGED = 1
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

// The mean of `length` elements; of 16 bits by a product, as a division takes a slow path.
__device__ __forceinline__ scalar_t mean_of(acc_t sum, int length) {
    return from_acc(sizeof(scalar_t) > 2 ? sum / length : sum * (acc_t(1) / length));
}

// Consecutive elements into shared memory: all of up to DEPTH requests of a thread before one is used.
template <int DEPTH>
__device__ __forceinline__ void stage(const scalar_t* __restrict__ from, int all, scalar_t* sX) {
    const int thread = threadIdx.x;
    if (all % VEC_SIZE == 0 && aligned_to<scalar_t, VEC_SIZE>(from)) {
        using Vec = Block<scalar_t, VEC_SIZE>;
        const int vecs = all / VEC_SIZE;
        for (int first = thread; first < vecs; first += DEPTH * THREADS) {
            Vec vec[DEPTH];
#pragma unroll
            for (int k = 0; k < DEPTH; ++k)
                if (first + k * THREADS < vecs) vec[k] = reinterpret_cast<const Vec*>(from)[first + k * THREADS];
#pragma unroll
            for (int k = 0; k < DEPTH; ++k)
                if (first + k * THREADS < vecs) reinterpret_cast<Vec*>(sX)[first + k * THREADS] = vec[k];
        }
        return;
    }
    // A warp begins where a sector does, so that it touches none twice.
    const int skipped = static_cast<int>(reinterpret_cast<unsigned long long>(from) % 32);
    for (int i = thread - skipped / static_cast<int>(sizeof(scalar_t)); i < all; i += THREADS)
        if (i >= 0) sX[i] = from[i];
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
    stage<4>(x + first * length, all, sX);
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
        y[plane] = mean_of(mean.sum, static_cast<int>(p.length));
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

extern "C" __global__ void __launch_bounds__(THREADS)
global_avg_pool_odd(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Planes p) {
    extern __shared__ __align__(16) unsigned long long memory[];
    scalar_t* const sX = reinterpret_cast<scalar_t*>(memory);
    constexpr int WORD = sizeof(scalar_t) == 2 ? 2 : 1;  // elements
    const index_t first = static_cast<index_t>(blockIdx.x) * THREADS, left = p.count - first;
    const int planes = static_cast<int>(left < THREADS ? left : THREADS);
    const int length = static_cast<int>(p.length), own = static_cast<int>(threadIdx.x);
    stage<8>(x + first * length, planes * length, sX);
    __syncthreads();
    if (own >= planes) return;
    acc_t sum[WORD] = {};
    const auto* word = reinterpret_cast<const Block<scalar_t, WORD>*>(sX) + (own * length + WORD - 1) / WORD;
#pragma unroll 8
    for (int i = 0; i < length / WORD; ++i) {
        acc_t value[WORD];
        unpack(word[i].at, value);
#pragma unroll
        for (int k = 0; k < WORD; ++k) sum[k] += value[k];
    }
    if constexpr (WORD == 2) {  // half of a word, in front or behind
        sum[0] += to_acc(sX[own * length + (own % 2 ? 0 : length - 1)]);
        sum[0] += sum[1];
    }
    y[first + own] = mean_of(sum[0], length);
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
    for (int begin = row; own < channels && begin < length; begin += 4 * CHANNEL_ROWS) {
        Block<scalar_t, VEC_SIZE> vec[4];  // asked for together, the last ones too
#pragma unroll
        for (int r = 0; r < 4; ++r) {
            const int i = begin + r * CHANNEL_ROWS;
            if (i < length) vec[r] = load_block<scalar_t, VEC_SIZE>(from + i * step, VECTORS);
        }
#pragma unroll
        for (int r = 0; r < 4; ++r) {
            if (begin + r * CHANNEL_ROWS >= length) break;
            acc_t value[VEC_SIZE];
            unpack(vec[r].at, value);
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) sum[k] += value[k];
        }
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
    y[image * channels + first + c] = mean_of(all, length);
}

extern "C" __global__ void __launch_bounds__(THREADS)
global_avg_pool_channels(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Planes p) {
    if (aligned_to<scalar_t, VEC_SIZE>(x))
        mean_of_channels<true>(x, y, p);
    else
        mean_of_channels<false>(x, y, p);
}
