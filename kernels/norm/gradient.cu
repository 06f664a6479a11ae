// norm/gradient.cu: gradients of normalisation with given statistics, or with those of x.
//
// Computes   dbias[c] = sum dy, dweight[c] = sum dy * z      with z = (x - mean[t]) * rstd[t]
//            dx = rstd[t] * (weight[c] * dy - a[t] - z * b[t])
//            with the means over statistic t of a = weight[c] * dy and b = weight[c] * dy * z;
//            a = b = 0 where the statistics did not come from x
// Layout     dy, x any strides; dx of either layout, contiguous; the rest contiguous
// Launch     as norm/apply.cu; gradient_parameters a block a channel, gradient_means a block a
//            statistic, of 32 to 256 threads. Where these are the same, the former does for both
// Traffic    sums: |dy| + |x| bytes, and |dx| if it is written in the same pass, for given
//            statistics; gradient: |dy| + |x| + |dx|. 4 and 5 flop an element
// Range      any extents, 64-bit index arithmetic; gathers and sums in an order that depends on
//            the shape alone: deterministic
// Siblings   planes where the elements of a channel are neighbours (NCHW), rows where the
//            channels are (NHWC). norm/layer.cu where all of a statistic's elements fit on chip
// Source     Ioffe, Szegedy: Batch normalization, 2015, section 3
//
// entry gradient_sums_planes  sums behind dweight and dbias by segment, elements being neighbours
// entry gradient_sums_rows    sums behind dweight and dbias by segment, channels being neighbours
// entry gradient_fixed_planes   those sums, and the gradient of given statistics, likewise
// entry gradient_fixed_rows     those sums, and the gradient of given statistics, likewise
// entry gradient_sums_slices    the same of rows that have a statistic each
// entry gradient_parameters   dweight and dbias from the segments, and means of batch norm
// entry gradient_means        means of weighted dy and dy * z from the segments
// entry gradient_planes       gradient with respect to x, elements of a channel being neighbours
// entry gradient_rows         gradient with respect to x, channels being neighbours
// variant SCALAR = floating
#include <pycnn/norm_planes.cuh>
#include <pycnn/norm_rows.cuh>

struct SumsParams {
    index_t channels, images, group;
    index_t segments;
    index_t statistics;
    index_t weight;  // elements from one to the next
    double count;    // elements behind a statistic
    int weight_wide, dweight_wide, dbias_wide;
};

#define OPERANDS                                                                             \
    const scalar_t *__restrict__ dy, const scalar_t *__restrict__ x, const void *mean,       \
        const acc_t *rest, const void *spread, const void *weight

