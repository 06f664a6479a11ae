// activation/hardtanh.cu: a line between two bounds, and its gradient.
//
// Computes   y[i] = min(max(x[i], low), high)  dx[i] = x[i] <= low or x[i] >= high ? 0 : dy[i]
// Layout     hardtanh, hardtanh_backward: all contiguous. *_strided: x and dy of any strides
// Launch     block 256, 16 bytes of the result a thread, grid of as many blocks as that needs;
//            no shared memory
// Traffic    |x| + |y|, backward |dy| + |x| + |dx| bytes: bound by bandwidth
// Range      any length; low < high; NaN stays NaN, and lets its gradient through, as in PyTorch
// Siblings   clip, whose gradient differs at the bounds and for NaN; relu6 with bounds 0 and 6
// Source     Collobert: Large scale machine learning, 2004
//
// entry hardtanh                  line between two bounds, contiguous
// entry hardtanh_strided          line between two bounds, any strides
// entry hardtanh_backward         gradient of hardtanh, contiguous
// entry hardtanh_backward_strided gradient of hardtanh, any strides
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
        return x <= low || x >= high ? acc_t(0) : dy;
    }
};

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
hardtanh(const scalar_t* x, scalar_t* y, index_t count, acc_t low, acc_t high) {
    elementwise_contiguous(Forward{low, high}, count, y, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
hardtanh_strided(const scalar_t* x, scalar_t* y, index_t count, acc_t low, acc_t high, MapViews<1> v) {
    elementwise_strided(Forward{low, high}, count, y, v, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
hardtanh_backward(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count, acc_t low,
              acc_t high) {
    elementwise_contiguous(Backward{low, high}, count, dx, dy, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
hardtanh_backward_strided(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count, acc_t low,
                      acc_t high, MapViews<2> v) {
    elementwise_strided(Backward{low, high}, count, dx, v, dy, x);
}
