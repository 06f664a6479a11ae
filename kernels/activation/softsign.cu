// activation/softsign.cu: x / (1 + |x|), and its gradient.
//
// Computes   y[i] = x[i] / (1 + |x[i]|)        dx[i] = dy[i] / (1 + |x[i]|)^2
// Layout     softsign, softsign_backward: all contiguous. *_strided: x and dy of any strides
// Launch     block 256, 16 bytes of the result a thread, grid of as many blocks as that needs;
//            no shared memory
// Traffic    |x| + |y|, backward |dy| + |x| + |dx| bytes: bound by bandwidth
// Range      any length; NaN for NaN and for infinities, in the gradient too, as in PyTorch
// Siblings   tanh, which reaches its limits faster
// Source     Bergstra et al.: Quadratic polynomials learn better image features, 2009
//
// entry softsign                   x / (1 + |x|), contiguous
// entry softsign_strided           x / (1 + |x|), any strides
// entry softsign_backward          gradient of softsign, contiguous
// entry softsign_backward_strided  gradient of softsign, any strides
// variant SCALAR = floating
#include <pycnn/map.cuh>

struct Forward {
    __device__ __forceinline__ acc_t operator()(acc_t x) const { return x / (1 + fabs(x)); }
};

struct Backward {
    __device__ __forceinline__ acc_t operator()(acc_t dy, acc_t x) const {
        const acc_t r = 1 / (1 + fabs(x));
        return dy * (r * r + 0 * x);  // 0 * x: NaN at infinities, where y is NaN
    }
};

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
softsign(const scalar_t* x, scalar_t* y, index_t count) {
    elementwise_contiguous(Forward(), count, y, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
softsign_strided(const scalar_t* x, scalar_t* y, index_t count, MapViews<1> v) {
    elementwise_strided(Forward(), count, y, v, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
softsign_backward(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count) {
    elementwise_contiguous(Backward(), count, dx, dy, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
softsign_backward_strided(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count,
                          MapViews<2> v) {
    elementwise_strided(Backward(), count, dx, v, dy, x);
}
