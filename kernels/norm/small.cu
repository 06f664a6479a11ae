// norm/small.cu: batch norm of channels that a block keeps in registers, in one launch.
//
// Computes   forward as norm/moments.cu and norm/apply.cu together: mean and variance by sums of differences
//            from the channel's first element, or where that is far from the mean, from the mean; backward as
//            norm/gradient.cu
// Layout     contiguous; rows of whole vectors of 16 bytes: a pixel's channels, or an image's maps
// Launch     block 32 to 512, grid: tiles of one or two vectors of channels, or of as many maps as
//            are whole vectors. Shared memory: a number, or two, for each thread's columns
// Traffic    |x| + |y|, backward |dy| + |x| + |dx| bytes, 128 bits an access. 9 and 9 flop an element
// Range      up to 8 vectors a thread forward, and 7 of dy and of x backward. Elements come and go one
//            by one where an address is no multiple of 16 bytes. Channels whose squares overflow are
//            scaled in registers, and summed once more. NaN or an infinity makes its channel NaN;
//            deterministic
// Siblings   norm/moments.cu, apply.cu and gradient.cu for channels of any number of elements
// Source     Ioffe, Szegedy: Batch normalization, 2015, algorithm 1 and section 3
//
// entry small_forward   batch norm of channels in registers, and new running statistics
// entry small_backward  its gradients, of channels in registers
// variant SCALAR = floating
#include <pycnn/norm_tile.cuh>

constexpr int MOST = 512;                // threads
constexpr int FORWARD = 8, BACKWARD = 7;  // vectors of a thread, of each operand

struct Small {
    Tile tile;
    int dweight_wide, dbias_wide;
    double momentum;
};

// A thread's vectors, in registers.
template <bool WHOLE, int COUNT>
struct SmallThread : TileThread {
    using TileThread::TileThread;

    // All requested before any is used.
    __device__ __forceinline__ void load(const scalar_t* __restrict__ from,
                                         Vec (&vec)[COUNT]) const {
#pragma unroll
        for (int r = 0; r < COUNT; ++r) TileThread::load<WHOLE>(from, r, vec[r]);
    }

    // body(r) of every vector that is there.
    template <typename Body>
    __device__ __forceinline__ void each(Body body) const {
#pragma unroll
        for (int r = 0; r < COUNT; ++r)
            if (has(r)) body(r);
    }
};

// Of each channel of a block.
struct Kept {
    acc_t weight[SETS], unit[SETS], centre[SETS], scale[SETS], shift[SETS], tilt[SETS];
};

struct Fresh {
    acc_t *mean, *rstd;
    void *running_mean, *running_var;
};

__device__ __forceinline__ acc_t affine(const void* from, index_t i, int wide, acc_t missing) {
    return from ? parameter(from, i, wide) : missing;
}

