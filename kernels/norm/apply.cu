// norm/apply.cu: normalisation by statistics that are there already.
//
// Computes   y = (x - mean[t]) * rstd[t] * weight[c] + bias[c], or with 1 / sqrt(variance[t] + eps)
//            in place of rstd[t], for channel c and its statistic t
// Layout     x any strides; y of either layout, contiguous
// Launch     norm_planes: block (32, 8), grid (sets, segments). norm_rows: block 256,
//            grid (images * tiles, segments). Shared memory: what the block's
//            channels are computed with, 6 numbers each, so that they are read and worked out once
// Traffic    |x| + |y| bytes; 4 flop an element
// Range      any extents, 64-bit index arithmetic. Parameters and statistics are of the type of
//            x or of that which it is computed in. x - mean is taken before the product, which
//            keeps the digits where the mean is large
// Siblings   planes where the elements of a channel are neighbours (NCHW), rows where the
//            channels are (NHWC)
// Source     Ioffe, Szegedy: Batch normalization, 2015
//
// entry norm_planes  normalisation by given statistics, elements of a channel being neighbours
// entry norm_rows    normalisation by given statistics, channels being neighbours
// variant SCALAR = floating
#include <pycnn/norm_planes.cuh>
#include <pycnn/norm_rows.cuh>

extern "C" __global__ void __launch_bounds__(THREADS, 1)
norm_planes(const scalar_t* __restrict__ x, const void* mean, const acc_t* rest, const void* spread,
            const void* weight, const void* bias, scalar_t* __restrict__ y, Planes<2> p,
            NormParams n) {
    const NormArrays from = {mean, spread, rest, weight, bias};
    const Coefficients c = of_set([&](index_t set) { return coefficients(from, set, n); });
    const scalar_t* const operand[2] = {x, y};
    each_of_set(p, operand, [&](auto run, const scalar_t* const (&plane)[2]) {
        Vec vec[run.VECTORS];
        run.load(plane[0], p.along, 0, vec);
#pragma unroll
        for (int r = 0; r < run.VECTORS; ++r) {
            if (!run.has(r)) continue;
            acc_t value[VEC_SIZE];
            unpack(vec[r].at, value);
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) value[k] = c.forward(value[k]);
            run.store(const_cast<scalar_t*>(plane[1]), p.along, 1, r, value);
        }
    });
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
norm_rows(const scalar_t* __restrict__ x, const void* mean, const acc_t* rest, const void* spread,
          const void* weight, const void* bias, scalar_t* __restrict__ y, Rows<2> p, NormParams n) {
    __shared__ Coefficients shared[LANES * VEC_SIZE];
    const scalar_t* const operand[2] = {x, y};
    const RowThread<2> t(p, operand);
    const NormArrays from = {mean, spread, rest, weight, bias};
    Coefficients c[VEC_SIZE];
    per_channel(t, shared, c, [&](index_t set) { return coefficients(from, set, n); });
    t.each_rows<ROWS>([&](index_t row, auto way) {
        constexpr int N = way.rows;
        Vec vec[N];
        t.load<way.vectors>(x, 0, row, vec);
#pragma unroll
        for (int r = 0; r < N; ++r) {
            if (!t.has_row(row, r)) continue;
            acc_t value[VEC_SIZE];
            unpack(vec[r].at, value);
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) value[k] = c[k].forward(value[k]);
            t.store<way.vectors>(y, 1, row + r * t.groups, value);
        }
    });
}
