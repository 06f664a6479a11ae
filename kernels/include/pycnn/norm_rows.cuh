// pycnn/norm_rows.cuh: sets whose channels are neighbours in memory, or small maps of them: a row
// holds a pixel's channels, or the maps of all channels of an image, `spread` elements each.
//
// Block 256, grid (images * tiles, segments): a thread has a vector of neighbouring columns, in all
// rows of its segment that are its own, ROWS of them at a time. The plan is in pycnn/plan/_norm.py.
#pragma once

#include <pycnn/norm.cuh>
#include <pycnn/narrow.cuh>

// The operands are of the same shape.
template <int OPERANDS>
struct Rows {
    index_t columns, spread;    // of a row, and those that are of one channel
    index_t lanes, tiles;       // tiles of lanes * VEC_SIZE columns, which are whole channels
    index_t rows;               // of an image, or of all of them
    index_t segment;            // rows that one block works on
    index_t image[OPERANDS];    // elements from image to image
    Strided<OPERANDS> along;    // from row to row
    Strided<OPERANDS> across;   // from column to column
};

constexpr int ROWS = 4;  // vectors that a thread has in flight, of all operands

// How a thread takes its rows, known when compiled: in vectors, and how many at once; else one.
template <bool IN_VECTORS, int MANY>
struct Way {
    static constexpr bool vectors = IN_VECTORS;
    static constexpr int rows = IN_VECTORS ? MANY : 1;
};

// Which columns and rows a thread has.
template <int OPERANDS>
struct RowThread {
    const Rows<OPERANDS>& p;
    index_t image, tile;      // the latter: its first column
    index_t first, last;      // rows of this thread: every `groups`-th
    int lanes, lane, y, groups;
    bool vectors;

    __device__ __forceinline__ RowThread(const Rows<OPERANDS>& params,
                                         const scalar_t* const (&operand)[OPERANDS])
        : p(params) {
        lanes = static_cast<int>(p.lanes);
        groups = THREADS / lanes;
        y = static_cast<int>(threadIdx.x) / lanes;
        lane = static_cast<int>(threadIdx.x) - y * lanes;
        image = blockIdx.x / p.tiles;
        tile = (blockIdx.x - image * p.tiles) * (lanes * VEC_SIZE);
        vectors = p.columns % VEC_SIZE == 0 && p.across.rank <= 1;
#pragma unroll
        for (int o = 0; o < OPERANDS; ++o) {
            vectors = vectors && p.across.stride[o][0] == 1 && aligned(operand[o]) &&
                      p.image[o] % VEC_SIZE == 0;
            for (int axis = 0; axis < p.along.rank; ++axis)
                vectors = vectors && p.along.stride[o][axis] % VEC_SIZE == 0;
        }
        const index_t begin = blockIdx.y * p.segment;
        last = begin + p.segment < p.rows ? begin + p.segment : p.rows;
        first = y < groups && has(0) ? begin + y : last;  // the threads beyond have none
    }

