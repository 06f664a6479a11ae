// activation/leaky_relu.cu: rectified linear unit with a slope below zero, and its gradient.
//
// Computes   y[i] = x[i] > 0 ? x[i] : slope x[i]          dx[i] = x[i] > 0 ? dy[i] : slope dy[i]
// Layout     leaky_relu, leaky_relu_backward: all contiguous. *_strided: x and dy of any strides
// Launch     block 256, 16 bytes of the result a thread, grid of as many blocks as that needs;
//            no shared memory
// Traffic    |x| + |y|, backward |dy| + |x| + |dx| bytes: bound by bandwidth
// Range      any length, any slope; NaN stays NaN
// Siblings   prelu, whose slope is learned
// Source     Maas et al.: Rectifier nonlinearities improve neural network acoustic models, 2013
//
// entry leaky_relu                   rectified linear unit with a slope below zero, contiguous
// entry leaky_relu_strided           rectified linear unit with a slope below zero, any strides
// entry leaky_relu_backward          gradient of leaky_relu, contiguous
// entry leaky_relu_backward_strided  gradient of leaky_relu, any strides
// variant SCALAR = floating
#include <pycnn/map.cuh>

struct Forward {
    acc_t slope;
    __device__ __forceinline__ acc_t operator()(acc_t x) const { return x > 0 ? x : slope * x; }
};

struct Backward {
    acc_t slope;
    __device__ __forceinline__ acc_t operator()(acc_t dy, acc_t x) const {
        return x > 0 ? dy : slope * dy;
    }
};

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
leaky_relu(const scalar_t* x, scalar_t* y, index_t count, acc_t slope) {
    elementwise_contiguous(Forward{slope}, count, y, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
leaky_relu_strided(const scalar_t* x, scalar_t* y, index_t count, acc_t slope, MapViews<1> v) {
    elementwise_strided(Forward{slope}, count, y, v, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
leaky_relu_backward(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count,
                    acc_t slope) {
    elementwise_contiguous(Backward{slope}, count, dx, dy, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
leaky_relu_backward_strided(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count,
                            acc_t slope, MapViews<2> v) {
    elementwise_strided(Backward{slope}, count, dx, v, dy, x);
}