template <bool WHOLE>
__device__ __forceinline__ void forward(const scalar_t* __restrict__ x, const NormArrays& from,
                                        scalar_t* __restrict__ y, const Fresh& to, const Small& p,
                                        const NormParams& n, SumPair* room) {
    __shared__ Kept kept;
    __shared__ acc_t bias[SETS], mean[SETS], squares[SETS];
    const SmallThread<WHOLE, FORWARD> t(p.tile, n.channels, blockIdx.x);
    const int thread = static_cast<int>(threadIdx.x);
    const acc_t count = static_cast<acc_t>(p.tile.rows) * p.tile.spread;
    Vec vec[FORWARD];
    t.load(x, vec);
    if (thread < t.sets) {
        const index_t channel = t.first_set + thread;
        kept.weight[thread] = affine(from.weight, channel * n.weight, n.weight_wide, 1);
        bias[thread] = affine(from.bias, channel * n.bias, n.bias_wide, 0);
        kept.unit[thread] = 1;
    }
    const auto values = [&](int r, acc_t (&value)[VEC_SIZE]) {
        const Vec own = hidden(vec[r]);
        unpack(own.at, value);
    };
    if (t.row == 0) {
        acc_t value[VEC_SIZE];
        values(0, value);
        t.each_column([&](int k, int its, bool begins) {
            if (begins) kept.centre[its] = value[k];
        });
    }
    __syncthreads();
    acc_t centre[VEC_SIZE];
#pragma unroll 1
    for (int pass = 0; true; ++pass) {  // GCC takes no pragma without a condition
        t.of_columns(kept.centre, centre);
        SumPair sums[VEC_SIZE] = {};
        t.each([&](int r) {
            acc_t value[VEC_SIZE];
            values(r, value);
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) {
                const acc_t off = value[k] - centre[k];
                sums[k].first += off;
                sums[k].second += off * off;
            }
        });
        bool fit = true;
        t.template reduce<false>(sums, room, [&](int its, const SumPair& all) {
            Moments own;
            if (!settled(pass, all, count, kept.unit[its], kept.centre[its], own)) fit = false;
            const acc_t rstd = own.rstd(static_cast<acc_t>(n.eps), kept.unit[its]);
            kept.tilt[its] = rstd;
            mean[its] = own.whole_mean();
            squares[its] = own.squares;
            kept.scale[its] = rstd * kept.weight[its];
            kept.shift[its] = bias[its] - own.mean * kept.scale[its];
        });
        if (!__syncthreads_or(!fit)) break;
        if (pass > 0) continue;
        // What does not fit, scaled in place: a power of two, which costs no digits.
        acc_t unit[VEC_SIZE];
        t.of_columns(kept.unit, unit);
#pragma unroll
        for (int r = 0; r < FORWARD; ++r) {
            acc_t value[VEC_SIZE];
            values(r, value);
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) vec[r].at[k] = from_acc(value[k] * unit[k]);
        }
    }
    acc_t scale[VEC_SIZE], shift[VEC_SIZE];
    t.of_columns(kept.scale, scale);
    t.of_columns(kept.shift, shift);
    t.each([&](int r) {
        acc_t value[VEC_SIZE];
        values(r, value);
#pragma unroll
        for (int k = 0; k < VEC_SIZE; ++k) value[k] = (value[k] - centre[k]) * scale[k] + shift[k];
        t.template store<WHOLE>(y, r, value);
    });
    if (thread >= t.sets) return;
    const index_t channel = t.first_set + thread;
    const acc_t its = kept.unit[thread], middle = mean[thread] / its;
    const acc_t fresh = static_cast<acc_t>(p.momentum), old = static_cast<acc_t>(1 - p.momentum);
    to.mean[channel] = middle;
    to.rstd[channel] = kept.tilt[thread] * its;
    if (to.running_mean)
        store_parameter(to.running_mean, channel, n.mean_wide,
                        old * parameter(from.mean, channel * n.mean, n.mean_wide) + fresh * middle);
    if (to.running_var)
        store_parameter(to.running_var, channel, n.spread_wide,
                        old * parameter(from.spread, channel * n.spread, n.spread_wide) +
                          fresh * (squares[thread] / (count - 1) / its / its));
}

