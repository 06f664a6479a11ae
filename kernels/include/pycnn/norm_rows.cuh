// pycnn/norm_rows.cuh: sets whose channels are neighbours in memory; a row holds a pixel's.
//
// Block (lanes, 256 / lanes), grid (images * tiles, segments): a thread has VEC_SIZE channels, in
// all rows of its segment that are its own. The plan is in pycnn/plan/_norm.py.
#pragma once

#include <pycnn/norm.cuh>

// The operands are of the same shape.
template <int OPERANDS>
struct Rows {
    index_t channels, tiles;    // tiles of lanes * VEC_SIZE channels
    index_t rows;               // of an image, or of all of them
    index_t segment;            // rows that one block works on
    index_t image[OPERANDS];    // elements from image to image
    Strided<OPERANDS> along;    // from row to row
    Strided<OPERANDS> across;   // from channel to channel
};

constexpr int ROWS = 4;  // that a thread has in flight

// Which channels and rows a thread has.
template <int OPERANDS>
struct RowThread {
    const Rows<OPERANDS>& p;
    index_t image, tile;  // the latter: its first channel
    index_t first, last;  // rows
    int mine, step;       // channels tile + mine + k * step
    bool vectors;

    __device__ __forceinline__ RowThread(const Rows<OPERANDS>& params,
                                         const scalar_t* const (&operand)[OPERANDS])
        : p(params) {
        image = blockIdx.x / p.tiles;
        tile = (blockIdx.x - image * p.tiles) * (blockDim.x * VEC_SIZE);
        first = blockIdx.y * p.segment;
        last = first + p.segment < p.rows ? first + p.segment : p.rows;
        vectors = p.channels % VEC_SIZE == 0 && p.across.rank <= 1;
#pragma unroll
        for (int o = 0; o < OPERANDS; ++o) {
            vectors = vectors && p.across.stride[o][0] == 1 && aligned(operand[o]) &&
                      p.image[o] % VEC_SIZE == 0;
            for (int axis = 0; axis < p.along.rank; ++axis)
                vectors = vectors && p.along.stride[o][axis] % VEC_SIZE == 0;
        }
        mine = vectors ? threadIdx.x * VEC_SIZE : threadIdx.x;
        step = vectors ? 1 : blockDim.x;
    }

    __device__ __forceinline__ int in_tile(int k) const { return mine + k * step; }
    __device__ __forceinline__ index_t channel(int k) const { return tile + in_tile(k); }
    __device__ __forceinline__ bool has(int k) const { return channel(k) < p.channels; }
    __device__ __forceinline__ index_t start(int o, index_t row) const {
        return image * p.image[o] + offset_of(p.along, o, row);
    }

    __device__ __forceinline__ void load(const scalar_t* from, int o, index_t row,
                                         acc_t (&value)[VEC_SIZE]) const {
        from += start(o, row);
        if (vectors && has(0)) {
            const Vec vec = *reinterpret_cast<const Vec*>(from + channel(0));
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) value[k] = to_acc(vec.at[k]);
            return;
        }
#pragma unroll
        for (int k = 0; k < VEC_SIZE; ++k)
            value[k] = has(k) ? to_acc(from[offset_of(p.across, o, channel(k))]) : acc_t(0);
    }

    __device__ __forceinline__ void store(scalar_t* to, int o, index_t row,
                                          const acc_t (&value)[VEC_SIZE]) const {
        to += start(o, row);
        if (vectors && has(0)) {
            Vec vec;
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) vec.at[k] = from_acc(value[k]);
            *reinterpret_cast<Vec*>(to + channel(0)) = vec;
            return;
        }
#pragma unroll
        for (int k = 0; k < VEC_SIZE; ++k)
            if (has(k)) to[offset_of(p.across, o, channel(k))] = from_acc(value[k]);
    }

    // body(row) for this thread's rows.
    template <typename Body>
    __device__ __forceinline__ void each_row(Body body) const {
        for (index_t row = first + threadIdx.y; row < last; row += blockDim.y) body(row);
    }
};

// The states of a block's threads, merged over its rows; store(number, state) gets them, with the
// number of (set, segment). `shared`: THREADS * VEC_SIZE states.
template <int OPERANDS, typename State, typename Store>
__device__ __forceinline__ void merge_rows(const RowThread<OPERANDS>& t,
                                           const State (&mine)[VEC_SIZE], State* shared,
                                           Store store) {
    const int columns = blockDim.x * VEC_SIZE, thread = threadIdx.y * blockDim.x + threadIdx.x;
#pragma unroll
    for (int k = 0; k < VEC_SIZE; ++k) shared[threadIdx.y * columns + t.in_tile(k)] = mine[k];
    __syncthreads();
    for (int column = thread; column < columns; column += THREADS) {
        if (t.tile + column >= t.p.channels) break;
        State all = shared[column];
        for (int y = 1; y < blockDim.y; ++y) all.merge(shared[y * columns + column]);
        const index_t set = t.image * t.p.channels + t.tile + column;
        store(set * gridDim.y + blockIdx.y, all);
    }
}

// Coefficients of this thread's channels, by way of shared memory: each is read once a block.
// `shared`: those of lanes * VEC_SIZE channels.
template <int OPERANDS, typename Make>
__device__ __forceinline__ void per_channel(const RowThread<OPERANDS>& t, Coefficients* shared,
                                            Coefficients (&mine)[VEC_SIZE], Make make) {
    const int columns = blockDim.x * VEC_SIZE, thread = threadIdx.y * blockDim.x + threadIdx.x;
    for (int column = thread; column < columns; column += THREADS)
        if (t.tile + column < t.p.channels)
            shared[column] = make(t.image * t.p.channels + t.tile + column);
    __syncthreads();
#pragma unroll
    for (int k = 0; k < VEC_SIZE; ++k)
        if (t.has(k)) mine[k] = shared[t.in_tile(k)];
}
