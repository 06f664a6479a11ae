// elementwise/add.cu: sum of two arrays with broadcasting, and its gradients.
//
// Computes   y[i] = a[i] + alpha b[i]        da[i] = dy[i]        db[i] = alpha dy[i]
//            where an operand was broadcast, its gradient is summed over those axes
// Layout     a, b and dy of any strides, zero along the axes that an operand is broadcast over;
//            results contiguous
// Launch     add, add_strided and the two gradients of operands of one shape: block 256, 16 bytes of
//            a result a thread (pycnn/map.cuh). add_backward_rows, add_backward_columns: block
//            (32, 8), one gradient and the sums of the other in one pass (pycnn/map_sum.cuh)
// Traffic    |a| + |b| + |y|, backward |dy| + |da| + |db| bytes: bound by bandwidth. Where both
//            operands are broadcast, one pass for each gradient: dy is read twice
// Range      any length; 64-bit index arithmetic; NaN as the sum has it
// Siblings   mul; add_n, for more than two
// Source     the definition; broadcasting as in NumPy
//
// entry add                    sum, contiguous operands of one shape
// entry add_strided            sum, any strides
// entry add_backward           both gradients, contiguous operands of one shape
// entry add_backward_strided   both gradients, operands of one shape with any strides
// entry add_backward_rows      a gradient, and the sums of the other, a warp a sum
// entry add_backward_columns   a gradient, and the sums of the other, a lane a sum
// variant SCALAR = floating
#include <pycnn/map_sum.cuh>

struct Added {
    acc_t alpha;
    __device__ __forceinline__ acc_t operator()(acc_t a, acc_t b) const { return a + alpha * b; }
};

// The gradient that is not summed, and the term of the other: multiples of dy.
struct Gradients {
    acc_t own, other;
    __device__ __forceinline__ Pair operator()(acc_t dy) const { return {own * dy, other * dy}; }
};

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
add(const scalar_t* a, const scalar_t* b, scalar_t* y, index_t count, acc_t alpha) {
    elementwise_contiguous(Added{alpha}, count, y, a, b);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
add_strided(const scalar_t* a, const scalar_t* b, scalar_t* y, index_t count, acc_t alpha,
            MapViews<2> v) {
    elementwise_strided(Added{alpha}, count, y, v, a, b);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
add_backward(const scalar_t* dy, scalar_t* da, scalar_t* db, index_t count, acc_t own,
             acc_t other) {
    elementwise_contiguous(Gradients{own, other}, count, Results{da, db}, dy);
}

extern "C" __global__ void __launch_bounds__(ELEMENTWISE_THREADS)
add_backward_strided(const scalar_t* dy, scalar_t* da, scalar_t* db, index_t count, acc_t own,
                     acc_t other, MapViews<1> v) {
    elementwise_strided(Gradients{own, other}, count, Results{da, db}, v, dy);
}

extern "C" __global__ void __launch_bounds__(SUM_THREADS, 1)
add_backward_rows(const scalar_t* dy, scalar_t* da, scalar_t* db, acc_t* partial, acc_t own,
                  acc_t other, SumViews<2> v) {
    elementwise_sum_rows(Gradients{own, other}, v, SumResult{db, partial}, da, dy);
}

extern "C" __global__ void __launch_bounds__(SUM_THREADS, 1)
add_backward_columns(const scalar_t* dy, scalar_t* da, scalar_t* db, acc_t* partial, acc_t own,
                     acc_t other, SumViews<2> v) {
    elementwise_sum_columns(Gradients{own, other}, v, SumResult{db, partial}, da, dy);
}
