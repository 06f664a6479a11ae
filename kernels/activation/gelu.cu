// activation/gelu.cu: Gaussian error linear unit, exact or by tanh, and their gradients.
//
// Computes   gelu       y[i] = x[i] P(x[i]), P the standard normal distribution function
//                       dx[i] = dy[i] (P(x[i]) + x[i] p(x[i])), p = exp(-x^2 / 2) / sqrt(2 pi)
//            gelu_tanh  y[i] = x[i] (1 + tanh(u)) / 2, u = sqrt(2 / pi) (x[i] + 0.044715 x[i]^3),
//                       and its derivative
// Layout     forward and backward: all contiguous. *_strided: x and dy of any strides
// Launch     block 256, 16 bytes of the result a thread, grid of as many blocks as that needs;
//            no shared memory
// Traffic    |x| + |y|, backward |dy| + |x| + |dx| bytes: bound by bandwidth
// Range      any length; far below zero y keeps its digits, which 1 + erf and 1 + tanh would lose;
//            NaN stays NaN; -infinity gives NaN, as in PyTorch
// Siblings   silu: x s(x); gelu_tanh is x s(2 u), s the logistic function
// Source     Hendrycks, Gimpel: Gaussian error linear units, 2016
//
// entry gelu                        x P(x), contiguous
// entry gelu_strided                x P(x), any strides
// entry gelu_backward               gradient of gelu, contiguous
// entry gelu_backward_strided       gradient of gelu, any strides
// entry gelu_tanh                   x (1 + tanh(u)) / 2, contiguous
// entry gelu_tanh_strided           x (1 + tanh(u)) / 2, any strides
// entry gelu_tanh_backward          gradient of gelu_tanh, contiguous
// entry gelu_tanh_backward_strided  gradient of gelu_tanh, any strides
// variant SCALAR = floating
#include <pycnn/logistic.cuh>
#include <pycnn/map.cuh>

// The standard normal distribution below x, and its density at x.
struct Normal {
    acc_t below, density;

    __device__ __forceinline__ explicit Normal(acc_t x) {
        constexpr acc_t HEIGHT = 0.3989422804014327;  // 1 / sqrt(2 pi)
        if constexpr (sizeof(scalar_t) == 2) {
            // exp(z^2) erfc(z) / 2, z = |x| / sqrt(2), by a polynomial of t = 1 / (1 + z / 2): least
            // squares of the relative error up to z = 14, which is below 4e-6.
            constexpr acc_t OF_T[] = {0.0422570914, -0.171615633, 0.18481205, 0.0260997063,
                                      0.138008364,  0.139309457,  0.14112837};
            const acc_t e = exp_below(x * x * acc_t(-0.5));
            const acc_t t = reciprocal(1 + fabs(x) * acc_t(0.35355339));
            acc_t tail = OF_T[0];
#pragma unroll
            for (int i = 1; i < 7; ++i) tail = tail * t + OF_T[i];
            tail *= t * e;
            below = x > 0 ? 1 - tail : tail;
            density = HEIGHT * e;
        } else {
            below = normcdf(x);
            density = HEIGHT * exp(-x * x / 2);
        }
    }
};

struct Forward {
    __device__ __forceinline__ acc_t operator()(acc_t x) const { return x * Normal(x).below; }
};

struct Backward {
    __device__ __forceinline__ acc_t operator()(acc_t dy, acc_t x) const {
        const Normal of(x);
        return dy * (of.below + x * of.density);
    }
};

constexpr acc_t ROOT = 1.5957691216057308;  // 2 sqrt(2 / pi)
constexpr acc_t CUBIC = 0.044715;

struct ForwardTanh {
    __device__ __forceinline__ acc_t operator()(acc_t x) const {
        return x * Logistic(ROOT * (x + CUBIC * x * x * x)).value;
    }
};

struct BackwardTanh {
    __device__ __forceinline__ acc_t operator()(acc_t dy, acc_t x) const {
        const Logistic s(ROOT * (x + CUBIC * x * x * x));
        const acc_t near = fmin(fabs(x), acc_t(64));  // its square is finite; beyond, slope is 0
        return dy * (s.value + x * s.slope * (ROOT * (1 + 3 * CUBIC * near * near)));
    }
};

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
gelu(const scalar_t* x, scalar_t* y, index_t count) {
    elementwise_contiguous(Forward(), count, y, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
gelu_strided(const scalar_t* x, scalar_t* y, index_t count, MapViews<1> v) {
    elementwise_strided(Forward(), count, y, v, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
gelu_backward(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count) {
    elementwise_contiguous(Backward(), count, dx, dy, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
gelu_backward_strided(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count,
                      MapViews<2> v) {
    elementwise_strided(Backward(), count, dx, v, dy, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
gelu_tanh(const scalar_t* x, scalar_t* y, index_t count) {
    elementwise_contiguous(ForwardTanh(), count, y, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
gelu_tanh_strided(const scalar_t* x, scalar_t* y, index_t count, MapViews<1> v) {
    elementwise_strided(ForwardTanh(), count, y, v, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
gelu_tanh_backward(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count) {
    elementwise_contiguous(BackwardTanh(), count, dx, dy, x);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
gelu_tanh_backward_strided(const scalar_t* dy, const scalar_t* x, scalar_t* dx, index_t count,
                           MapViews<2> v) {
    elementwise_strided(BackwardTanh(), count, dx, v, dy, x);
}
