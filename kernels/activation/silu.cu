// activation/silu.cu: sigmoid linear unit, or swish, and its gradient.
//
// Computes   y[i] = x[i] s(x[i])               dx[i] = dy[i] (s(x[i]) + x[i] s'(x[i]))
//            s the logistic function
// Layout     silu, silu_backward: all contiguous. *_strided: x and dy of any strides
// Launch     block 256, 16 bytes of the result a thread, grid of as many blocks as that needs;
//            no shared memory
// Traffic    |x| + |y|, backward |dy| + |x| + |dx| bytes: bound by bandwidth
// Range      any length; NaN stays NaN; -infinity gives NaN, as in PyTorch
// Siblings   hardswish, its piecewise form; gelu
// Source     Ramachandran, Zoph, Le: Searching for activation functions, 2017
//
// entry silu                   sigmoid linear unit, or swish, contiguous
// entry silu_strided           sigmoid linear unit, or swish, any strides
// entry silu_backward          gradient of silu, contiguous
// entry silu_backward_strided  gradient of silu, any strides
// variant SCALAR = floating
#include <pycnn/logistic.cuh>
#include <pycnn/map.cuh>

struct Forward {
    __device__ __forceinline__ acc_t operator()(acc_t x) const { return x * Logistic(x).value; }
};

struct Backward {
    __device__ __forceinline__ acc_t operator()(acc_t dy, acc_t x) const {
        const Logistic s(x);
        return dy * (s.value + x * s.slope);
    }
};

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
silu(const scalar_t* x, scalar_t* y, index_t count) {
    elementwise_contiguous(Forward(), count, y, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
silu_strided(const scalar_t* x, scalar_t* y, index_t count, MapViews<1> v) {
    elementwise_strided(Forward(), count, y, v, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
silu_backward(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count) {
    elementwise_contiguous(Backward(), count, dx, dy, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
silu_backward_strided(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count,
                      MapViews<2> v) {
    elementwise_strided(Backward(), count, dx, v, dy, x);
}
