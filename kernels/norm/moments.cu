// norm/moments.cu: mean and variance of every channel, over all images or of each.
//
// Computes   mean[t] = sum of x / n,  rstd[t] = 1 / sqrt(sum of (x - mean[t])^2 / n + eps) over the
//            n elements of statistic t; rest[t], what rounding took away from mean[t];
//            running' = (1 - momentum) running + momentum * (mean, or variance with n - 1)
// Layout     x any strides; the rest contiguous
// Launch     moments_planes: block (32, 8), grid (sets, segments). moments_rows: block 256, grid
//            (images * tiles, segments). moments_merge: a block a statistic, 32 to
//            256 threads. Shared memory: a partial result for each warp, or each thread's channels
// Traffic    |x| bytes, and 64 for each set and segment; 7 flop an element
// Range      any extents, 64-bit index arithmetic; large means and small variances keep their
//            digits: see welford.cuh. NaN or an infinity makes the statistic NaN. Segments whose
//            squares overflow are gone through once more, scaled; their counts are negative. The
//            order of the merges depends on the shape alone: deterministic
// Siblings   planes where the elements of a channel are neighbours (NCHW), rows where the
//            channels are (NHWC), or small maps of them. norm/layer.cu where all of a statistic's elements fit on chip.
// Source     Welford: Note on a method for calculating corrected sums, Technometrics 4, 1962;
//            Chan, Golub, LeVeque: Updating formulae, Stanford STAN-CS-79-773, 1979
//
// entry moments_planes  moments of segments of channels, whose elements are neighbours
// entry moments_rows    moments of segments of channels, channels being neighbours
// entry moments_merge   mean and standard deviation from segments, and running statistics
// variant SCALAR = floating
#include <pycnn/norm_planes.cuh>
#include <pycnn/norm_rows.cuh>

constexpr int AT_ONCE = 2;  // parts that a thread asks for together

struct MergeParams {
    index_t statistics;
    index_t parts;           // of one statistic: neighbours
    index_t mean, variance;  // running ones: elements from one to the next
    int mean_wide, variance_wide;
    double eps, momentum;
};

