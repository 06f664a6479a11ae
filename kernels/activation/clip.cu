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
    accum low, high;
    __device__ __forceinline__ accum operator()(accum x) const {
        const accum raised = x < low ? low : x;  // neither comparison holds for NaN
        return raised > high ? high : raised;
    }
};

struct Backward {
    accum low, high;
    __device__ __forceinline__ accum operator()(accum dy, accum x) const {
        return x >= low && x <= high ? dy : accum(0);
    }
};

extern "C" __global__ void __launch_bounds__(MAP_THREADS)
clip(const scalar* x, scalar* y, index_t count, accum low, accum high) {
    map_contiguous(Forward{low, high}, count, y, x);
}

extern "C" __global__ void __launch_bounds__(MAP_THREADS)
clip_strided(const scalar* x, scalar* y, index_t count, accum low, accum high, MapViews<1> v) {
    map_strided(Forward{low, high}, count, y, v, x);
}

extern "C" __global__ void __launch_bounds__(MAP_THREADS)
clip_backward(const scalar* dy, const scalar* x, scalar* dx, index_t count, accum low, accum high) {
    map_contiguous(Backward{low, high}, count, dx, dy, x);
}

extern "C" __global__ void __launch_bounds__(MAP_THREADS)
clip_backward_strided(const scalar* dy, const scalar* x, scalar* dx, index_t count, accum low,
                      accum high, MapViews<2> v) {
    map_strided(Backward{low, high}, count, dx, v, dy, x);
}
