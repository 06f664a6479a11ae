// elementwise/add_n.cu: sum of up to eight arrays with broadcasting, and its gradients.
//
// Computes   y[i] = x0[i] + x1[i] + ...       d0[i] = d1[i] = ... = dy[i]
// Layout     operands and dy of any strides, zero along axes that an operand is broadcast over;
//            results contiguous. Null pointers for operands that are not there
// Launch     block 256, 16 bytes of a result a thread; grid of as many blocks as that needs; no
//            shared memory
// Traffic    every operand once and every result once: bound by bandwidth
// Range      any length; 64-bit index arithmetic. One rounding to a 16-bit type, of the whole sum.
//            Gradients here are of operands that were not broadcast; elementwise/add.cu sums others
// Siblings   add, for two, with a factor
// Source     the definition; broadcasting as in NumPy
//
// entry add_n                   sum, contiguous operands of one shape
// entry add_n_strided           sum, any strides
// entry add_n_backward          dy to every operand, contiguous
// entry add_n_backward_strided  dy to every operand, dy of any strides
// variant SCALAR = floating
#include <pycnn/map.cuh>

constexpr int MOST = 8;

struct Total {
    template <typename... Values>
    __device__ __forceinline__ acc_t operator()(Values... values) const {
        return (... + values);
    }
};

struct Same {
    __device__ __forceinline__ acc_t operator()(acc_t dy) const { return dy; }
};

struct Outputs {
    scalar_t* at[MOST];  // null where there is none
};

__device__ __forceinline__ bool aligned(const Outputs& to) {
    bool all = true;
#pragma unroll
    for (int o = 0; o < MOST; ++o) all = all && aligned(to.at[o]);
    return all;
}
__device__ __forceinline__ void store(const Outputs& to, index_t i, acc_t value) {
#pragma unroll
    for (int o = 0; o < MOST; ++o)
        if (to.at[o]) store(to.at[o], i, value);
}
__device__ __forceinline__ void store_vec(const Outputs& to, index_t i, Same, const Vec& vec) {
#pragma unroll
    for (int o = 0; o < MOST; ++o)
        if (to.at[o]) *reinterpret_cast<Vec*>(to.at[o] + i) = vec;
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
add_n(const scalar_t* x0, const scalar_t* x1, const scalar_t* x2, const scalar_t* x3,
      const scalar_t* x4, const scalar_t* x5, const scalar_t* x6, const scalar_t* x7, scalar_t* y,
      index_t count) {
    elementwise_contiguous(Total(), count, y, x0, Optional{x1}, Optional{x2}, Optional{x3},
                           Optional{x4}, Optional{x5}, Optional{x6}, Optional{x7});
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS, 1)
add_n_strided(const scalar_t* x0, const scalar_t* x1, const scalar_t* x2, const scalar_t* x3,
              const scalar_t* x4, const scalar_t* x5, const scalar_t* x6, const scalar_t* x7,
              scalar_t* y, index_t count, MapViews<MOST> v) {
    elementwise_strided(Total(), count, y, v, x0, Optional{x1}, Optional{x2}, Optional{x3},
                        Optional{x4}, Optional{x5}, Optional{x6}, Optional{x7});
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
add_n_backward(const scalar_t* dy, scalar_t* d0, scalar_t* d1, scalar_t* d2, scalar_t* d3,
               scalar_t* d4, scalar_t* d5, scalar_t* d6, scalar_t* d7, index_t count) {
    elementwise_contiguous(Same(), count, Outputs{{d0, d1, d2, d3, d4, d5, d6, d7}}, dy);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
add_n_backward_strided(const scalar_t* dy, scalar_t* d0, scalar_t* d1, scalar_t* d2, scalar_t* d3,
                       scalar_t* d4, scalar_t* d5, scalar_t* d6, scalar_t* d7, index_t count,
                       MapViews<1> v) {
    elementwise_strided(Same(), count, Outputs{{d0, d1, d2, d3, d4, d5, d6, d7}}, v, dy);
}
