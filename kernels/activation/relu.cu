// activation/relu.cu: rectified linear unit, and its gradient.
//
// Computes   y[i] = max(x[i], 0)            dx[i] = x[i] <= 0 ? 0 : dy[i]
// Layout     relu, relu_backward: all contiguous. *_strided: x and dy of any strides
// Launch     block 256, 16 bytes of the result a thread, grid of as many blocks as that needs;
//            no shared memory
// Traffic    |x| + |y|, backward |dy| + |x| + |dx| bytes: bound by bandwidth; 1 flop an element
// Range      any length, 64-bit index arithmetic; NaN stays NaN, and lets its gradient through,
//            as in PyTorch
// Siblings   the contiguous entries move 128 bits an instruction, the strided ones where memory
//            order lets them (pycnn/map.cuh); else an element, and they divide once per axis
// Source     Nair, Hinton: Rectified linear units improve restricted Boltzmann machines, 2010
//
// entry relu                   maximum of x and zero, contiguous
// entry relu_strided           maximum of x and zero, any strides
// entry relu_backward          gradient of relu, contiguous
// entry relu_backward_strided  gradient of relu, any strides
// variant SCALAR = floating
#include <pycnn/map.cuh>

struct Forward {
    __device__ __forceinline__ acc_t operator()(acc_t x) const { return x < 0 ? acc_t(0) : x; }
};

struct Backward {
    __device__ __forceinline__ acc_t operator()(acc_t dy, acc_t x) const {
        return x <= 0 ? acc_t(0) : dy;
    }
};

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
relu(const scalar_t* x, scalar_t* y, index_t count) {
    elementwise_contiguous(Forward(), count, y, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
relu_strided(const scalar_t* x, scalar_t* y, index_t count, MapViews<1> v) {
    elementwise_strided(Forward(), count, y, v, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
relu_backward(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count) {
    elementwise_contiguous(Backward(), count, dx, dy, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
relu_backward_strided(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count,
                      MapViews<2> v) {
    elementwise_strided(Backward(), count, dx, v, dy, x);
}
