// loss/pointwise_loss.cu: distances, divergence and cross-entropy of two tensors, and gradients.
//
// Computes   with d = x - t, w a weight and b a threshold, by COST:
//            Distance            |d|                                         slope sign(d)
//            SmoothDistance      d^2 / (2 b) if |d| < b, else |d| - b/2      d / b, at most 1
//            Divergence          t (log(t) - x), and 0 log(0) = 0            -t
//            LogDivergence       exp(t) (t - x)                              -exp(t)
//            BinaryCrossEntropy  -w (t log(x) + (1 - t) log(1 - x))          w d / (x (1 - x))
//            loss = cost | sum cost | sum cost / divisor
//            dx = g slope, with g the gradient of the cost
//            Logarithms of probabilities are -100 at least, and x (1 - x) at least 1e-12.
// Layout     x, t, w, dy any strides, 0 where they are broadcast; loss and dx contiguous.
//            Without _strided: x, t, dy contiguous, no w
// Launch     block 256; one sum a block, at most 1024 of them, which loss/sums.cu adds up
// Traffic    forward |x| + |t|, backward |x| + |t| + |dx| bytes, and |loss| or |dy| where there is
//            one for each element; 2 to 8 flop an element
// Range      any extents, 64-bit index arithmetic
// Siblings   mse_loss.cu; binary_cross_entropy.cu, which takes logits
// Source     Huber: Robust estimation of a location parameter, 1964; Girshick: Fast R-CNN, 2015,
//            equation 3; Kullback, Leibler: On information and sufficiency, 1951
//
// entry pointwise_loss                   costs or partial sums, contiguous
// entry pointwise_loss_strided           costs or partial sums, any strides and weights
// entry pointwise_loss_backward          gradient, contiguous
// entry pointwise_loss_backward_strided  gradient, any strides and weights
// variant SCALAR = floating
// variant COST = Distance, SmoothDistance, Divergence, LogDivergence, BinaryCrossEntropy
#include <pycnn/pointwise_loss.cuh>

#ifndef COST
#define COST Distance
#endif

struct Distance {
    static __device__ __forceinline__ acc_t cost(acc_t x, acc_t t, acc_t, acc_t) {
        return fabs(x - t);
    }
    static __device__ __forceinline__ acc_t slope(acc_t x, acc_t t, acc_t, acc_t) {
        return acc_t(x - t > 0) - acc_t(x - t < 0);
    }
};

struct SmoothDistance {
    static __device__ __forceinline__ acc_t cost(acc_t x, acc_t t, acc_t, acc_t beta) {
        const acc_t d = fabs(x - t);
        return d < beta ? acc_t(0.5) * d * (d / beta) : d - acc_t(0.5) * beta;
    }
    static __device__ __forceinline__ acc_t slope(acc_t x, acc_t t, acc_t, acc_t beta) {
        const acc_t d = x - t;
        if (d <= -beta) return -1;
        return d >= beta ? acc_t(1) : d / beta;
    }
};

struct Divergence {
    static __device__ __forceinline__ acc_t cost(acc_t x, acc_t t, acc_t, acc_t) {
        return (t == 0 ? acc_t(0) : t * log(t)) - t * x;
    }
    static __device__ __forceinline__ acc_t slope(acc_t, acc_t t, acc_t, acc_t) { return -t; }
};

struct LogDivergence {
    static __device__ __forceinline__ acc_t cost(acc_t x, acc_t t, acc_t, acc_t) {
        return exp(t) * (t - x);
    }
    static __device__ __forceinline__ acc_t slope(acc_t, acc_t t, acc_t, acc_t) { return -exp(t); }
};

struct BinaryCrossEntropy {
    static __device__ __forceinline__ acc_t at_least(acc_t least, acc_t value) {
        return value < least ? least : value;  // a NaN stays one
    }
    static __device__ __forceinline__ acc_t cost(acc_t x, acc_t t, acc_t w, acc_t) {
        return w * ((t - 1) * at_least(-100, log1p(-x)) - t * at_least(-100, log(x)));
    }
    static __device__ __forceinline__ acc_t slope(acc_t x, acc_t t, acc_t w, acc_t) {
        return w * (x - t) / at_least(acc_t(1e-12), (1 - x) * x);
    }
};

struct Cost {
    __device__ __forceinline__ acc_t operator()(acc_t x, acc_t t, acc_t w, acc_t b) const {
        return COST::cost(x, t, w, b);
    }
};

struct Slope {
    __device__ __forceinline__ acc_t operator()(acc_t x, acc_t t, acc_t w, acc_t b) const {
        return COST::slope(x, t, w, b);
    }
};

extern "C" __global__ void __launch_bounds__(LOSS_THREADS, 1)
    pointwise_loss(const scalar_t* __restrict__ x, const scalar_t* __restrict__ t,
                   scalar_t* __restrict__ loss, acc_t* __restrict__ partial, index_t count,
                   LossOptions options) {
    loss_contiguous<Cost>(x, t, loss, partial, count, options);
}

extern "C" __global__ void __launch_bounds__(LOSS_THREADS, 1)
    pointwise_loss_strided(const scalar_t* __restrict__ x, const scalar_t* __restrict__ t,
                           const scalar_t* __restrict__ weight, scalar_t* __restrict__ loss,
                           acc_t* __restrict__ partial, index_t count, LossOptions options,
                           Strided<4> v) {
    loss_strided<Cost>(x, t, weight, nullptr, loss, partial, count, options, v);
}

extern "C" __global__ void __launch_bounds__(LOSS_THREADS, 1)
    pointwise_loss_backward(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
                            const scalar_t* __restrict__ t, scalar_t* __restrict__ dx,
                            index_t count, LossOptions options) {
    slope_contiguous<Slope>(dy, x, t, dx, count, options);
}

extern "C" __global__ void __launch_bounds__(LOSS_THREADS, 1)
    pointwise_loss_backward_strided(const scalar_t* __restrict__ dy,
                                    const scalar_t* __restrict__ x,
                                    const scalar_t* __restrict__ t,
                                    const scalar_t* __restrict__ weight,
                                    scalar_t* __restrict__ dx, index_t count, LossOptions options,
                                    Strided<5> v) {
    slope_strided<Slope>(dy, x, t, weight, nullptr, dx, count, options, v);
}
