// check/values.cu: whether an array holds nothing but what an operation allows.
//
// Computes   found.wrong = 1 if any x[i] is neither in [low, high] nor `also`, and found.least =
//            the least such x[i], as a number that orders like it, NaN first; else neither changes
// Layout     x any strides; found two words, begun as (all bits one, zero)
// Launch     block 256, at most 1024 blocks, which walk over the elements
// Traffic    |x| bytes; nothing is written unless something is wrong
// Range      any extents, 64-bit index arithmetic. Integer minima and maxima, in any order alike
// Siblings   the host looks at NumPy arrays itself; this is for arrays on a GPU, whose values it
//            would have to wait for. `found` lies in the host's memory
// Source     -
//
// entry check_integers  int64, such as the class indices of a loss
// entry check_narrow    int32, such as these
// entry check_floats    float32, such as the scales of a quantised convolution
#include <pycnn/kernel.cuh>
#include <pycnn/reduce.cuh>
#include <pycnn/strided.cuh>

constexpr int THREADS = 256;

// pycnn.runtime.faults.NOTHING
struct Found {
    unsigned long long least, wrong;
};

__device__ __forceinline__ unsigned long long place(index_t value) {
    return static_cast<unsigned long long>(value) ^ 0x8000000000000000ull;
}
__device__ __forceinline__ unsigned long long place(int value) { return place(index_t(value)); }
__device__ __forceinline__ unsigned long long place(float value) {
    return value != value ? 0 : ordered(value);
}

template <typename T>
__device__ __forceinline__ void check(const T* __restrict__ x, Found* __restrict__ found,
                                      index_t count, const Strided<1>& view, T low, T high,
                                      T also) {
    __shared__ unsigned long long least;
    if (threadIdx.x == 0) least = ~0ull;
    unsigned long long own = ~0ull;
    bool wrong = false;
    for (index_t i = flat_thread(); i < count; i += static_cast<index_t>(gridDim.x) * THREADS) {
        index_t at[1];
        view.locate(i, at);
        const T value = ldg(x + at[0]);
        if ((value >= low && value <= high) || value == also) continue;
        wrong = true;
        if (place(value) < own) own = place(value);
    }
    if (!__syncthreads_or(wrong)) return;
    if (wrong) atomicMin(&least, own);
    __syncthreads();
    if (threadIdx.x != 0) return;
    atomicMin(&found->least, least);
    atomicMax(&found->wrong, 1ull);
}

extern "C" __global__ void __launch_bounds__(THREADS)
check_integers(const index_t* __restrict__ x, Found* __restrict__ found, index_t count,
               Strided<1> view, index_t low, index_t high, index_t also) {
    check(x, found, count, view, low, high, also);
}

extern "C" __global__ void __launch_bounds__(THREADS)
check_narrow(const int* __restrict__ x, Found* __restrict__ found, index_t count,
             Strided<1> view, int low, int high, int also) {
    check(x, found, count, view, low, high, also);
}

extern "C" __global__ void __launch_bounds__(THREADS)
check_floats(const float* __restrict__ x, Found* __restrict__ found, index_t count,
             Strided<1> view, float low, float high, float also) {
    check(x, found, count, view, low, high, also);
}