    // Its element k: column of the tile, and slot in shared memory, where neighbours have neighbours.
    __device__ __forceinline__ int in_tile(int k) const {
        return vectors ? lane * VEC_SIZE + k : slot(k);
    }
    __device__ __forceinline__ int slot(int k) const { return k * lanes + lane; }
    __device__ __forceinline__ int column_of(int its_slot) const {
        if (!vectors) return its_slot;
        const int k = its_slot / lanes;
        return (its_slot - k * lanes) * VEC_SIZE + k;
    }
    __device__ __forceinline__ int slot_of(int column) const {
        return vectors ? column % VEC_SIZE * lanes + column / VEC_SIZE : column;
    }
    __device__ __forceinline__ index_t column(int k) const { return tile + in_tile(k); }
    __device__ __forceinline__ bool has(int k) const { return column(k) < p.columns; }
    __device__ __forceinline__ bool has_row(index_t row, int r) const {
        return row + r * groups < last;
    }
    // Sets before those of this block's tile, and in it.
    __device__ __forceinline__ index_t first_set() const {
        return (image * p.columns + tile) / p.spread;
    }
    __device__ __forceinline__ int sets() const {
        const index_t left = p.columns - tile;
        const int all = lanes * VEC_SIZE;
        return (left < all ? static_cast<int>(left) : all) / static_cast<int>(p.spread);
    }
    // Where rows row, row + groups ... begin: mostly as far apart, which is asked once for all.
    template <int N>
    __device__ __forceinline__ void starts(int o, index_t row, index_t (&at)[N]) const {
        if (p.along.rank <= 1) {
            const index_t stride = p.along.stride[o][0];
#pragma unroll
            for (int r = 0; r < N; ++r)
                at[r] = image * p.image[o] + row * stride + r * (groups * stride);
        } else {
#pragma unroll
            for (int r = 0; r < N; ++r)
                at[r] = image * p.image[o] + offset_of(p.along, o, row + r * groups);
        }
    }

    // Rows row, row + groups ..., as far as they are there: all requested, none used. VECTORS is
    // `vectors`, which is asked once: where both ways meet, vectors would be taken apart.
    template <bool VECTORS, int N>
    __device__ __forceinline__ void load(const scalar_t* from, int o, index_t row,
                                         Vec (&vec)[N]) const {
        index_t at[N];
        starts(o, row, at);
#pragma unroll
        for (int r = 0; r < N; ++r) {
            if (!has_row(row, r)) continue;
            if constexpr (VECTORS)
                vec[r] = *reinterpret_cast<const Vec*>(from + at[r] + column(0));
            else
#pragma unroll
                for (int k = 0; k < VEC_SIZE; ++k)
                    vec[r].at[k] = has(k) ? from[at[r] + offset_of(p.across, o, column(k))]
                                          : from_acc(0);
        }
    }

    template <bool VECTORS>
    __device__ __forceinline__ void store(scalar_t* to, int o, index_t row,
                                          const acc_t (&value)[VEC_SIZE]) const {
        index_t at[1];
        starts(o, row, at);
        to += at[0];
        if constexpr (VECTORS) {
            Vec vec;
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) vec.at[k] = from_acc(value[k]);
            *reinterpret_cast<Vec*>(to + column(0)) = vec;
        } else {
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k)
                if (has(k)) to[offset_of(p.across, o, column(k))] = from_acc(value[k]);
        }
    }

    // body(row, way) for this thread's rows, way.rows at a time: MANY vectors of each operand.
    template <int MANY, typename Body>
    __device__ __forceinline__ void each_rows(Body body) const {
        if (vectors)
            for (index_t row = first; row < last; row += MANY * groups) body(row, Way<true, MANY>());
        else
            for (index_t row = first; row < last; row += groups) body(row, Way<false, 1>());
    }
};

// The states of a block's threads, one for each of their columns, merged over its rows and the
// columns of a set; store(number, state) gets them, with the number of (set, segment). `shared`:
// THREADS * VEC_SIZE states, at place_in_rows() each.
template <int OPERANDS>
__device__ __forceinline__ int place_in_rows(const RowThread<OPERANDS>& t, int k) {
    return t.y * t.lanes * VEC_SIZE + t.slot(k);
}

