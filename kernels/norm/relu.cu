// norm/relu.cu: normalisation, a sum and the rectified linear unit in one pass, and the way back.
//
// Computes   y = max(0, (x - mean[c]) * rstd[c] * weight[c] + bias[c] + residual)
//            back: g = dy where y > 0, else 0, which is also the gradient of residual; and the sums
//            over each channel of g and g * z, with z = (x - mean[c]) * rstd[c]
// Layout     x, residual, dy, y going back: any strides; what is written is contiguous, in either
//            layout. Null for a residual that is not there
// Launch     as norm/apply.cu; the sums as norm/gradient.cu
// Traffic    |x| + |residual| + |y|; back |dy| + |y| + |x| + |g|. Apart it is 5 |x|, 8 with a
//            residual, going on, and one more going back
// Range      any extents, 64-bit index arithmetic. One rounding of the whole sum to a 16-bit type; a
//            NaN stays one, and lets its gradient through, as in activation/relu.cu
// Siblings   apply and gradient, which is what norm/gradient.cu then goes on with: dx from g
// Source     Ioffe, Szegedy: Batch normalization, 2015; He et al., "Deep residual learning for image
//            recognition", 2016, figure 2
//
// entry norm_relu_planes    forward, elements of a channel being neighbours
// entry norm_relu_rows      forward, channels being neighbours
// entry masked_sums_planes  g and its sums by segment, elements of a channel being neighbours
// entry masked_sums_rows    g and its sums by segment, channels being neighbours
// variant SCALAR = floating
#include <pycnn/norm_planes.cuh>
#include <pycnn/norm_rows.cuh>

__device__ __forceinline__ acc_t rectified(acc_t x) { return x < 0 ? acc_t(0) : x; }
__device__ __forceinline__ acc_t let_through(acc_t dy, acc_t y) { return y <= 0 ? acc_t(0) : dy; }

extern "C" __global__ void __launch_bounds__(THREADS, 1)
norm_relu_planes(const scalar_t* __restrict__ x, const scalar_t* residual, const void* mean,
                 const acc_t* rest, const void* spread, const void* weight, const void* bias,
                 scalar_t* __restrict__ y, Planes<3> p, NormParams n) {
    const NormArrays from = {mean, spread, rest, weight, bias};
    const Coefficients c = of_set([&](index_t set) { return coefficients(from, set, n); });
    const scalar_t* const operand[3] = {x, residual ? residual : x, y};
    each_of_set(p, operand, [&](auto run, const scalar_t* const (&plane)[3]) {
        Vec of_x[run.VECTORS], more[run.VECTORS];
        run.load(plane[0], p.along, 0, of_x);
        if (residual) run.load(plane[1], p.along, 1, more);
#pragma unroll
        for (int r = 0; r < run.VECTORS; ++r) {
            if (!run.has(r)) continue;
            acc_t value[VEC_SIZE], added[VEC_SIZE] = {};
            unpack(of_x[r].at, value);
            if (residual) unpack(more[r].at, added);
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k)
                value[k] = rectified(c.forward(value[k]) + added[k]);
            run.store(const_cast<scalar_t*>(plane[2]), p.along, 2, r, value);
        }
    });
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
norm_relu_rows(const scalar_t* __restrict__ x, const scalar_t* residual, const void* mean,
               const acc_t* rest, const void* spread, const void* weight, const void* bias,
               scalar_t* __restrict__ y, Rows<3> p, NormParams n) {
    __shared__ Coefficients shared[LANES * VEC_SIZE];
    const scalar_t* const operand[3] = {x, residual ? residual : x, y};
    const RowThread<3> t(p, operand);
    const NormArrays from = {mean, spread, rest, weight, bias};
    Coefficients c[VEC_SIZE];
    per_channel(t, shared, c, [&](index_t set) { return coefficients(from, set, n); });
    t.each_rows<ROWS>([&](index_t row, auto way) {
        constexpr int N = way.rows;
        Vec of_x[N], more[N];
        t.load<way.vectors>(x, 0, row, of_x);
        if (residual) t.load<way.vectors>(residual, 1, row, more);
#pragma unroll
        for (int r = 0; r < N; ++r) {
            if (!t.has_row(row, r)) continue;
            acc_t value[VEC_SIZE], added[VEC_SIZE] = {};
            unpack(of_x[r].at, value);
            if (residual) unpack(more[r].at, added);
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k)
                value[k] = rectified(c[k].forward(value[k]) + added[k]);
            t.store<way.vectors>(y, 2, row + r * t.groups, value);
        }
    });
}

