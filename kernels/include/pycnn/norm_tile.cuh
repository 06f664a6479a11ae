// pycnn/norm_tile.cuh: tiles of whole sets that a block keeps on chip.
//
// A row holds a pixel's channels, or the maps of all channels of an image; `spread` neighbouring
// columns of it are of one *set*: a channel, or a group of channels. A block has some vectors of each
// row. The plans are in pycnn/plan/norm_small.py and norm_group.py.
#pragma once

#include <pycnn/narrow.cuh>
#include <pycnn/norm.cuh>

constexpr int SETS = 2 * VEC_SIZE;  // of a block, at most

struct Tile {
    index_t columns;     // of a row
    int rows, spread;    // spread: columns that are of one set
    int lanes, sets;     // vectors of a row that a block has, and sets
};

// Which columns and rows a thread has: one vector, of every `groups`-th row.
struct TileThread {
    const Tile& p;
    int lane, groups, row;    // row: the first; rows that are not there for threads without any
    int set, offset;          // of the first column: set of the block, and place in it
    int sets;                 // of this block
    index_t first_set, vectors, vector;  // vectors of a row, and which is this thread's

    __device__ __forceinline__ TileThread(const Tile& params, index_t all_sets, index_t tile)
        : p(params) {
        groups = static_cast<int>(blockDim.x) / p.lanes;
        const int y = static_cast<int>(threadIdx.x) / p.lanes;
        lane = static_cast<int>(threadIdx.x) - y * p.lanes;
        set = lane * VEC_SIZE / p.spread;
        offset = lane * VEC_SIZE - set * p.spread;
        first_set = tile * p.sets;
        sets = all_sets - first_set < p.sets ? static_cast<int>(all_sets - first_set) : p.sets;
        vectors = p.columns / VEC_SIZE;
        vector = tile * p.lanes + lane;
        row = y < groups && vector < vectors ? y : p.rows;
        if (vector >= vectors) set = offset = 0;  // which are there, to look at and not to use
    }

    __device__ __forceinline__ bool has(int r) const { return row + r * groups < p.rows; }
    __device__ __forceinline__ index_t at(int r) const {
        return (row + r * groups) * vectors + vector;
    }

    // Its vector r, zeros where there is none: in registers, not halves of them.
    template <bool WHOLE>
    __device__ __forceinline__ void load(const scalar_t* __restrict__ from, int r, Vec& vec) const {
        uint4 words = {};
        if (has(r)) {
            if constexpr (WHOLE) {
                words = __ldg(reinterpret_cast<const uint4*>(from) + at(r));
            } else {
                Vec own;
#pragma unroll
                for (int k = 0; k < VEC_SIZE; ++k) own.at[k] = ldg(from + at(r) * VEC_SIZE + k);
                memcpy(&words, &own, sizeof(words));
            }
        }
        memcpy(&vec, &words, sizeof(words));
    }

    template <bool WHOLE>
    __device__ __forceinline__ void store(scalar_t* to, int r,
                                          const acc_t (&value)[VEC_SIZE]) const {
        Vec vec;
#pragma unroll
        for (int k = 0; k < VEC_SIZE; ++k) vec.at[k] = from_acc(value[k]);
        if constexpr (WHOLE)
            reinterpret_cast<Vec*>(to)[at(r)] = vec;
        else
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) to[at(r) * VEC_SIZE + k] = vec.at[k];
    }

    // body(k, set of the block, whether it begins here) of every column.
    template <typename Body>
    __device__ __forceinline__ void each_column(Body body) const {
        int its = set, place = offset;
#pragma unroll
        for (int k = 0; k < VEC_SIZE; ++k) {
            body(k, its, place == 0);
            if (++place == p.spread) {
                place = 0;
                ++its;
            }
        }
    }
    // What shared memory has for the set of each column.
    __device__ __forceinline__ void of_columns(const acc_t* shared, acc_t (&mine)[VEC_SIZE]) const {
        each_column([&](int k, int its, bool) { mine[k] = shared[its]; });
    }

    // What threads have of each column, over rows and the columns of a set: put(set of the block,
    // sum), by one thread for each. `room`: shared; nothing of it is read any more before the next
    // barrier but one. MANY_ROWS: more than sets have columns; a warp goes along rows, too, and one
    // number is kept for columns of one set.
    template <bool MANY_ROWS, typename State, typename Put>
    __device__ __forceinline__ void reduce(const State (&mine)[VEC_SIZE], State* room,
                                           Put put) const {
        const int threads = static_cast<int>(blockDim.x), warps = threads / LANES;
        const int pitch = threads + 128 / static_cast<int>(sizeof(State)) / VEC_SIZE;
        const int warp = static_cast<int>(threadIdx.x) / LANES, own = threadIdx.x % LANES;
        const bool whole = MANY_ROWS && p.spread % VEC_SIZE == 0;
        if (whole) {
            State all = mine[0];
#pragma unroll
            for (int k = 1; k < VEC_SIZE; ++k) all.merge(mine[k]);
            room[threadIdx.x] = all;
        } else {
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) room[k * pitch + threadIdx.x] = mine[k];
        }
        __syncthreads();
        if (p.spread == 1) {  // lanes: 1 or 2
#pragma unroll 1
            for (int k = warp; k < VEC_SIZE; k += warps) {
                State all = {};
#pragma unroll 4
                for (int i = own; i < threads; i += LANES) all.merge(room[k * pitch + i]);
                for (int distance = p.lanes; distance < LANES; distance *= 2)
                    all.merge(all.of_lane(distance));
                const int its = own * VEC_SIZE + k;
                if (own < p.lanes && its < sets) put(its, all);
            }
            return;
        }
        const int width = whole ? VEC_SIZE : 1, each = p.spread / width;  // entries in a row
        const int across = MANY_ROWS && each < LANES ? each : LANES, down = LANES / across;
        const int first = own / across, j0 = own - first * across;
#pragma unroll 1
        for (int its = warp; its < sets; its += warps) {
            State all = {};
            for (int j = first < down ? j0 : each; j < each; j += across) {
                const int entry = its * each + j, of_lane = whole ? entry : entry / VEC_SIZE;
                const State* from = room + of_lane + (whole ? 0 : entry % VEC_SIZE * pitch);
#pragma unroll 4
                for (int y = first; y < groups; y += down) all.merge(from[y * p.lanes]);
            }
            all = merge_lanes(all);
            if (own == 0) put(its, all);
        }
    }
};

// Moments of a set from sums of differences from `centre`, of values times `unit`, and of their
// squares. False where they are to be summed once more: with another unit where squares overflowed
// (in pass 0: differences from a mean are smaller), or with another centre where that is so far from
// the mean that more than four bits went. A third pass is the last one.
__device__ __forceinline__ bool settled(int pass, const SumPair& sums, acc_t count, acc_t& unit,
                                        acc_t& centre, Moments& own) {
    own = {count, centre, sums.first / count, sums.second};
    own.squares -= sums.first * own.mean;
    bool fit = true;
    if (pass == 0 && !own.fits()) {
        fit = false;
        unit = far_unit<acc_t>();
        centre *= unit;
    } else if (pass < 2 && own.squares < sums.second * acc_t(1.0 / 16)) {
        fit = false;
        centre = own.whole_mean();
    }
    if (own.squares < 0) own.squares = 0;
    return fit;
}
