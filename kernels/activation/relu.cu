// activation/relu.cu: rectified linear unit, and its gradient.
//
// Computes   y[i] = max(x[i], 0)            dx[i] = x[i] <= 0 ? 0 : dy[i]
// Layout     relu, relu_backward: all contiguous. *_strided: x and dy of any strides
// Launch     contiguous: block 256, 16 bytes a thread; strided: block 256, one element a thread;
//            grid of as many blocks as the elements need; no shared memory
// Traffic    |x| + |y|, backward |dy| + |x| + |dx| bytes: bound by bandwidth; 1 flop an element
// Range      any length, 64-bit index arithmetic; NaN stays NaN, and lets its gradient through,
//            as in PyTorch
// Siblings   the contiguous entries move 128 bits an instruction (where a base address is not
//            16-byte aligned: an element, still coalesced). The strided ones divide once per
//            axis, and are as fast as the memory order of x lets them be.
// Source     Nair, Hinton: Rectified linear units improve restricted Boltzmann machines, 2010
//
// entry relu                   maximum of x and zero, contiguous
// entry relu_strided           maximum of x and zero, any strides
// entry relu_backward          gradient of relu, contiguous
// entry relu_backward_strided  gradient of relu, any strides
// variant SCALAR = float, double, __half, __nv_bfloat16
#include <pycnn/map.cuh>

struct Forward {
    __device__ __forceinline__ accum operator()(accum x) const { return x < 0 ? accum(0) : x; }
};

struct Backward {
    __device__ __forceinline__ accum operator()(accum dy, accum x) const {
        return x <= 0 ? accum(0) : dy;
    }
};

extern "C" __global__ void __launch_bounds__(MAP_THREADS)
relu(const scalar* x, scalar* y, index_t count) {
    map_contiguous(Forward(), count, y, x);
}

extern "C" __global__ void __launch_bounds__(MAP_THREADS)
relu_strided(const scalar* x, scalar* y, index_t count, Strided<1> v) {
    map_strided(Forward(), count, y, v, x);
}

extern "C" __global__ void __launch_bounds__(MAP_THREADS)
relu_backward(const scalar* dy, const scalar* x, scalar* dx, index_t count) {
    map_contiguous(Backward(), count, dx, dy, x);
}

extern "C" __global__ void __launch_bounds__(MAP_THREADS)
relu_backward_strided(const scalar* dy, const scalar* x, scalar* dx, index_t count, Strided<2> v) {
    map_strided(Backward(), count, dx, v, dy, x);
}
