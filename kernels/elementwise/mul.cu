// elementwise/mul.cu: product of two arrays with broadcasting, and its gradients.
//
// Computes   y[i] = a[i] b[i]        da[i] = dy[i] b[i]        db[i] = dy[i] a[i]
//            where an operand was broadcast, its gradient is summed over those axes
// Layout     a, b and dy of any strides, zero along the axes that an operand is broadcast over;
//            results contiguous
// Launch     mul, mul_strided and the two gradients of operands of one shape: block 256, 16 bytes of
//            a result a thread (pycnn/map.cuh). mul_backward_rows, mul_backward_columns: block
//            (32, 8), one gradient and the sums of the other in one pass (pycnn/map_sum.cuh)
// Traffic    |a| + |b| + |y|, backward |dy| + |a| + |b| + |da| + |db| bytes: bound by bandwidth. Where
//            both operands are broadcast, one pass for each gradient: dy is read twice
// Range      any length; 64-bit index arithmetic; NaN as the product has it
// Siblings   add
// Source     the definition; broadcasting as in NumPy
//
// entry mul                    product, contiguous operands of one shape
// entry mul_strided            product, any strides
// entry mul_backward           both gradients, contiguous operands of one shape
// entry mul_backward_strided   both gradients, operands of one shape with any strides
// entry mul_backward_rows      a gradient, and the sums of the other, a warp a sum
// entry mul_backward_columns   a gradient, and the sums of the other, a lane a sum
// variant SCALAR = floating
#include <pycnn/map_sum.cuh>

struct Product {
    __device__ __forceinline__ acc_t operator()(acc_t a, acc_t b) const { return a * b; }
};

// a: the operand whose gradient is not summed.
struct Gradients {
    __device__ __forceinline__ Pair operator()(acc_t dy, acc_t a, acc_t b) const {
        return {dy * b, dy * a};
    }
};

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
mul(const scalar_t* a, const scalar_t* b, scalar_t* y, index_t count) {
    elementwise_contiguous(Product(), count, y, a, b);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
mul_strided(const scalar_t* a, const scalar_t* b, scalar_t* y, index_t count, MapViews<2> v) {
    elementwise_strided(Product(), count, y, v, a, b);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
mul_backward(const scalar_t* dy, const scalar_t* a, const scalar_t* b, scalar_t* da, scalar_t* db,
             index_t count) {
    elementwise_contiguous(Gradients(), count, Results{da, db}, dy, a, b);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
mul_backward_strided(const scalar_t* dy, const scalar_t* a, const scalar_t* b, scalar_t* da,
                     scalar_t* db, index_t count, MapViews<3> v) {
    elementwise_strided(Gradients(), count, Results{da, db}, v, dy, a, b);
}

extern "C" __global__ void __launch_bounds__(SUM_THREADS, 1)
mul_backward_rows(const scalar_t* dy, const scalar_t* a, const scalar_t* b, scalar_t* da,
                  scalar_t* db, acc_t* partial, SumViews<4> v) {
    elementwise_sum_rows(Gradients(), v, SumResult{db, partial}, da, dy, a, b);
}

extern "C" __global__ void __launch_bounds__(SUM_THREADS, 1)
mul_backward_columns(const scalar_t* dy, const scalar_t* a, const scalar_t* b, scalar_t* da,
                     scalar_t* db, acc_t* partial, SumViews<4> v) {
    elementwise_sum_columns(Gradients(), v, SumResult{db, partial}, da, dy, a, b);
}
