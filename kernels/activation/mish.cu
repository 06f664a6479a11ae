// activation/mish.cu: x tanh(softplus(x)), and its gradient.
//
// Computes   y[i] = x[i] t(x[i])               dx[i] = dy[i] (t(x[i]) + x[i] t'(x[i]))
//            t(x) = tanh(log(1 + exp(x))) = (w^2 + 2 w) / (w^2 + 2 w + 2), w = exp(x)
// Layout     mish, mish_backward: all contiguous. *_strided: x and dy of any strides
// Launch     block 256, 16 bytes of the result a thread, grid of as many blocks as that needs;
//            no shared memory
// Traffic    |x| + |y|, backward |dy| + |x| + |dx| bytes: bound by bandwidth
// Range      any length; t and 1 - t^2 from exp(-|x|): nothing overflows, nothing cancels; NaN
//            stays NaN; -infinity gives NaN, as in PyTorch
// Siblings   silu: x s(x)
// Source     Misra: Mish, a self regularized non-monotonic activation function, BMVC 2020
//
// entry mish                   x tanh(softplus(x)), contiguous
// entry mish_strided           x tanh(softplus(x)), any strides
// entry mish_backward          gradient of mish, contiguous
// entry mish_backward_strided  gradient of mish, any strides
// variant SCALAR = floating
#include <pycnn/logistic.cuh>
#include <pycnn/map.cuh>

// t and its derivative s(x) (1 - t^2), where s is the logistic function. Numerator and denominator
// of t are divided by w^2 where w is large; `rest` is what the denominator has more.
struct Gate {
    acc_t value, slope;

    __device__ __forceinline__ explicit Gate(acc_t x) {
        const acc_t e = exp(-fabs(x)), square = e * e;
        const acc_t above = x > 0 ? 1 + 2 * e : square + 2 * e;
        const acc_t rest = x > 0 ? 2 * square : acc_t(2);
        const acc_t below = above + rest;
        value = above / below;
        slope = Logistic(x).value * rest * (above + below) / (below * below);
    }
};

struct Forward {
    __device__ __forceinline__ acc_t operator()(acc_t x) const { return x * Gate(x).value; }
};

struct Backward {
    __device__ __forceinline__ acc_t operator()(acc_t dy, acc_t x) const {
        const Gate t(x);
        return dy * (t.value + x * t.slope);
    }
};

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
mish(const scalar_t* x, scalar_t* y, index_t count) {
    elementwise_contiguous(Forward(), count, y, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
mish_strided(const scalar_t* x, scalar_t* y, index_t count, MapViews<1> v) {
    elementwise_strided(Forward(), count, y, v, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
mish_backward(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count) {
    elementwise_contiguous(Backward(), count, dx, dy, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
mish_backward_strided(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count,
                      MapViews<2> v) {
    elementwise_strided(Backward(), count, dx, v, dy, x);
}
