// loss/binary_cross_entropy.cu: cross-entropy of a probability given as a logit, and its gradient.
//
// Computes   cost = w ((1 - t) x + (1 + (p - 1) t) softplus(-x)),
//            softplus(-x) = log(1 + exp(-|x|)) + max(-x, 0)
//            loss = cost | sum cost | sum cost / count       (none | sum | mean)
//            dx = g w ((1 - t) - (1 + (p - 1) t) sigmoid(-x)), with g the gradient of the cost,
//            w a weight and p that of positive targets, one each by default
// Layout     x, t, w, p, dy any strides, 0 where they are broadcast; loss and dx contiguous.
//            Without _strided: x, t, dy contiguous, no w and p
// Launch     block 256; one sum a block, at most 1024 of them, which loss/sums.cu adds up
// Traffic    forward |x| + |t|, backward |x| + |t| + |dx| bytes, and |loss| or |dy| where there is
//            one for each element; about 10 flop an element
// Range      any extents, 64-bit index arithmetic; no exponent is positive, so nothing overflows
// Siblings   without _strided 16 bytes a thread; _strided divides once for each axis
// Source     Bishop: Pattern recognition and machine learning, 2006, equation 4.90
//
// entry binary_cross_entropy                   costs or partial sums, contiguous
// entry binary_cross_entropy_strided           costs or partial sums, any strides and weights
// entry binary_cross_entropy_backward          gradient, contiguous
// entry binary_cross_entropy_backward_strided  gradient, any strides and weights
// variant SCALAR = floating
#include <pycnn/pointwise_loss.cuh>

struct Cost {
    __device__ __forceinline__ acc_t operator()(acc_t x, acc_t t, acc_t w, acc_t p) const {
        const acc_t softplus = log1p(exp(-fabs(x))) + (x < 0 ? -x : acc_t(0));
        return w * ((1 - t) * x + (1 + (p - 1) * t) * softplus);
    }
};

struct Slope {
    __device__ __forceinline__ acc_t operator()(acc_t x, acc_t t, acc_t w, acc_t p) const {
        const acc_t e = exp(-fabs(x));
        const acc_t sigmoid = (x < 0 ? acc_t(1) : e) / (1 + e);  // of -x
        return w * ((1 - t) - (1 + (p - 1) * t) * sigmoid);
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
