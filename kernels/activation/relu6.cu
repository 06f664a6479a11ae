// activation/relu6.cu: rectified linear unit that ends at 6, and its gradient.
//
// Computes   y[i] = min(max(x[i], 0), 6)       dx[i] = 0 < x[i] < 6 ? dy[i] : 0
// Layout     relu6, relu6_backward: all contiguous. *_strided: x and dy of any strides
// Launch     block 256, 16 bytes of the result a thread, grid of as many blocks as that needs;
//            no shared memory
// Traffic    |x| + |y|, backward |dy| + |x| + |dx| bytes: bound by bandwidth
// Range      any length; NaN stays NaN, and lets its gradient through, as in PyTorch
// Siblings   clip with bounds 0 and 6, whose gradient differs at the bounds and for NaN
// Source     Krizhevsky: Convolutional deep belief networks on CIFAR-10, 2010
//
// entry relu6                   rectified linear unit that ends at 6, contiguous
// entry relu6_strided           rectified linear unit that ends at 6, any strides
// entry relu6_backward          gradient of relu6, contiguous
// entry relu6_backward_strided  gradient of relu6, any strides
// variant SCALAR = floating
#include <pycnn/map.cuh>

struct Forward {
    __device__ __forceinline__ acc_t operator()(acc_t x) const {
        return x < 0 ? acc_t(0) : x > 6 ? acc_t(6) : x;
    }
};

struct Backward {
    __device__ __forceinline__ acc_t operator()(acc_t dy, acc_t x) const {
        return x <= 0 || x >= 6 ? acc_t(0) : dy;
    }
};

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
relu6(const scalar_t* x, scalar_t* y, index_t count) {
    elementwise_contiguous(Forward(), count, y, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
relu6_strided(const scalar_t* x, scalar_t* y, index_t count, MapViews<1> v) {
    elementwise_strided(Forward(), count, y, v, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
relu6_backward(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count) {
    elementwise_contiguous(Backward(), count, dx, dy, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
relu6_backward_strided(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count,
                       MapViews<2> v) {
    elementwise_strided(Backward(), count, dx, v, dy, x);
}
