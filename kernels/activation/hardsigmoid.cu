// activation/hardsigmoid.cu: piecewise linear form of the logistic function, and its gradient.
//
// Computes   y[i] = min(max(x[i] + 3, 0), 6) / 6          dx[i] = -3 < x[i] < 3 ? dy[i] / 6 : 0
// Layout     hardsigmoid, hardsigmoid_backward: all contiguous. *_strided: x and dy of any strides
// Launch     block 256, 16 bytes of the result a thread, grid of as many blocks as that needs;
//            no shared memory
// Traffic    |x| + |y|, backward |dy| + |x| + |dx| bytes: bound by bandwidth
// Range      any length; NaN stays NaN, and stops its gradient, as in PyTorch
// Siblings   sigmoid; hardswish, which multiplies it by x
// Source     Howard et al.: Searching for MobileNetV3, ICCV 2019
//
// entry hardsigmoid                   piecewise linear form of the logistic function, contiguous
// entry hardsigmoid_strided           piecewise linear form of the logistic function, any strides
// entry hardsigmoid_backward          gradient of hardsigmoid, contiguous
// entry hardsigmoid_backward_strided  gradient of hardsigmoid, any strides
// variant SCALAR = floating
#include <pycnn/map.cuh>

struct Forward {
    __device__ __forceinline__ acc_t operator()(acc_t x) const {
        const acc_t six = x + 3;
        return (six < 0 ? acc_t(0) : six > 6 ? acc_t(6) : six) / 6;
    }
};

struct Backward {
    __device__ __forceinline__ acc_t operator()(acc_t dy, acc_t x) const {
        return x > -3 && x < 3 ? dy / 6 : acc_t(0);
    }
};

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
hardsigmoid(const scalar_t* x, scalar_t* y, index_t count) {
    elementwise_contiguous(Forward(), count, y, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
hardsigmoid_strided(const scalar_t* x, scalar_t* y, index_t count, MapViews<1> v) {
    elementwise_strided(Forward(), count, y, v, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
hardsigmoid_backward(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count) {
    elementwise_contiguous(Backward(), count, dx, dy, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
hardsigmoid_backward_strided(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count,
                             MapViews<2> v) {
    elementwise_strided(Backward(), count, dx, v, dy, x);
}
