// activation/elu.cu: exponential linear units: elu, selu and celu, and its gradient.
//
// Computes   y[i] = scale (x[i] > 0 ? x[i] : alpha (exp(input_scale x[i]) - 1)), and its derivative
//            elu: scale = input_scale = 1. celu: input_scale = 1 / alpha. selu: alpha = 1.6733,
//            scale = 1.0507, with which activations keep mean 0 and variance 1
// Layout     elu, elu_backward: all contiguous. *_strided: x and dy of any strides
// Launch     block 256, 16 bytes of the result a thread, grid of as many blocks as that needs;
//            no shared memory
// Traffic    |x| + |y|, backward |dy| + |x| + |dx| bytes: bound by bandwidth
// Range      any length; alpha and scale as PyTorch multiplies them. At 0 the derivative of the
//            exponential counts. exp(x) - 1 as expm1: small x keep all their digits. NaN stays NaN
// Siblings   none
// Source     Clevert, Unterthiner, Hochreiter: ELUs, ICLR 2016; Klambauer et al.: Self-normalizing
//            neural networks, NIPS 2017; Barron: Continuously differentiable ELUs, 2017
//
// entry elu                   exponential linear units: elu, selu and celu, contiguous
// entry elu_strided           exponential linear units: elu, selu and celu, any strides
// entry elu_backward          gradient of elu, contiguous
// entry elu_backward_strided  gradient of elu, any strides
// variant SCALAR = floating
#include <pycnn/map.cuh>

struct Forward {
    acc_t alpha, scale, input_scale;
    __device__ __forceinline__ acc_t operator()(acc_t x) const {
        return scale * (x > 0 ? x : alpha * expm1(input_scale * x));
    }
};

struct Backward {
    acc_t alpha, scale, input_scale;
    __device__ __forceinline__ acc_t operator()(acc_t dy, acc_t x) const {
        return dy * scale * (x <= 0 ? alpha * input_scale * exp(input_scale * x) : acc_t(1));
    }
};

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
elu(const scalar_t* x, scalar_t* y, index_t count, acc_t alpha, acc_t scale, acc_t input_scale) {
    elementwise_contiguous(Forward{alpha, scale, input_scale}, count, y, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
elu_strided(const scalar_t* x, scalar_t* y, index_t count, acc_t alpha, acc_t scale,
            acc_t input_scale, MapViews<1> v) {
    elementwise_strided(Forward{alpha, scale, input_scale}, count, y, v, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
elu_backward(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count, acc_t alpha,
             acc_t scale, acc_t input_scale) {
    elementwise_contiguous(Backward{alpha, scale, input_scale}, count, dx, dy, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
elu_backward_strided(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count,
                     acc_t alpha, acc_t scale, acc_t input_scale, MapViews<2> v) {
    elementwise_strided(Backward{alpha, scale, input_scale}, count, dx, v, dy, x);
}
