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
// Traffic    |x| + |y| (+ |indices|) bytes; an addition or comparison an element
// Range      any extents, 64-bit index arithmetic. As in PyTorch the index is that of the first
//            maximum in row-major order, or of the last NaN. Sums are added up in an order that
//            depends on the shape alone
// Siblings   avg_pool.cu, max_pool.cu: one thread a window. Their backward kernels are those of
//            this one too: the window is the whole plane
// Source     Lin, Chen, Yan: Network in network, 2013
//
// entry global_avg_pool  mean of every plane
// entry global_max_pool  maximum of every plane, optionally with its index
// variant SCALAR = floating
// variant STAGED = 0, 1
#include <pycnn/kernel.cuh>
#include <pycnn/strided.cuh>

#ifndef STAGED
#define STAGED 0
#endif

constexpr int THREADS = 256;

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

// store(plane, what all its elements come to), by one thread a plane.
template <typename Fold, typename Store>
__device__ __forceinline__ void reduce(const scalar_t* __restrict__ x, const Planes& p,
                                       Store store) {
    const int thread = threadIdx.x, group_size = static_cast<int>(p.group_size);
    const int num_groups = THREADS / group_size;
    const int group = p.across ? thread % num_groups : thread / group_size;
    const int thread_rank = p.across ? thread / num_groups : thread % group_size;
    const index_t first = static_cast<index_t>(blockIdx.x) * num_groups, plane = first + group;
    Fold fold;
#if STAGED
    extern __shared__ unsigned long long memory[];
    scalar_t* sX = reinterpret_cast<scalar_t*>(memory);
    const index_t planes = p.count - first < num_groups ? p.count - first : num_groups;
    const scalar_t* from = x + first * p.length;
    // A warp begins where a sector does, so that it touches none twice.
    const int skipped = static_cast<int>(reinterpret_cast<unsigned long long>(from) % 32);
    for (int i = thread - skipped / static_cast<int>(sizeof(scalar_t)); i < planes * p.length;
         i += THREADS)
        if (i >= 0) sX[i] = from[i];
    __syncthreads();
    if (plane < p.count)
        for (int i = thread_rank; i < p.length; i += group_size)
            fold.add(to_acc(sX[group * p.length + i]), i);
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
#endif
    __shared__ unsigned long long partial_memory[THREADS * sizeof(Fold) / 8];
    Fold* partial = reinterpret_cast<Fold*>(partial_memory);
    const int beside = p.across ? num_groups : 1;  // from a thread to the next of its group
    partial[thread] = fold;
    for (int distance = group_size / 2; distance > 0; distance /= 2) {
        __syncthreads();
        if (thread_rank < distance) {
            fold.merge(partial[thread + distance * beside]);
            partial[thread] = fold;
        }
    }
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
