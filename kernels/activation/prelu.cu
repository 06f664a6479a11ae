// activation/prelu.cu: rectified linear unit with a learned slope, and its gradients.
//
// Computes   y[i] = x[i] > 0 ? x[i] : w[c] x[i], c the channel of i
//            dx[i] = x[i] > 0 ? dy[i] : w[c] dy[i];  dw[c] = sum over i of x[i] > 0 ? 0 : x[i] dy[i]
// Layout     x, dy and w of any strides, w broadcast to the shape of x by strides of zero; y, dx and
//            dw contiguous
// Launch     prelu, prelu_strided: block 256, 16 bytes of the result a thread (pycnn/map.cuh).
//            prelu_backward_rows, prelu_backward_columns: block (32, 8), which writes dx and a part
//            of dw in one pass (pycnn/map_sum.cuh)
// Traffic    |x| + |y|, backward |dy| + |x| + |dx| bytes, and w: bound by bandwidth
// Range      any length; 64-bit index arithmetic; at 0 and for NaN the slope counts, as in PyTorch
// Siblings   leaky_relu, whose slope is fixed; rows where memory runs along what is summed (NCHW),
//            columns where it runs along channels (NHWC)
// Source     He, Zhang, Ren, Sun: Delving deep into rectifiers, ICCV 2015
//
// entry prelu                   x or the slope times x, one slope of each element
// entry prelu_strided           x or the slope times x, any strides
// entry prelu_backward_rows     gradients of prelu, a warp a slope
// entry prelu_backward_columns  gradients of prelu, a lane a slope
// variant SCALAR = floating
#include <pycnn/map_sum.cuh>

struct Forward {
    __device__ __forceinline__ acc_t operator()(acc_t x, acc_t w) const {
        return x > 0 ? x : w * x;
    }
};

struct Backward {
    __device__ __forceinline__ Pair operator()(acc_t dy, acc_t x, acc_t w) const {
        return x > 0 ? Pair{dy, 0} : Pair{w * dy, x * dy};
    }
};

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
prelu(const scalar_t* x, const scalar_t* w, scalar_t* y, index_t count) {
    elementwise_contiguous(Forward(), count, y, x, w);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
prelu_strided(const scalar_t* x, const scalar_t* w, scalar_t* y, index_t count, MapViews<2> v) {
    elementwise_strided(Forward(), count, y, v, x, w);
}

extern "C" __global__ void __launch_bounds__(SUM_THREADS, 1)
prelu_backward_rows(const scalar_t* dy, const scalar_t* x, const scalar_t* w, scalar_t* dx,
                    scalar_t* dw, acc_t* partial, SumViews<4> v) {
    elementwise_sum_rows(Backward(), v, SumResult{dw, partial}, dx, dy, x, w);
}

extern "C" __global__ void __launch_bounds__(SUM_THREADS, 1)
prelu_backward_columns(const scalar_t* dy, const scalar_t* x, const scalar_t* w, scalar_t* dx,
                       scalar_t* dw, acc_t* partial, SumViews<4> v) {
    elementwise_sum_columns(Backward(), v, SumResult{dw, partial}, dx, dy, x, w);
}