extern "C" __global__ void __launch_bounds__(THREADS, 2)
moments_planes(const scalar_t* __restrict__ x, Moments* __restrict__ parts, Planes<1> p) {
    __shared__ Moments shared[WARPS];
    const scalar_t* const operand[1] = {x};
    Moments mine;
    acc_t unit = 1;
#pragma unroll 1
    for (int pass = 0; pass < 2; ++pass) {
        mine = Moments();
        each_of_set(p, operand, [&](auto run, const scalar_t* const (&plane)[1]) {
            constexpr int N = run.VECTORS;
            Vec vec[N];
            run.load(plane[0], p.along, 0, vec);
            // Differences from one of them: no more than log2(N * VEC_SIZE) bits go.
            Moments few = {};
            acc_t sum = 0;
#pragma unroll
            for (int r = 0; r < N; ++r) {
                if (!run.has(r)) continue;
                acc_t value[VEC_SIZE];
                unpack(vec[r].at, value);
#pragma unroll
                for (int k = 0; k < VEC_SIZE; ++k) {
                    if (!run.has(r, k)) continue;
                    if ((N == 1 || k == 0) && few.count == 0) few.pivot = value[k] * unit;
                    if (N == 1) few.count += 1;
                    const acc_t off = value[k] * unit - few.pivot;
                    sum += off;
                    few.squares += off * off;
                }
                if (N > 1) few.count += VEC_SIZE;
            }
            if (few.count == 0) return;
            few.mean = sum / few.count;
            few.squares -= sum * few.mean;
            mine.merge(few);
        });
        mine = merge_block(mine, shared);
        if (pass == 1 || mine.fits()) break;  // all threads have the same bits
        unit = far_unit<acc_t>();
    }
    if (unit != 1) mine.count = -mine.count;
    if (threadIdx.x == 0 && threadIdx.y == 0)
        parts[static_cast<index_t>(blockIdx.x) * gridDim.y + blockIdx.y] = mine;
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
moments_rows(const scalar_t* __restrict__ x, Moments* __restrict__ parts, Rows<1> p) {
    __shared__ Moments shared[THREADS * VEC_SIZE];
    const scalar_t* const operand[1] = {x};
    const RowThread<1> t(p, operand);
    acc_t unit = 1;
#pragma unroll 1
    for (int pass = 0; pass < 2; ++pass) {
        ColumnMoments columns;
        const auto state = [&](int k) -> Moments& { return shared[place_in_rows(t, k)]; };
        t.each_rows<ROWS>([&](index_t row, auto way) {
            Vec vec[way.rows];
            t.load<way.vectors>(x, 0, row, vec);
#pragma unroll
            for (int r = 0; r < way.rows; ++r) {
                if (!t.has_row(row, r)) continue;
                acc_t value[VEC_SIZE];
                unpack(vec[r].at, value);
                if (r == 0 && columns.count == 0) columns.begin(value, unit);
                columns.add(value, unit);
            }
            if (columns.count > ColumnMoments::MOST - ROWS) columns.settle(state);
        });
        if (t.y < t.groups && (columns.count > 0 || !columns.merged)) columns.settle(state);
        bool fit = true;
        merge_rows(t, shared, [&](index_t part, Moments all) {
            if (pass == 1 && parts[part].fits()) return;  // this thread has written it
            if (pass == 1) all.count = -all.count;
            fit = fit && all.fits();
            parts[part] = all;
        });
        if (!__syncthreads_or(!fit)) return;
        unit = far_unit<acc_t>();
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
moments_merge(const Moments* __restrict__ parts, const void* __restrict__ running_mean,
              const void* __restrict__ running_var, acc_t* __restrict__ mean,
              acc_t* __restrict__ rest, acc_t* __restrict__ rstd, void* __restrict__ new_mean,
              void* __restrict__ new_var, MergeParams p) {
    __shared__ SumPair shared[LANES];
    const index_t statistic = blockIdx.x;
    if (statistic >= p.statistics) return;  // the whole block
    parts += statistic * p.parts;
    const acc_t old_mean =
        new_mean ? parameter(running_mean, statistic * p.mean, p.mean_wide) : acc_t(0);
    const acc_t old_var =
        new_var ? parameter(running_var, statistic * p.variance, p.variance_wide) : acc_t(0);
    Moments all;
    acc_t unit = 1;
#pragma unroll 1
    for (int pass = 0; pass < 2; ++pass) {
        // Sums over the parts, of body(part, mean less the pivot).
        const auto sums = [&](auto body) {
            SumPair mine = {};
            for (index_t first = threadIdx.x; first < p.parts; first += AT_ONCE * blockDim.x) {
                Moments part[AT_ONCE] = {};
#pragma unroll
                for (int k = 0; k < AT_ONCE; ++k)
                    if (first + k * blockDim.x < p.parts) part[k] = parts[first + k * blockDim.x];
#pragma unroll
                for (int k = 0; k < AT_ONCE; ++k) {
                    if (first + k * blockDim.x >= p.parts) break;
                    part[k] = in_units(part[k], unit);
                    mine.merge(body(part[k], (part[k].pivot - all.pivot) + part[k].mean));
                }
            }
            return merge_block(mine, shared);
        };
        all.pivot = in_units(parts[0], unit).pivot;
        const SumPair total = sums([](const Moments& part, acc_t its) {
            return SumPair{part.count, part.count * its};
        });
        all.count = total.first;
        all.mean = total.second / all.count;
        all.squares = sums([&](const Moments& part, acc_t its) {
            const acc_t apart = its - all.mean;
            return SumPair{part.squares + part.count * apart * apart, 0};
        }).first;
        if (pass == 1 || all.fits()) break;  // all threads have the same bits
        unit = far_unit<acc_t>();
    }
    if (threadIdx.x != 0) return;
    const acc_t whole_mean = all.whole_mean() / unit;
    mean[statistic] = whole_mean;
    if (rest) rest[statistic] = all.rest_of_mean() / unit;
    rstd[statistic] = all.rstd(static_cast<acc_t>(p.eps), unit) * unit;
    const acc_t fresh = static_cast<acc_t>(p.momentum), kept = static_cast<acc_t>(1 - p.momentum);
    if (new_mean)
        store_parameter(new_mean, statistic, p.mean_wide,
                        kept * old_mean + fresh * whole_mean);
    if (new_var)
        store_parameter(new_var, statistic, p.variance_wide,
                        kept * old_var + fresh * (all.squares / (all.count - 1) / unit / unit));
}
