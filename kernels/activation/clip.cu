// activation/clip.cu: values limited to an interval, and its gradients; hardtanh and relu6 too.
//
// Computes   y[i] = min(max(x[i], low), high)
//            clip_backward       dx[i] = low <= x[i] <= high ? dy[i] : 0
//            clip_open_backward  dx[i] = x[i] <= low or x[i] >= high ? 0 : dy[i]
// Layout     all contiguous. *_strided: x and dy of any strides
// Launch     block 256, 16 bytes of the result a thread, grid of as many blocks as that needs;
//            no shared memory
// Traffic    |x| + |y|, backward |dy| + |x| + |dx| bytes: bound by bandwidth
// Range      any length; low and high may be infinite, and low > high gives high; NaN stays NaN.
//            As in PyTorch, it stops the gradient of clip, and lets those of hardtanh and relu6,
//            clip_open_backward, through
// Siblings   relu, without an upper bound
// Source     Collobert: Large scale machine learning, 2004 (hardtanh); Krizhevsky: Convolutional
//            deep belief networks on CIFAR-10, 2010 (relu6: 0 to 6)
//
// entry clip                        clip, hardtanh and relu6, contiguous
// entry clip_strided                clip, hardtanh and relu6, any strides
// entry clip_backward               gradient of clip, contiguous
// entry clip_backward_strided       gradient of clip, any strides
// entry clip_open_backward          gradient of hardtanh and relu6, contiguous
// entry clip_open_backward_strided  gradient of hardtanh and relu6, any strides
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

struct OpenBackward {
    acc_t low, high;
    __device__ __forceinline__ acc_t operator()(acc_t dy, acc_t x) const {
        return x <= low || x >= high ? acc_t(0) : dy;
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

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
clip_open_backward(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count, acc_t low,
                   acc_t high) {
    elementwise_contiguous(OpenBackward{low, high}, count, dx, dy, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
clip_open_backward_strided(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count,
                           acc_t low, acc_t high, MapViews<2> v) {
    elementwise_strided(OpenBackward{low, high}, count, dx, v, dy, x);
}
