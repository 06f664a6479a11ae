// topk/topk.cu: the k largest or smallest elements along one axis, in order, and the gradient.
//
// Computes   values[j], indices[j] = the j-th element of the slice in the order: larger first (or
//            smaller first), of equal ones the first. NaN counts as the largest, -0 equals +0
//            dx[indices[j]] = dy[j], zero elsewhere
// Layout     x, dy, indices: any strides; results contiguous
// Launch     topk_slices: block 256, one slice; k at most 1024. backward_*: groups over the axis as
//            in softmax/softmax.cu
// Traffic    |x| + |values| + |indices| bytes where a slice fits in shared memory, else |x| for
//            each digit; backward |dy| + |indices| + |dx|
// Range      any extents, 64-bit index arithmetic; an index outside the slice is ignored
// Siblings   slices along an axis that is not the last are read one sector an element
// Source     radix select: Alabi, Blanchard, Gordon, Steinbach: Fast k-selection algorithms for
//            graphics processing units, 2012; bitonic sort: Batcher 1968. The digits' histogram is
//            of integers, whose atomic sums do not depend on their order
//
// entry topk_slices              values and indices, a block a slice
// entry topk_backward_rows       gradient, axis last, a few lanes a slice
// entry topk_backward_long_rows  gradient, axis last, a block a slice
// entry topk_backward_columns    gradient, another axis
// variant SCALAR = floating
#include <pycnn/kernel.cuh>
#include <pycnn/slices.cuh>

using Key = unsigned long long;  // larger is better

constexpr int THREADS = 256;
constexpr int DIGIT = 8, BINS = 1 << DIGIT;
constexpr int KEY_BITS = 8 * sizeof(acc_t);

struct Params {
    index_t k, padded;  // padded: the next power of two
    index_t largest;
};

// A slice in the order of its elements; its first elements in shared memory.
struct Keys {
    const scalar_t* from;
    index_t stride;
    const scalar_t* smem;
    index_t cached;
    bool largest;

    __device__ __forceinline__ scalar_t raw(index_t i) const {
        return i < cached ? smem[i] : ldg(from + i * stride);
    }
    __device__ __forceinline__ Key operator()(index_t i) const {
        const Key key = ordered(to_acc(raw(i)));
        return largest ? key : ~key & (~Key(0) >> (64 - KEY_BITS));
    }
};

// By the first warp: the bin of the element number `wanted` from the top, counted from 1, and how
// many of the bin's elements come up to it.
__device__ __forceinline__ void find_bin(const unsigned* bins, unsigned wanted, unsigned* found) {
    const int lane = threadIdx.x;
    constexpr int EACH = BINS / WARP;
    unsigned own = 0;
    for (int b = 0; b < EACH; ++b) own += bins[BINS - 1 - (lane * EACH + b)];
    unsigned upto = own;
    for (int distance = 1; distance < WARP; distance *= 2) {
        const unsigned other = __shfl_up_sync(0xffffffffu, upto, distance);
        if (lane >= distance) upto += other;
    }
    unsigned before = upto - own;
    if (wanted <= before || wanted > upto) return;
    for (int b = 0; b < EACH; ++b) {
        const int bin = BINS - 1 - (lane * EACH + b);
        if (wanted <= before + bins[bin]) {
            found[0] = bin;
            found[1] = wanted - before;
            return;
        }
        before += bins[bin];
    }
}

// The key of the k-th element; `equal` of the elements with this key are among the k.
__device__ __forceinline__ Key select(const Keys& keys, index_t length, unsigned k,
                                      unsigned& equal) {
    __shared__ unsigned bins[BINS], found[2];
    Key prefix = 0;
    for (int shift = KEY_BITS - DIGIT; shift >= 0; shift -= DIGIT) {
        bins[threadIdx.x] = 0;
        __syncthreads();
        for (index_t i = threadIdx.x; i < length; i += THREADS) {
            const Key digits = keys(i) >> shift;
            if (digits >> DIGIT == prefix) atomicAdd(&bins[digits & (BINS - 1)], 1u);
        }
        __syncthreads();
        if (threadIdx.x < WARP) find_bin(bins, k, found);
        __syncthreads();
        prefix = prefix << DIGIT | found[0];
        k = found[1];
    }
    equal = k;
    return prefix;
}

// Place of this thread's element among those of all threads so far that are `in`; advances `count`.
__device__ __forceinline__ index_t place_of(bool in, unsigned* warps, index_t& count) {
    const unsigned ballot = __ballot_sync(0xffffffffu, in);
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    if (lane == 0) warps[warp] = __popc(ballot);
    __syncthreads();
    index_t place = count + __popc(ballot & ((1u << lane) - 1));
    for (int w = 0; w < THREADS / WARP; ++w) {
        if (w < warp) place += warps[w];
        count += warps[w];
    }
    __syncthreads();
    return place;
}

