// activation/hardswish.cu: piecewise form of silu, and its gradient.
//
// Computes   y[i] = x[i] min(max(x[i] + 3, 0), 6) / 6
//            dx[i] = dy[i] (x[i] <= -3 ? 0 : x[i] < 3 ? x[i] / 3 + 1/2 : 1)
// Layout     hardswish, hardswish_backward: all contiguous. *_strided: x and dy of any strides
// Launch     block 256, 16 bytes of the result a thread, grid of as many blocks as that needs;
//            no shared memory
// Traffic    |x| + |y|, backward |dy| + |x| + |dx| bytes: bound by bandwidth
// Range      any length; NaN stays NaN and lets its gradient through, -infinity gives NaN, as
//            in PyTorch
// Siblings   silu; hardsigmoid
// Source     Howard et al.: Searching for MobileNetV3, ICCV 2019
//
// entry hardswish                   piecewise form of silu, contiguous
// entry hardswish_strided           piecewise form of silu, any strides
// entry hardswish_backward          gradient of hardswish, contiguous
// entry hardswish_backward_strided  gradient of hardswish, any strides
// variant SCALAR = floating
#include <pycnn/map.cuh>

struct Forward {
    __device__ __forceinline__ acc_t operator()(acc_t x) const {
        const acc_t six = x + 3;
        return x * ((six < 0 ? acc_t(0) : six > 6 ? acc_t(6) : six) / 6);
    }
};

struct Backward {
    __device__ __forceinline__ acc_t operator()(acc_t dy, acc_t x) const {
        if (x <= -3) return 0;
        return x < 3 ? dy * (x / 3 + acc_t(0.5)) : dy;
    }
};

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
hardswish(const scalar_t* x, scalar_t* y, index_t count) {
    elementwise_contiguous(Forward(), count, y, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
hardswish_strided(const scalar_t* x, scalar_t* y, index_t count, MapViews<1> v) {
    elementwise_strided(Forward(), count, y, v, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
hardswish_backward(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count) {
    elementwise_contiguous(Backward(), count, dx, dy, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
hardswish_backward_strided(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count,
                           MapViews<2> v) {
    elementwise_strided(Backward(), count, dx, v, dy, x);
}