// DX: the statistics are given, and dx is written.
template <bool DX>
__device__ __forceinline__ void sums_of_planes(const scalar_t* dy, const scalar_t* x,
                                               const NormArrays& from, scalar_t* dx,
                                               SumPair* parts, const Planes<3>& p,
                                               const NormParams& n) {
    __shared__ SumPair shared[WARPS];
    const Coefficients c = of_set([&](index_t set) { return coefficients_of_dy(from, set, n); });
    const scalar_t* const operand[3] = {dy, x, DX ? dx : dy};
    SumPair mine = {};
    each_of_set(p, operand, [&](auto run, const scalar_t* const (&plane)[3]) {
        Vec of_dy[run.VECTORS], of_x[run.VECTORS];
        run.load(plane[0], p.along, 0, of_dy);
        run.load(plane[1], p.along, 1, of_x);
#pragma unroll
        for (int r = 0; r < run.VECTORS; ++r) {
            if (!run.has(r)) continue;
            acc_t g[VEC_SIZE], v[VEC_SIZE];
            unpack(of_dy[r].at, g);
            unpack(of_x[r].at, v);
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) {
                if (!run.has(r, k)) continue;
                mine.first += g[k];
                mine.second += g[k] * c.z_and_lag(v[k]);
                if (DX) g[k] *= c.scale;
            }
            if (DX) run.store(const_cast<scalar_t*>(plane[2]), p.along, 2, r, g);
        }
    });
    mine.second -= c.lag * mine.first;
    mine = merge_block(mine, shared);
    if (threadIdx.x == 0 && threadIdx.y == 0)
        parts[static_cast<index_t>(blockIdx.x) * gridDim.y + blockIdx.y] = mine;
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
gradient_sums_planes(OPERANDS, SumPair* __restrict__ parts, Planes<3> p, NormParams n) {
    sums_of_planes<false>(dy, x, {mean, spread, rest, weight, nullptr}, nullptr, parts, p, n);
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
gradient_fixed_planes(OPERANDS, scalar_t* __restrict__ dx, SumPair* __restrict__ parts, Planes<3> p,
                      NormParams n) {
    sums_of_planes<true>(dy, x, {mean, spread, rest, weight, nullptr}, dx, parts, p, n);
}

// PER_ROW: every row has a statistic of its own (layer norm). DX: those are given, and dx is written.
template <bool PER_ROW, bool DX>
__device__ __forceinline__ void sums_of_rows(const scalar_t* dy, const scalar_t* x,
                                             const NormArrays& from, scalar_t* dx, SumPair* parts,
                                             const Rows<3>& p, const NormParams& n) {
    __shared__ SumPair shared[THREADS * VEC_SIZE];
    __shared__ Coefficients of[PER_ROW ? 1 : LANES * VEC_SIZE];
    const scalar_t* const operand[3] = {dy, x, DX ? dx : dy};
    const RowThread<3> t(p, operand);
    Coefficients c[VEC_SIZE];
    if (!PER_ROW)
        per_channel(t, of, c, [&](index_t set) { return coefficients_of_dy(from, set, n); });
    SumPair mine[VEC_SIZE] = {};
    t.each_rows<ROWS / 2>([&](index_t row, auto way) {
        constexpr int N = way.rows;
        Vec of_dy[N], of_x[N];
        t.load<way.vectors>(dy, 0, row, of_dy);
        t.load<way.vectors>(x, 1, row, of_x);
#pragma unroll
        for (int r = 0; r < N; ++r) {
            if (!t.has_row(row, r)) continue;
            acc_t g[VEC_SIZE], v[VEC_SIZE];
            unpack(of_dy[r].at, g);
            unpack(of_x[r].at, v);
            Statistic s;
            if (PER_ROW) s = statistic(from, row + r * t.groups, n);
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) {
                if (!way.vectors && !t.has(k)) continue;
                mine[k].first += g[k];
                mine[k].second += g[k] * (PER_ROW ? s.z(v[k]) : c[k].z_and_lag(v[k]));
                if (DX) g[k] *= c[k].scale;
            }
            if (DX) t.store<way.vectors>(dx, 2, row + r * t.groups, g);
        }
    });
    if (!PER_ROW)
#pragma unroll
        for (int k = 0; k < VEC_SIZE; ++k)
            if (t.y < t.groups && t.has(k)) mine[k].second -= c[k].lag * mine[k].first;
    merge_rows(t, mine, shared, [&](index_t part, const SumPair& all) { parts[part] = all; });
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
gradient_sums_rows(OPERANDS, SumPair* __restrict__ parts, Rows<3> p, NormParams n) {
    sums_of_rows<false, false>(dy, x, {mean, spread, rest, weight, nullptr}, nullptr, parts, p, n);
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
gradient_fixed_rows(OPERANDS, scalar_t* __restrict__ dx, SumPair* __restrict__ parts, Rows<3> p,
                    NormParams n) {
    sums_of_rows<false, true>(dy, x, {mean, spread, rest, weight, nullptr}, dx, parts, p, n);
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
gradient_sums_slices(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
                     const void* statistics, SumPair* __restrict__ parts, Rows<3> p,
                     NormParams n) {
    const NormArrays from = {statistics, nullptr, nullptr, nullptr, nullptr};
    sums_of_rows<true, false>(dy, x, from, nullptr, parts, p, n);
}

__device__ __forceinline__ acc_t weight_of(const void* weight, index_t channel,
                                           const SumsParams& p) {
    return weight ? parameter(weight, channel * p.weight, p.weight_wide) : acc_t(1);
}

// `means`: null, or what gradient_means makes, where every channel has a statistic of its own.
extern "C" __global__ void __launch_bounds__(THREADS, 1)
gradient_parameters(const SumPair* __restrict__ parts, const void* __restrict__ weight,
                    void* __restrict__ dweight, void* __restrict__ dbias,
                    SumPair* __restrict__ means, SumsParams p) {
    __shared__ SumPair shared[LANES];
    const index_t channel = blockIdx.x;
    if (channel >= p.channels) return;  // the whole block
    SumPair all = {};
#pragma unroll 4
    for (index_t i = threadIdx.x; i < p.images * p.segments; i += blockDim.x) {
        const index_t image = i / p.segments, segment = i - image * p.segments;
        all.merge(parts[(image * p.channels + channel) * p.segments + segment]);
    }
    all = merge_block(all, shared);
    if (threadIdx.x != 0) return;
    store_parameter(dbias, channel, p.dbias_wide, all.first);
    store_parameter(dweight, channel, p.dweight_wide, all.second);
    if (!means) return;
    const acc_t w = weight_of(weight, channel, p), count = static_cast<acc_t>(p.count);
    means[channel] = {w * all.first / count, w * all.second / count};
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
gradient_means(const SumPair* __restrict__ parts, const void* __restrict__ weight,
               SumPair* __restrict__ means, SumsParams p) {
    __shared__ SumPair shared[LANES];
    const index_t statistic = blockIdx.x;
    if (statistic >= p.statistics) return;  // the whole block
    SumPair all = {};
#pragma unroll 4
    for (index_t i = threadIdx.x; i < p.group * p.segments; i += blockDim.x) {
        const index_t set = statistic * p.group + i / p.segments;
        const acc_t w = weight_of(weight, set % p.channels, p);
        const SumPair part = parts[statistic * p.group * p.segments + i];
        all.first += w * part.first;
        all.second += w * part.second;
    }
    all = merge_block(all, shared);
    if (threadIdx.x != 0) return;
    const acc_t count = static_cast<acc_t>(p.count);
    all.first /= count;
    all.second /= count;
    means[statistic] = all;
}

// dx = dy * scale - (x - mean) * tilt - shift
__device__ __forceinline__ Coefficients of_gradient(const NormArrays& from, const SumPair* means,
                                                    index_t set, const NormParams& n) {
    Coefficients c = coefficients_of_dy(from, set, n);
    const acc_t rstd = c.tilt;
    const SumPair mean = means[set / n.group];
    c.tilt = rstd * c.unit * rstd * mean.second;
    c.shift = rstd * c.unit * (mean.first - c.lag * mean.second);
    return c;
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
gradient_planes(OPERANDS, const SumPair* __restrict__ means, scalar_t* __restrict__ dx, Planes<3> p,
                NormParams n) {
    const NormArrays from = {mean, spread, rest, weight, nullptr};
    const Coefficients c =
        of_set([&](index_t set) { return of_gradient(from, means, set, n); });
    const scalar_t* const operand[3] = {dy, x, dx};
    each_of_set(p, operand, [&](auto run, const scalar_t* const (&plane)[3]) {
        Vec of_dy[run.VECTORS], of_x[run.VECTORS];
        run.load(plane[0], p.along, 0, of_dy);
        run.load(plane[1], p.along, 1, of_x);
#pragma unroll
        for (int r = 0; r < run.VECTORS; ++r) {
            if (!run.has(r)) continue;
            acc_t g[VEC_SIZE], v[VEC_SIZE];
            unpack(of_dy[r].at, g);
            unpack(of_x[r].at, v);
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) g[k] = c.backward(g[k], v[k]);
            run.store(const_cast<scalar_t*>(plane[2]), p.along, 2, r, g);
        }
    });
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
gradient_rows(OPERANDS, const SumPair* __restrict__ means, scalar_t* __restrict__ dx, Rows<3> p,
              NormParams n) {
    __shared__ Coefficients shared[LANES * VEC_SIZE];
    const scalar_t* const operand[3] = {dy, x, dx};
    const RowThread<3> t(p, operand);
    const NormArrays from = {mean, spread, rest, weight, nullptr};
    Coefficients c[VEC_SIZE];
    per_channel(t, shared, c, [&](index_t set) { return of_gradient(from, means, set, n); });
    t.each_rows<ROWS>([&](index_t row, auto way) {
        constexpr int N = way.rows;
        Vec of_dy[N], of_x[N];
        t.load<way.vectors>(dy, 0, row, of_dy);
        t.load<way.vectors>(x, 1, row, of_x);
#pragma unroll
        for (int r = 0; r < N; ++r) {
            if (!t.has_row(row, r)) continue;
            acc_t g[VEC_SIZE], v[VEC_SIZE];
            unpack(of_dy[r].at, g);
            unpack(of_x[r].at, v);
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) g[k] = c[k].backward(g[k], v[k]);
            t.store<way.vectors>(dx, 2, row + r * t.groups, g);
        }
    });
}