template <bool WHOLE>
__device__ __forceinline__ void backward(const scalar_t* __restrict__ dy,
                                         const scalar_t* __restrict__ x, const NormArrays& from,
                                         scalar_t* __restrict__ dx, void* dweight, void* dbias,
                                         const Small& p, const NormParams& n, SumPair* room) {
    __shared__ Kept kept;
    const SmallThread<WHOLE, BACKWARD> t(p.tile, n.channels, blockIdx.x);
    const int thread = static_cast<int>(threadIdx.x);
    const acc_t count = static_cast<acc_t>(p.tile.rows) * p.tile.spread;
    Vec of_dy[BACKWARD], of_x[BACKWARD];
    t.load(dy, of_dy);
    t.load(x, of_x);
    if (thread < t.sets) {
        const index_t channel = t.first_set + thread;
        const acc_t rstd = parameter(from.spread, channel * n.spread, n.spread_wide);
        // In units of a deviation where that is large, so that products are no larger than sums of dy.
        const acc_t unit = rstd < 1 ? power_near(rstd) : acc_t(1);
        kept.unit[thread] = unit;
        kept.centre[thread] = parameter(from.mean, channel * n.mean, n.mean_wide) * unit;
        kept.tilt[thread] = rstd / unit;
        kept.weight[thread] = affine(from.weight, channel * n.weight, n.weight_wide, 1);
    }
    __syncthreads();
    acc_t centre[VEC_SIZE], unit[VEC_SIZE];
    t.of_columns(kept.centre, centre);
    t.of_columns(kept.unit, unit);
    // body(r, dy, differences from the mean)
    const auto each = [&](auto body) {
        t.each([&](int r) {
            acc_t g[VEC_SIZE], off[VEC_SIZE];
            const Vec its_dy = hidden(of_dy[r]), its_x = hidden(of_x[r]);
            unpack(its_dy.at, g);
            unpack(its_x.at, off);
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) off[k] = off[k] * unit[k] - centre[k];
            body(r, g, off);
        });
    };
    SumPair sums[VEC_SIZE] = {};
    each([&](int, const acc_t (&g)[VEC_SIZE], const acc_t (&off)[VEC_SIZE]) {
#pragma unroll
        for (int k = 0; k < VEC_SIZE; ++k) {
            sums[k].first += g[k];
            sums[k].second += g[k] * off[k];
        }
    });
    t.template reduce<false>(sums, room, [&](int its, const SumPair& all) {
        const index_t channel = t.first_set + its;
        const acc_t rstd = kept.tilt[its], product = all.second * rstd;
        store_parameter(dbias, channel, p.dbias_wide, all.first);
        store_parameter(dweight, channel, p.dweight_wide, product);
        const acc_t scale = rstd * kept.unit[its] * kept.weight[its];
        kept.scale[its] = scale;
        kept.shift[its] = scale * (all.first / count);
        kept.tilt[its] = scale * (product / count) * rstd;
    });
    __syncthreads();
    acc_t scale[VEC_SIZE], shift[VEC_SIZE], tilt[VEC_SIZE];
    t.of_columns(kept.scale, scale);
    t.of_columns(kept.shift, shift);
    t.of_columns(kept.tilt, tilt);
    each([&](int r, acc_t (&g)[VEC_SIZE], const acc_t (&off)[VEC_SIZE]) {
#pragma unroll
        for (int k = 0; k < VEC_SIZE; ++k) g[k] = g[k] * scale[k] - off[k] * tilt[k] - shift[k];
        t.template store<WHOLE>(dx, r, g);
    });
}

extern "C" __global__ void __launch_bounds__(MOST, 1)
small_forward(const scalar_t* __restrict__ x, const void* weight, const void* bias,
              const void* running_mean, const void* running_var, scalar_t* __restrict__ y,
              acc_t* mean, acc_t* rstd, void* new_mean, void* new_var, Small p, NormParams n) {
    extern __shared__ __align__(16) unsigned char room[];
    auto* const sums = reinterpret_cast<SumPair*>(room);
    const NormArrays from = {running_mean, running_var, nullptr, weight, bias};
    const Fresh to = {mean, rstd, new_mean, new_var};
    if (aligned(x) && aligned(y))
        forward<true>(x, from, y, to, p, n, sums);
    else
        forward<false>(x, from, y, to, p, n, sums);
}

extern "C" __global__ void __launch_bounds__(MOST, 1)
small_backward(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x, const void* mean,
               const void* rstd, const void* weight, scalar_t* __restrict__ dx, void* dweight,
               void* dbias, Small p, NormParams n) {
    extern __shared__ __align__(16) unsigned char room[];
    auto* const sums = reinterpret_cast<SumPair*>(room);
    const NormArrays from = {mean, rstd, nullptr, weight, nullptr};
    if (aligned(dy) && aligned(x) && aligned(dx))
        backward<true>(dy, x, from, dx, dweight, dbias, p, n, sums);
    else
        backward<false>(dy, x, from, dx, dweight, dbias, p, n, sums);
}