template <int OPERANDS, typename State, typename Store>
__device__ __forceinline__ void merge_rows(const RowThread<OPERANDS>& t, State* shared,
                                           Store store) {
    const int columns = t.lanes * VEC_SIZE, spread = static_cast<int>(t.p.spread);
    const int sets = t.sets();
    const auto number = [&](int set) { return (t.first_set() + set) * gridDim.y + blockIdx.y; };
    __syncthreads();
    const int shares = columns >= THREADS ? 1 : THREADS / columns;  // of the rows, first apart
    for (int i = threadIdx.x; shares > 1 && i < columns * shares; i += THREADS) {
        State all = shared[i];
        for (int y = i / columns + shares; y < t.groups; y += shares)
            all.merge(shared[y * columns + i % columns]);
        shared[i] = all;
    }
    if (shares > 1) __syncthreads();
    const int parts = shares > 1 && shares < t.groups ? shares : t.groups;
    for (int slot = threadIdx.x; slot < columns; slot += THREADS) {
        State all = shared[slot];
        for (int y = 1; y < parts; ++y) all.merge(shared[y * columns + slot]);
        if (spread > 1)
            shared[slot] = all;
        else if (t.column_of(slot) < sets)
            store(number(t.column_of(slot)), all);
    }
    if (spread == 1) return;
    __syncthreads();
    const int lane = threadIdx.x % LANES;
    for (int set = threadIdx.x / LANES; set < sets; set += WARPS) {
        State all = State();
        for (int i = lane; i < spread; i += LANES) all.merge(shared[t.slot_of(set * spread + i)]);
        all = merge_lanes(all);
        if (lane == 0) store(number(set), all);
    }
}

template <int OPERANDS, typename State, typename Store>
__device__ __forceinline__ void merge_rows(const RowThread<OPERANDS>& t,
                                           const State (&mine)[VEC_SIZE], State* shared,
                                           Store store) {
    if (t.y < t.groups)
#pragma unroll
        for (int k = 0; k < VEC_SIZE; ++k) shared[place_in_rows(t, k)] = mine[k];
    merge_rows(t, shared, store);
}

// Coefficients of this thread's columns, by way of shared memory: each is read once a block.
// `shared`: those of LANES * VEC_SIZE channels.
template <int OPERANDS, typename Make>
__device__ __forceinline__ void per_channel(const RowThread<OPERANDS>& t, Coefficients* shared,
                                            Coefficients (&mine)[VEC_SIZE], Make make) {
    const int sets = t.sets(), spread = static_cast<int>(t.p.spread);
    for (int set = threadIdx.x; set < sets; set += THREADS)
        shared[spread > 1 ? set : t.slot_of(set)] = make(t.first_set() + set);
    __syncthreads();
#pragma unroll
    for (int k = 0; k < VEC_SIZE; ++k)
        if (t.y < t.groups && t.has(k))
            mine[k] = shared[spread > 1 ? t.in_tile(k) / spread : t.slot(k)];
}

// Moments of the columns of a thread, by way of its states in shared memory: sums and sums of
// squares of differences from the first of up to MOST values, from which no more than log2(MOST)
// bits go, are merged there.
struct ColumnMoments {
    static constexpr int MOST = 32;
    acc_t count = 0, first[VEC_SIZE], sum[VEC_SIZE] = {}, squares[VEC_SIZE] = {};
    bool merged = false;

    // What follows is taken relative to these values.
    __device__ __forceinline__ void begin(const acc_t (&value)[VEC_SIZE], acc_t unit) {
#pragma unroll
        for (int k = 0; k < VEC_SIZE; ++k) first[k] = value[k] * unit;
    }

    // A row of values, times `unit`.
    __device__ __forceinline__ void add(const acc_t (&value)[VEC_SIZE], acc_t unit) {
        count += 1;
#pragma unroll
        for (int k = 0; k < VEC_SIZE; ++k) {
            const acc_t off = value[k] * unit - first[k];
            sum[k] += off;
            squares[k] += off * off;
        }
    }

    // Into state(k) of column k.
    template <typename State>
    __device__ __forceinline__ void settle(State state) {
        const acc_t each = acc_t(1) / count;
#pragma unroll
        for (int k = 0; k < VEC_SIZE; ++k) {
            const acc_t mean = sum[k] * each;
            Moments all = merged ? state(k) : Moments();
            all.merge({count, first[k], mean, squares[k] - sum[k] * mean});
            state(k) = all;
            sum[k] = squares[k] = 0;
        }
        merged = true;
        count = 0;
    }
};
