// norm/group_rows.cu: group norm of channels last, read once into shared memory.
//
// Computes   y = (x - mean) * rstd * weight[c] + bias[c], where mean and rstd = 1 / sqrt(variance + eps)
//            are of a group of channels of one image, by sums of differences from the group's first
//            element, or where that is far from the mean, from the mean
// Layout     contiguous, channels last, their number whole vectors of 16 bytes
// Launch     block 32 to 256, grid: images * tiles of whole groups, two vectors of channels and more, so
//            that sectors are whole. Shared memory: the tile, and two numbers for each thread, or for each
//            column of it
// Traffic    |x| + |y| bytes, 128 bits an access. 9 flop an element
// Range      tiles that fit into the shared memory of a multiprocessor. Elements come and go one by one
//            where an address is no multiple of 16 bytes. Groups whose squares overflow are summed once
//            more, scaled. NaN or an infinity makes its group NaN; deterministic
// Siblings   norm/moments.cu and apply.cu for groups of any size; norm/layer_vectors.cu and layer.cu for
//            those of channels first; norm/small.cu for batch norm
// Source     Wu, He: Group normalization, 2018
//
// entry group_rows  normalised groups of channels last
// variant SCALAR = floating
#include <pycnn/async_copy.cuh>
#include <pycnn/norm_tile.cuh>

constexpr int MOST = 256;  // threads

struct Group {
    Tile tile;
    int tiles;  // of an image
    int each;   // vectors that shared memory has room for, of a thread
};

template <bool WHOLE>
__device__ __forceinline__ void normalise(const scalar_t* __restrict__ x, const NormArrays& from,
                                          scalar_t* __restrict__ y, const Group& p,
                                          const NormParams& n, unsigned char* room) {
    __shared__ acc_t unit_of[SETS], centre_of[SETS], mean_of[SETS], rstd_of[SETS];
    const index_t image = blockIdx.x / p.tiles;
    const TileThread t(p.tile, p.tile.columns / p.tile.spread, blockIdx.x - image * p.tiles);
    const index_t begin = image * p.tile.rows * p.tile.columns;
    const int threads = static_cast<int>(blockDim.x);
    Vec* const kept = reinterpret_cast<Vec*>(room) + threadIdx.x;  // of no other thread
    auto* const sums_of = reinterpret_cast<SumPair*>(room + p.each * threads * sizeof(Vec));
    x += begin;
    for (int r = 0; t.has(r); ++r) {
        if constexpr (WHOLE)
            copy_async<sizeof(Vec)>(kept + r * threads, x + t.at(r) * VEC_SIZE);
        else
            t.load<false>(x, r, kept[r * threads]);
    }
    copy_async_commit();
    acc_t scale[VEC_SIZE], shift[VEC_SIZE];
#pragma unroll
    for (int k = 0; k < VEC_SIZE; ++k) {
        const index_t c = t.vector * VEC_SIZE + k;
        const bool there = t.row < p.tile.rows;
        scale[k] = from.weight && there ? parameter(from.weight, c * n.weight, n.weight_wide) : acc_t(1);
        shift[k] = from.bias && there ? parameter(from.bias, c * n.bias, n.bias_wide) : acc_t(0);
    }
    copy_async_wait<0>();
    if (t.row == 0) {
        acc_t value[VEC_SIZE];
        unpack(kept->at, value);
        t.each_column([&](int k, int its, bool begins) {
            if (!begins) return;
            centre_of[its] = value[k];
            unit_of[its] = 1;
        });
    }
    __syncthreads();
    // body(r, differences from the centre)
    acc_t centre[VEC_SIZE], unit[VEC_SIZE];
    const auto each = [&](auto body) {
        t.of_columns(centre_of, centre);
        t.of_columns(unit_of, unit);
#pragma unroll 4
        for (int r = 0; t.has(r); ++r) {
            const Vec own = kept[r * threads];
            acc_t off[VEC_SIZE];
            unpack(own.at, off);
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) off[k] = off[k] * unit[k] - centre[k];
            body(r, off);
        }
    };
    const acc_t count = static_cast<acc_t>(p.tile.rows) * p.tile.spread;
#pragma unroll 1
    for (int pass = 0; true; ++pass) {  // GCC takes no pragma without a condition
        SumPair sums[VEC_SIZE] = {};
        each([&](int, const acc_t (&off)[VEC_SIZE]) {
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) {
                sums[k].first += off[k];
                sums[k].second += off[k] * off[k];
            }
        });
        bool fit = true;
        t.reduce<true>(sums, sums_of, [&](int its, const SumPair& all) {
            Moments own;
            if (!settled(pass, all, count, unit_of[its], centre_of[its], own)) fit = false;
            mean_of[its] = own.mean;
            rstd_of[its] = own.rstd(static_cast<acc_t>(n.eps), unit_of[its]);
        });
        if (!__syncthreads_or(!fit)) break;
    }
    t.each_column([&](int k, int its, bool) {
        scale[k] *= rstd_of[its];
        shift[k] -= mean_of[its] * scale[k];
    });
    y += begin;
    each([&](int r, acc_t (&off)[VEC_SIZE]) {
#pragma unroll
        for (int k = 0; k < VEC_SIZE; ++k) off[k] = off[k] * scale[k] + shift[k];
        t.store<WHOLE>(y, r, off);
    });
}

extern "C" __global__ void __launch_bounds__(MOST, 2)
group_rows(const scalar_t* __restrict__ x, const void* weight, const void* bias,
           scalar_t* __restrict__ y, Group p, NormParams n) {
    extern __shared__ __align__(16) unsigned char room[];
    const NormArrays from = {nullptr, nullptr, nullptr, weight, bias};
    if (aligned(x) && aligned(y))
        normalise<true>(x, from, y, p, n, room);
    else
        normalise<false>(x, from, y, p, n, room);
}
