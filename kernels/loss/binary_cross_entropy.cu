// loss/binary_cross_entropy.cu: cross-entropy of a probability given as a logit, and its gradient.
//
// Computes   cost = w (u x + q log(1 + exp(-|x|))) = w (p t softplus(-x) + (1 - t) softplus(x)),
//            u = x < 0 ? -p t : 1 - t and q = 1 + (p - 1) t
//            loss = cost | sum cost | sum cost / count       (none | sum | mean)
//            dx = g w (u +- q / (1 + exp(|x|))), + where x < 0, with g the gradient of the cost,
//            w a weight and p that of positive targets, one each by default
// Layout     x, t, w, p, dy any strides, 0 where they are broadcast; loss and dx contiguous.
//            Without _strided: x, t, dy contiguous, no w and p
// Launch     block 256; one sum a block, at most 1024 of them, which loss/sums.cu adds up
// Traffic    forward |x| + |t|, backward |x| + |t| + |dx| bytes, and |loss| or |dy| where there is
//            one for each element; about 10 flop an element
// Range      any extents, 64-bit index arithmetic; no exponent is positive, so nothing overflows;
//            no small difference of large numbers, so tiny costs keep their digits. An infinite x
//            costs nothing where u is 0
// Siblings   without _strided 16 bytes a thread; _strided divides once for each axis
// Source     Bishop: Pattern recognition and machine learning, 2006, equation 4.90
//
// entry binary_cross_entropy                   costs or partial sums, contiguous
// entry binary_cross_entropy_strided           costs or partial sums, any strides and weights
// entry binary_cross_entropy_backward          gradient, contiguous
// entry binary_cross_entropy_backward_strided  gradient, any strides and weights
// variant SCALAR = floating
#include <pycnn/pointwise_loss.cuh>

// u, the slope of the cost far out on this side of zero.
__device__ __forceinline__ acc_t far_slope(acc_t x, acc_t t, acc_t p) {
    return x < 0 ? -p * t : 1 - t;
}

// q, without the product where p is 1: t may be infinite.
__device__ __forceinline__ acc_t bend(acc_t t, acc_t p) { return p == 1 ? p : 1 + (p - 1) * t; }

struct Cost {
    __device__ __forceinline__ acc_t operator()(acc_t x, acc_t t, acc_t w, acc_t p) const {
        const acc_t slope = far_slope(x, t, p);
        const acc_t straight = slope == 0 ? acc_t(0) : slope * x;
        return w * (straight + bend(t, p) * log1p(exp(-fabs(x))));
    }
};

struct Slope {
    __device__ __forceinline__ acc_t operator()(acc_t x, acc_t t, acc_t w, acc_t p) const {
        const acc_t e = exp(-fabs(x)), bent = bend(t, p) * (e / (1 + e));
        return w * (far_slope(x, t, p) + (x < 0 ? bent : -bent));
    }
};

extern "C" __global__ void __launch_bounds__(LOSS_THREADS, 1)
    binary_cross_entropy(const scalar_t* __restrict__ x, const scalar_t* __restrict__ t,
                         scalar_t* __restrict__ loss, acc_t* __restrict__ partial, index_t count,
                         LossOptions options) {
    loss_contiguous<Cost>(x, t, loss, partial, count, options);
}

extern "C" __global__ void __launch_bounds__(LOSS_THREADS, 1)
    binary_cross_entropy_strided(const scalar_t* __restrict__ x, const scalar_t* __restrict__ t,
                                 const scalar_t* __restrict__ weight,
                                 const scalar_t* __restrict__ positive, scalar_t* __restrict__ loss,
                                 acc_t* __restrict__ partial, index_t count, LossOptions options,
                                 Strided<4> v) {
    loss_strided<Cost>(x, t, weight, positive, loss, partial, count, options, v);
}

extern "C" __global__ void __launch_bounds__(LOSS_THREADS, 1)
    binary_cross_entropy_backward(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
                                  const scalar_t* __restrict__ t, scalar_t* __restrict__ dx,
                                  index_t count, LossOptions options) {
    slope_contiguous<Slope>(dy, x, t, dx, count, options);
}

extern "C" __global__ void __launch_bounds__(LOSS_THREADS, 1)
    binary_cross_entropy_backward_strided(const scalar_t* __restrict__ dy,
                                          const scalar_t* __restrict__ x,
                                          const scalar_t* __restrict__ t,
                                          const scalar_t* __restrict__ weight,
                                          const scalar_t* __restrict__ positive,
                                          scalar_t* __restrict__ dx, index_t count,
                                          LossOptions options, Strided<5> v) {
    slope_strided<Slope>(dy, x, t, weight, positive, dx, count, options, v);
}
