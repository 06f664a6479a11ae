// activation/softplus.cu: smooth form of the rectified linear unit, and its gradient.
//
// Computes   y[i] = beta x[i] > threshold ? x[i] : log(1 + exp(beta x[i])) / beta
//            dx[i] = dy[i] (beta x[i] > threshold ? 1 : s(beta x[i])), s the logistic function
// Layout     softplus, softplus_backward: all contiguous. *_strided: x and dy of any strides
// Launch     block 256, 16 bytes of the result a thread, grid of as many blocks as that needs;
//            no shared memory
// Traffic    |x| + |y|, backward |dy| + |x| + |dx| bytes: bound by bandwidth
// Range      any length, beta not zero; never overflows: log(1 + exp(t)) is
//            max(t, 0) + log1p(exp(-|t|)). NaN stays NaN
// Siblings   relu, its limit for large beta
// Source     Dugas et al.: Incorporating second-order functional knowledge, NIPS 2000
//
// entry softplus                   smooth form of the rectified linear unit, contiguous
// entry softplus_strided           smooth form of the rectified linear unit, any strides
// entry softplus_backward          gradient of softplus, contiguous
// entry softplus_backward_strided  gradient of softplus, any strides
// variant SCALAR = floating
#include <pycnn/logistic.cuh>
#include <pycnn/map.cuh>

struct Forward {
    acc_t beta, threshold;
    __device__ __forceinline__ acc_t operator()(acc_t x) const {
        const acc_t t = beta * x;
        if (t > threshold) return x;
        return ((t < 0 ? acc_t(0) : t) + log1p(exp(-fabs(t)))) / beta;
    }
};

struct Backward {
    acc_t beta, threshold;
    __device__ __forceinline__ acc_t operator()(acc_t dy, acc_t x) const {
        const acc_t t = beta * x;
        return t > threshold ? dy : dy * Logistic(t).value;
    }
};

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
softplus(const scalar_t* x, scalar_t* y, index_t count, acc_t beta, acc_t threshold) {
    elementwise_contiguous(Forward{beta, threshold}, count, y, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
softplus_strided(const scalar_t* x, scalar_t* y, index_t count, acc_t beta, acc_t threshold,
                 MapViews<1> v) {
    elementwise_strided(Forward{beta, threshold}, count, y, v, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
softplus_backward(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count, acc_t beta,
                  acc_t threshold) {
    elementwise_contiguous(Backward{beta, threshold}, count, dx, dy, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
softplus_backward_strided(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count,
                          acc_t beta, acc_t threshold, MapViews<2> v) {
    elementwise_strided(Backward{beta, threshold}, count, dx, v, dy, x);
}
