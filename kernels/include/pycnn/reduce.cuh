// pycnn/reduce.cuh: one value per thread, an acc_t or an Indexed, reduced over a group of threads.
//
// Groups differ in how they lie in the block; all have thread_rank and size (this thread's place in
// the group), index and num_groups (the group's place among those of the block), and
//   first(offset)      the element of its slice that this thread begins with, where the slice
//                      begins at `offset`; negative: none yet, the next one is in reach
//   smem_index(i, n)   where element i of the group's slice, of n, stands in shared memory, free of
//                      bank conflicts
//   reduce(value, op)  must be reached by all threads of the block. Every thread of the group gets
//                      the same bits, each time: the order depends on the block's shape alone
#pragma once

struct Sum {
    static __device__ __forceinline__ acc_t identity() { return 0; }
    __device__ __forceinline__ acc_t operator()(acc_t a, acc_t b) const { return a + b; }
};

// Passes over a NaN in b: who reduces maxima keeps track of NaN by other means.
struct Max {
    static __device__ __forceinline__ acc_t identity() { return -limits<acc_t>::infinity(); }
    __device__ __forceinline__ acc_t operator()(acc_t a, acc_t b) const {
        return b > a ? b : a;
    }
};

// Integers in the order of the values: NaN counts as the largest, and -0 equals +0.
__device__ __forceinline__ unsigned long long ordered(float x) {
    if (x != x) return 0xffffffffull;
    const unsigned bits = __float_as_uint(x == 0 ? 0.0f : x);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}
__device__ __forceinline__ unsigned long long ordered(double x) {
    if (x != x) return ~0ull;
    const auto bits = static_cast<unsigned long long>(__double_as_longlong(x == 0 ? 0.0 : x));
    return bits >> 63 ? ~bits : bits | 0x8000000000000000ull;
}

// A value as a number that orders like it (`ordered`), and the place where it was found.
struct Indexed {
    unsigned long long key;
    index_t index;
};

constexpr int WARP = 32;
constexpr int SECTOR = 32 / sizeof(scalar_t);  // elements that global memory moves at a time

template <typename T>
__device__ __forceinline__ T exchange(T value, int distance) {
    return __shfl_xor_sync(0xffffffffu, value, distance);
}

__device__ __forceinline__ Indexed exchange(Indexed mine, int distance) {
    return {exchange(mine.key, distance), exchange(mine.index, distance)};
}

// Over `size` neighbouring lanes, a power of two. A butterfly: op(a, b) == op(b, a), bit for bit,
// so all lanes end with the same value.
template <typename T, typename Op>
__device__ __forceinline__ T lane_reduce(T value, Op op, int size) {
    if (size == WARP) {  // most often, and with no instructions but its own
#pragma unroll
        for (int distance = WARP / 2; distance > 0; distance /= 2)
            value = op(value, exchange(value, distance));
        return value;
    }
    for (int distance = size / 2; distance > 0; distance /= 2)
        value = op(value, exchange(value, distance));
    return value;
}

// Over the whole block, of any shape but with whole warps. `partial`: shared, WARP elements.
template <typename T, typename Op>
__device__ __forceinline__ T block_reduce(T value, Op op, T* partial) {
    const int thread = threadIdx.y * blockDim.x + threadIdx.x;
    const int warps = blockDim.x * blockDim.y / WARP;
    const int lane = thread % WARP;
    value = lane_reduce(value, op, WARP);
    if (lane == 0) partial[thread / WARP] = value;
    __syncthreads();
    value = lane_reduce(lane < warps ? partial[lane] : Op::identity(), op, WARP);
    __syncthreads();  // all have read before the next reduction writes
    return value;
}

// Block (size, num_groups): neighbouring lanes of one warp, size a power of two up to 32.
struct LaneGroup {
    int thread_rank = threadIdx.x, size = blockDim.x, index = threadIdx.y, num_groups = blockDim.y;

    // A full warp begins where the sector does, so that it touches no sector twice.
    __device__ __forceinline__ index_t first(index_t offset) const {
        return size == WARP ? thread_rank - (offset & (SECTOR - 1)) : thread_rank;
    }
    __device__ __forceinline__ index_t smem_index(index_t i, index_t cached) const {
        return index * cached + i;
    }
    template <typename T, typename Op>
    __device__ __forceinline__ T reduce(T value, Op op) const {
        return lane_reduce(value, op, size);
    }
};

// Block (size): all of it.
template <typename T>
struct BlockGroup {
    T* partial;  // shared, WARP elements
    int thread_rank = threadIdx.x, size = blockDim.x, index = 0, num_groups = 1;

    __device__ __forceinline__ explicit BlockGroup(T* shared) : partial(shared) {}
    __device__ __forceinline__ index_t first(index_t offset) const {
        return thread_rank - (offset & (SECTOR - 1));
    }
    __device__ __forceinline__ index_t smem_index(index_t i, index_t) const { return i; }
    template <typename Op>
    __device__ __forceinline__ T reduce(T value, Op op) const {
        return block_reduce(value, op, partial);
    }
};

// Block (num_groups, size): the threads with one threadIdx.x, so that neighbours work on
// neighbouring slices.
template <typename T>
struct ColumnGroup {
    T* partial;  // shared, an element per thread of the block
    int thread_rank = threadIdx.y, size = blockDim.y, index = threadIdx.x, num_groups = blockDim.x;

    __device__ __forceinline__ explicit ColumnGroup(T* shared) : partial(shared) {}
    __device__ __forceinline__ index_t first(index_t) const { return thread_rank; }
    __device__ __forceinline__ index_t smem_index(index_t i, index_t) const {
        return i * num_groups + index;
    }
    template <typename Op>
    __device__ __forceinline__ T reduce(T value, Op op) const {
        partial[thread_rank * num_groups + index] = value;
        __syncthreads();
        value = partial[index];
        for (int other = 1; other < size; ++other)
            value = op(value, partial[other * num_groups + index]);
        __syncthreads();  // all have read before the next reduction writes
        return value;
    }
};
