// loss/mse_loss.cu: squared differences, their sum or mean, and the gradient.
//
// Computes   cost = f (x[i] - t[i])^2       loss = cost | sum cost       (none | sum, mean)
//            dx[i] = g 2 f (x[i] - t[i]), with g the gradient of the element's cost and f a
//            factor: 1, for the mean 1 / count, for the sum of half squares 1/2
// Layout     x, t, dy any strides; loss and dx contiguous. Without _strided: all contiguous
// Launch     block 256; one sum a block, at most 1024 of them, which loss/sums.cu adds up
// Traffic    forward |x| + |t|, backward |x| + |t| + |dx| bytes, and |loss| or |dy| where there is
//            one for each element; 3 flop an element
// Range      any extents, 64-bit index arithmetic; NaN and infinities as the formula has them
// Siblings   without _strided 16 bytes a thread; _strided divides once for each axis
// Source     sum of half squares: Rumelhart, Hinton, Williams: Learning representations by
//            back-propagating errors, 1986, equation 3; Bishop 2006, section 1.1
//
// entry mse_loss                   costs or partial sums, contiguous
// entry mse_loss_strided           costs or partial sums, any strides
// entry mse_loss_backward          gradient, contiguous
// entry mse_loss_backward_strided  gradient, any strides
// variant SCALAR = floating
#include <pycnn/pointwise_loss.cuh>

struct Cost {
    __device__ __forceinline__ acc_t operator()(acc_t x, acc_t t, acc_t, acc_t) const {
        return (x - t) * (x - t);
    }
};

struct Slope {
    __device__ __forceinline__ acc_t operator()(acc_t x, acc_t t, acc_t, acc_t) const {
        return 2 * (x - t);
    }
};

extern "C" __global__ void __launch_bounds__(LOSS_THREADS, 1)
    mse_loss(const scalar_t* __restrict__ x, const scalar_t* __restrict__ t,
             scalar_t* __restrict__ loss, acc_t* __restrict__ partial, index_t count,
             LossOptions options) {
    loss_contiguous<Cost>(x, t, loss, partial, count, options);
}

extern "C" __global__ void __launch_bounds__(LOSS_THREADS, 1)
    mse_loss_strided(const scalar_t* __restrict__ x, const scalar_t* __restrict__ t,
                     scalar_t* __restrict__ loss, acc_t* __restrict__ partial, index_t count,
                     LossOptions options, Strided<4> v) {
    loss_strided<Cost>(x, t, nullptr, nullptr, loss, partial, count, options, v);
}

extern "C" __global__ void __launch_bounds__(LOSS_THREADS, 1)
    mse_loss_backward(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
                      const scalar_t* __restrict__ t, scalar_t* __restrict__ dx, index_t count,
                      LossOptions options) {
    slope_contiguous<Slope>(dy, x, t, dx, count, options);
}

extern "C" __global__ void __launch_bounds__(LOSS_THREADS, 1)
    mse_loss_backward_strided(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
                              const scalar_t* __restrict__ t, scalar_t* __restrict__ dx,
                              index_t count, LossOptions options, Strided<5> v) {
    slope_strided<Slope>(dy, x, t, nullptr, nullptr, dx, count, options, v);
}