// Batcher's bitonic network: better first, of equal keys the one that came first.
__device__ __forceinline__ void sort(Key* key, index_t* index, index_t count) {
    for (index_t size = 2; size <= count; size *= 2) {
        for (index_t distance = size / 2; distance > 0; distance /= 2) {
            __syncthreads();
            for (index_t i = threadIdx.x; i < count / 2; i += THREADS) {
                const index_t a = 2 * i - (i & (distance - 1)), b = a + distance;
                const bool swapped = (a & size) != 0;
                const bool ahead = key[a] > key[b] || (key[a] == key[b] && index[a] < index[b]);
                if (ahead != swapped) continue;
                const Key k = key[a];
                const index_t n = index[a];
                key[a] = key[b], index[a] = index[b];
                key[b] = k, index[b] = n;
            }
        }
    }
    __syncthreads();
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
    topk_slices(const scalar_t* __restrict__ x, scalar_t* __restrict__ values,
                index_t* __restrict__ indices, Slices<3> p, Params to) {
    extern __shared__ __align__(16) scalar_t smem[];
    __shared__ unsigned warps[THREADS / WARP];
    __shared__ acc_t unused[WARP];
    const BlockGroup group(unused);
    const Partition<3> part(group, p, blockIdx.x);
    const Slice<BlockGroup<acc_t>> slice(group, x, 0, p.length, part, p, smem);
    if (!p.staged)
        for (index_t i = threadIdx.x; i < p.cached; i += THREADS)
            slice.smem[i] = ldg(slice.from + i * slice.stride);
    const Keys keys = {slice.from, slice.stride, slice.smem, p.cached, to.largest != 0};

    unsigned equal;
    const Key last = select(keys, p.length, static_cast<unsigned>(to.k), equal);
    Key* key = reinterpret_cast<Key*>(smem + p.room);
    index_t* index = reinterpret_cast<index_t*>(key + to.padded);
    for (index_t j = to.k + threadIdx.x; j < to.padded; j += THREADS) {
        key[j] = 0;
        index[j] = p.length;  // behind all others
    }
    index_t better = 0, same = 0;
    for (index_t first = 0; first < p.length; first += THREADS) {
        const index_t i = first + threadIdx.x;
        const Key mine = i < p.length ? keys(i) : 0;
        const bool above = i < p.length && mine > last;
        const bool level = i < p.length && mine == last;
        const index_t place = place_of(above, warps, better);
        const index_t among = place_of(level, warps, same);
        if (!above && !(level && among < equal)) continue;
        const index_t j = above ? place : to.k - equal + among;
        key[j] = mine;
        index[j] = i;
    }
    sort(key, index, to.padded);
    for (index_t j = threadIdx.x; j < to.k; j += THREADS) {
        values[part.at[1] + j * p.axis_stride[1]] = keys.raw(index[j]);
        indices[part.at[2] + j * p.axis_stride[2]] = index[j];
    }
}

template <typename Group>
__device__ __forceinline__ void backward(const Group& group, const scalar_t* __restrict__ dy,
                                         const index_t* __restrict__ indices,
                                         scalar_t* __restrict__ dx, const Slices<3>& p, index_t k,
                                         scalar_t* smem) {
    const Partition<3> part(group, p, static_cast<index_t>(blockIdx.x) * group.num_groups);
    const index_t start = part.at[0];
    const Slice<Group> out(group, dx, 0, part.length, part, p, smem, false);
    each(group, start, part.length,
         [&](index_t i) { out.store(i, dx + start, p.axis_stride[0], 0); });
    __syncthreads();
    for (index_t j = group.thread_rank; part.inside() && j < k; j += group.size) {
        const index_t to = indices[part.at[2] + j * p.axis_stride[2]];
        if (to < 0 || to >= p.length) continue;
        out.store(to, dx + start, p.axis_stride[0],
                  to_acc(dy[part.at[1] + j * p.axis_stride[1]]));
    }
    out.store_staged(dx + part.block[0], part.tile);
}

#define BACKWARD_PARAMETERS                                                             \
    const scalar_t *__restrict__ dy, const index_t *__restrict__ indices,               \
        scalar_t *__restrict__ dx, Slices<3> p, index_t k

extern "C" __global__ void __launch_bounds__(256, 1) topk_backward_rows(BACKWARD_PARAMETERS) {
    extern __shared__ __align__(16) scalar_t smem[];
    backward(LaneGroup(), dy, indices, dx, p, k, smem);
}

extern "C" __global__ void __launch_bounds__(512, 1) topk_backward_long_rows(BACKWARD_PARAMETERS) {
    extern __shared__ __align__(16) scalar_t smem[];
    __shared__ acc_t partial[WARP];
    backward(BlockGroup(partial), dy, indices, dx, p, k, smem);
}

extern "C" __global__ void __launch_bounds__(256, 1) topk_backward_columns(BACKWARD_PARAMETERS) {
    extern __shared__ __align__(16) scalar_t smem[];
    __shared__ acc_t partial[256];
    backward(ColumnGroup(partial), dy, indices, dx, p, k, smem);
}
