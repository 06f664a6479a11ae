// activation/sigmoid.cu: logistic function, and its gradient.
//
// Computes   y[i] = s(x[i]) = 1 / (1 + exp(-x[i]))        dx[i] = dy[i] s(x[i]) (1 - s(x[i]))
// Layout     sigmoid, sigmoid_backward: all contiguous. *_strided: x and dy of any strides
// Launch     block 256, 16 bytes of the result a thread, grid of as many blocks as that needs;
//            no shared memory
// Traffic    |x| + |y|, backward |dy| + |x| + |dx| bytes: bound by bandwidth
// Range      any length; y and 1 - y keep their digits where they are tiny; NaN stays NaN
// Siblings   hardsigmoid, its piecewise linear form
// Source     the definition
//
// entry sigmoid                   logistic function, contiguous
// entry sigmoid_strided           logistic function, any strides
// entry sigmoid_backward          gradient of sigmoid, contiguous
// entry sigmoid_backward_strided  gradient of sigmoid, any strides
// variant SCALAR = floating
#include <pycnn/logistic.cuh>
#include <pycnn/map.cuh>

struct Forward {
    __device__ __forceinline__ acc_t operator()(acc_t x) const { return Logistic(x).value; }
};

struct Backward {
    __device__ __forceinline__ acc_t operator()(acc_t dy, acc_t x) const {
        return dy * Logistic(x).slope;
    }
};

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
sigmoid(const scalar_t* x, scalar_t* y, index_t count) {
    elementwise_contiguous(Forward(), count, y, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
sigmoid_strided(const scalar_t* x, scalar_t* y, index_t count, MapViews<1> v) {
    elementwise_strided(Forward(), count, y, v, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
sigmoid_backward(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count) {
    elementwise_contiguous(Backward(), count, dx, dy, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
sigmoid_backward_strided(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count,
                         MapViews<2> v) {
    elementwise_strided(Backward(), count, dx, v, dy, x);
}
