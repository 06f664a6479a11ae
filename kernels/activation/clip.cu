// activation/clip.cu: values limited to an interval, and its gradient.
//
// Computes   y[i] = min(max(x[i], low), high)  dx[i] = low <= x[i] <= high ? dy[i] : 0
// Layout     clip, clip_backward: all contiguous. *_strided: x and dy of any strides
// Launch     block 256, 16 bytes of the result a thread, grid of as many blocks as that needs;
//            no shared memory
// Traffic    |x| + |y|, backward |dy| + |x| + |dx| bytes: bound by bandwidth
// Range      any length; low and high may be infinite, and low > high gives high; NaN stays NaN and
//            stops its gradient, as in PyTorch
// Siblings   relu6, whose gradient is zero at the bounds
// Source     the definition
//
// entry clip                   values limited to an interval, contiguous
// entry clip_strided           values limited to an interval, any strides
// entry clip_backward          gradient of clip, contiguous
// entry clip_backward_strided  gradient of clip, any strides
// variant SCALAR = floating
#include <pycnn/map.cuh>

struct Forward {
    acc_t low, high;
    __device__ __forceinline__ acc_t operator()(acc_t x) const {
        const acc_t raised = x < low ? low : x;  // neither comparison holds for NaN
        return raised > high ? high : raised;
    }
};

struct Backward {
    acc_t low, high;
    __device__ __forceinline__ acc_t operator()(acc_t dy, acc_t x) const {
        return x >= low && x <= high ? dy : acc_t(0);
    }
};

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
clip(const scalar_t* x, scalar_t* y, index_t count, acc_t low, acc_t high) {
    elementwise_contiguous(Forward{low, high}, count, y, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
clip_strided(const scalar_t* x, scalar_t* y, index_t count, acc_t low, acc_t high, MapViews<1> v) {
    elementwise_strided(Forward{low, high}, count, y, v, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
clip_backward(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count, acc_t low,
              acc_t high) {
    elementwise_contiguous(Backward{low, high}, count, dx, dy, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
clip_backward_strided(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count, acc_t low,
                      acc_t high, MapViews<2> v) {
    elementwise_strided(Backward{low, high}, count, dx, v, dy, x);
}
