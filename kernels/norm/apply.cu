// norm/apply.cu: normalisation by statistics that are there already.
//
// Computes   y = (x - mean[t]) * rstd[t] * weight[c] + bias[c], or with 1 / sqrt(variance[t] + eps)
//            in place of rstd[t], for channel c and its statistic t
// Layout     x any strides; y of either layout, contiguous
// Launch     norm_planes: block (32, 8), grid (sets, segments). norm_rows: block 256,
//            grid (images * tiles, segments). Shared memory: what the block's
//            channels are computed with, 6 numbers each, so that they are read and worked out once.
//            norm_few: block 256, a thread for a vector of four rows
// Traffic    |x| + |y| bytes; 4 flop an element
// Range      any extents, 64-bit index arithmetic. Parameters and statistics are of the type of
//            x or of that which it is computed in. x - mean is taken before the product, which
//            keeps the digits where the mean is large
// Siblings   planes where the elements of a channel are neighbours (NCHW), rows where the
//            channels are (NHWC); few where all is little: what a thread needs it asks for
//            itself, beside x, and waits for memory once
// Source     Ioffe, Szegedy: Batch normalization, 2015
//
// entry norm_planes  normalisation by given statistics, elements of a channel being neighbours
// entry norm_rows    normalisation by given statistics, channels being neighbours
// entry norm_few  normalisation of few contiguous rows by given statistics of channels
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

// Rows of whole vectors without gaps, of a pixel's channels or of an image's maps.
struct Vectors {
    unsigned vectors, spread;  // of a row; and elements of a channel: 1, or a vector and more
    int rows, groups;          // a thread has every `groups`-th row
};

template <bool WHOLE>
__device__ __forceinline__ void norm_own(const scalar_t* __restrict__ x, const NormArrays& from,
                                         scalar_t* __restrict__ y, const Vectors& p,
                                         const NormParams& n) {
    const unsigned thread = static_cast<unsigned>(flat_thread());
    const int first = static_cast<int>(thread / p.vectors);
    const unsigned vector = thread - first * p.vectors;
    if (first >= p.groups) return;
    const auto has = [&](int r) { return first + r * p.groups < p.rows; };
    const auto at = [&](int r) { return static_cast<index_t>(first + r * p.groups) * p.vectors + vector; };
    Vec vec[ROWS];  // of elements that come one by one nothing is kept: it would be twice as much
#pragma unroll
    for (int r = 0; r < ROWS; ++r)
        if (WHOLE && has(r)) vec[r] = reinterpret_cast<const Vec*>(x)[at(r)];
    Coefficients c[VEC_SIZE];
    const auto of = [&](index_t channel) {
        const Statistic its = statistic(from, channel, n);
        acc_t scale = its.rstd, shift = 0;
        if (from.weight) scale *= parameter(from.weight, channel * n.weight, n.weight_wide);
        if (from.bias) shift = parameter(from.bias, channel * n.bias, n.bias_wide);
        return Coefficients{its.mean, its.unit, scale, shift - its.rest * scale, 0, 0};
    };
    if (p.spread == 1) {
#pragma unroll
        for (int k = 0; k < VEC_SIZE; ++k) c[k] = of(vector * VEC_SIZE + k);
    } else {
        const unsigned channel = vector * VEC_SIZE / p.spread;
        const unsigned left = (channel + 1) * p.spread - vector * VEC_SIZE;
        const Coefficients a = of(channel), b = of(left < VEC_SIZE ? channel + 1 : channel);
#pragma unroll
        for (int k = 0; k < VEC_SIZE; ++k) c[k] = k < left ? a : b;
    }
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
        if (!has(r)) continue;
        acc_t value[VEC_SIZE];
        if constexpr (WHOLE)
            unpack(vec[r].at, value);
        else
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) value[k] = to_acc(x[at(r) * VEC_SIZE + k]);
        Vec made;
#pragma unroll
        for (int k = 0; k < VEC_SIZE; ++k) made.at[k] = from_acc(c[k].forward(value[k]));
        if constexpr (WHOLE)
            reinterpret_cast<Vec*>(y)[at(r)] = made;
        else
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) y[at(r) * VEC_SIZE + k] = made.at[k];
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 3)
norm_few(const scalar_t* __restrict__ x, const void* mean, const acc_t* rest, const void* spread,
             const void* weight, const void* bias, scalar_t* __restrict__ y, Vectors p,
             NormParams n) {
    const NormArrays from = {mean, spread, rest, weight, bias};
    if (aligned(x) && aligned(y))
        norm_own<true>(x, from, y, p, n);
    else
        norm_own<false>(x, from, y, p, n);
}