// Of 16 bits it spills on sm_120 where two blocks are to fit.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1200
constexpr int MASKED_BLOCKS = sizeof(scalar_t) > 2 ? 2 : 1;
#else
constexpr int MASKED_BLOCKS = 2;
#endif

extern "C" __global__ void __launch_bounds__(THREADS, MASKED_BLOCKS)
masked_sums_planes(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
                   const scalar_t* __restrict__ y, const void* mean, const void* spread,
                   scalar_t* __restrict__ g, SumPair* __restrict__ parts, Planes<4> p,
                   NormParams n) {
    __shared__ SumPair shared[WARPS];
    const NormArrays from = {mean, spread, nullptr, nullptr, nullptr};
    const Coefficients c = of_set([&](index_t set) { return coefficients_of_dy(from, set, n); });
    const scalar_t* const operand[4] = {dy, x, y, g};
    SumPair mine = {};
    each_of_set(p, operand, [&](auto run, const scalar_t* const (&plane)[4]) {
        Vec of_dy[run.VECTORS], of_x[run.VECTORS], of_y[run.VECTORS];
        run.load(plane[0], p.along, 0, of_dy);
        run.load(plane[1], p.along, 1, of_x);
        run.load(plane[2], p.along, 2, of_y);
#pragma unroll
        for (int r = 0; r < run.VECTORS; ++r) {
            if (!run.has(r)) continue;
            acc_t grad[VEC_SIZE], v[VEC_SIZE], w[VEC_SIZE];
            unpack(of_dy[r].at, grad);
            unpack(of_x[r].at, v);
            unpack(of_y[r].at, w);
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) {
                grad[k] = let_through(grad[k], w[k]);
                if (!run.has(r, k)) continue;
                mine.first += grad[k];
                mine.second += grad[k] * c.z_and_lag(v[k]);
            }
            run.store(const_cast<scalar_t*>(plane[3]), p.along, 3, r, grad);
        }
    });
    mine = merge_block(mine, shared);
    if (threadIdx.x == 0 && threadIdx.y == 0)
        parts[static_cast<index_t>(blockIdx.x) * gridDim.y + blockIdx.y] = mine;
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
masked_sums_rows(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
                 const scalar_t* __restrict__ y, const void* mean, const void* spread,
                 scalar_t* __restrict__ g, SumPair* __restrict__ parts, Rows<4> p, NormParams n) {
    __shared__ SumPair shared[THREADS * VEC_SIZE];
    __shared__ Coefficients of[LANES * VEC_SIZE];
    const NormArrays from = {mean, spread, nullptr, nullptr, nullptr};
    const scalar_t* const operand[4] = {dy, x, y, g};
    const RowThread<4> t(p, operand);
    Coefficients c[VEC_SIZE];
    per_channel(t, of, c, [&](index_t set) { return coefficients_of_dy(from, set, n); });
    SumPair mine[VEC_SIZE] = {};
    t.each_rows<ROWS / 2>([&](index_t row, auto way) {
        constexpr int N = way.rows;
        Vec of_dy[N], of_x[N], of_y[N];
        t.load<way.vectors>(dy, 0, row, of_dy);
        t.load<way.vectors>(x, 1, row, of_x);
        t.load<way.vectors>(y, 2, row, of_y);
#pragma unroll
        for (int r = 0; r < N; ++r) {
            if (!t.has_row(row, r)) continue;
            acc_t grad[VEC_SIZE], v[VEC_SIZE], w[VEC_SIZE];
            unpack(of_dy[r].at, grad);
            unpack(of_x[r].at, v);
            unpack(of_y[r].at, w);
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) {
                grad[k] = let_through(grad[k], w[k]);
                if (!way.vectors && !t.has(k)) continue;
                mine[k].first += grad[k];
                mine[k].second += grad[k] * c[k].z_and_lag(v[k]);
            }
            t.store<way.vectors>(g, 3, row + r * t.groups, grad);
        }
    });
    merge_rows(t, mine, shared, [&](index_t part, const SumPair& all) { parts[part] = all; });
}
