// activation/tanh.cu: hyperbolic tangent, and its gradient.
//
// Computes   y[i] = tanh(x[i])                 dx[i] = dy[i] (1 - tanh(x[i])^2)
// Layout     tanh_forward, tanh_backward: all contiguous. *_strided: x and dy of any strides
// Launch     block 256, 16 bytes of the result a thread, grid of as many blocks as that needs;
//            no shared memory
// Traffic    |x| + |y|, backward |dy| + |x| + |dx| bytes: bound by bandwidth
// Range      any length; 1 - tanh(x)^2 keeps its digits where it is tiny, as 4 e / (1 + e)^2 with
//            e = exp(-2 |x|); NaN stays NaN
// Siblings   sigmoid, which is (1 + tanh(x / 2)) / 2
// Source     the definition
//
// entry tanh_forward           hyperbolic tangent, contiguous
// entry tanh_forward_strided   hyperbolic tangent, any strides
// entry tanh_backward          gradient of tanh, contiguous
// entry tanh_backward_strided  gradient of tanh, any strides
// variant SCALAR = floating
#include <pycnn/logistic.cuh>
#include <pycnn/map.cuh>

struct Forward {
    __device__ __forceinline__ acc_t operator()(acc_t x) const { return tanh(x); }
};

struct Backward {
    __device__ __forceinline__ acc_t operator()(acc_t dy, acc_t x) const {
        return dy * (4 * Logistic(2 * x).slope);
    }
};

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
tanh_forward(const scalar_t* x, scalar_t* y, index_t count) {
    elementwise_contiguous(Forward(), count, y, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
tanh_forward_strided(const scalar_t* x, scalar_t* y, index_t count, MapViews<1> v) {
    elementwise_strided(Forward(), count, y, v, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
tanh_backward(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count) {
    elementwise_contiguous(Backward(), count, dx, dy, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
tanh_backward_strided(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count,
                      MapViews<2> v) {
    elementwise_strided(Backward(), count, dx, v, dy, x);
}
