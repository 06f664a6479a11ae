// movement/transpose_maps.cu: a view whose innermost axis is another one than that of the result, where
// one side is many short rows without gaps, such as maps of 7x7, and the other is whole vectors.
//
// Computes   to_vectors: y[z, s, l] = x[z, l, s]; from_vectors: y[z, l, s] = x[z, s, l]; rows of `size`
//            elements along s, of which `rows` neighbours lie without gaps; more axes in front
// Layout     the other side 1 along l; `rows` and all other strides whole vectors of 16 bytes
// Launch     `tile` rows a block, block 256; grid: tiles. Shared: the rows, as they lie in memory
// Traffic    |x| + |y| bytes, 128 bits an access; no arithmetic. Of odd sizes 8 vectors
//            side by side meet in no bank, the 12 of a tile of 7x7 in some two
// Range      any extents; 64-bit offsets, 32-bit arithmetic inside a tile. Where an address is no
//            multiple of 16, elements come and go one by one
// Siblings   transpose_vectors.cu where both sides are whole vectors; transpose.cu takes everything
// Source     as transpose.cu
//
// entry transpose_to_vectors    short rows come, vectors go
// entry transpose_from_vectors  vectors come, short rows go
// variant BYTES = itemsizes
#include <pycnn/copy.cuh>
#include <pycnn/copy_stage.cuh>

constexpr int MANY = 16 / BYTES;

struct Maps {  // filled in by pycnn/plan/_copy.py
    index_t extent_z, rows, size, tile;
    index_t x_z, y_z;
    index_t across;  // from s to s on the side of vectors
    Strided<2> outer;
};

// Where a block's rows are on either side, and how many they are.
struct Tile {
    index_t at[2];
    int rows, size;

    // The first of its rows goes by `step_x`, `step_y` elements a row.
    __device__ __forceinline__ Tile(const Maps& v, index_t step_x, index_t step_y) {
        index_t block = blockIdx.x;
        const index_t first = next_tile(block, v.rows, v.tile);
        const index_t z = next_coordinate(block, v.extent_z);
        v.outer.locate(block, at);
        at[0] += z * v.x_z + first * step_x;
        at[1] += z * v.y_z + first * step_y;
        rows = static_cast<int>(first + v.tile < v.rows ? v.tile : v.rows - first);
        size = static_cast<int>(v.size);
    }
};

template <bool VECTORS>
__device__ __forceinline__ void to_vectors(const element* x, element* y, const Maps& v,
                                           element* shared) {
    using Vec = Block<element, MANY>;
    const Tile tile(v, v.size, 1);
    x += tile.at[0];
    y += tile.at[1];
#pragma unroll 4
    for (int t = threadIdx.x; t < tile.rows * tile.size / MANY; t += COPY_THREADS)
        reinterpret_cast<Vec*>(shared)[t] = load_block<element, MANY>(x + t * MANY, VECTORS);
    __syncthreads();
    const int vectors = tile.rows / MANY;
    for (RowWalk<COPY_THREADS> at(threadIdx.x, vectors); at.row < tile.size; at.next()) {
        const element* const from = shared + at.column * MANY * tile.size + at.row;
        Vec vec;
#pragma unroll
        for (int k = 0; k < MANY; ++k) vec.at[k] = from[k * tile.size];
        store_block(y + at.row * v.across + at.column * MANY, vec, VECTORS);
    }
}

template <bool VECTORS>
__device__ __forceinline__ void from_vectors(const element* x, element* y, const Maps& v,
                                             element* shared) {
    using Vec = Block<element, MANY>;
    const Tile tile(v, 1, v.size);
    x += tile.at[0];
    y += tile.at[1];
    const int vectors = tile.rows / MANY;
#pragma unroll 4
    for (RowWalk<COPY_THREADS> at(threadIdx.x, vectors); at.row < tile.size; at.next()) {
        const Vec vec =
            load_block<element, MANY>(x + at.row * v.across + at.column * MANY, VECTORS);
        element* const to = shared + at.column * MANY * tile.size + at.row;
#pragma unroll
        for (int k = 0; k < MANY; ++k) to[k * tile.size] = vec.at[k];
    }
    __syncthreads();
    for (int t = threadIdx.x; t < tile.rows * tile.size / MANY; t += COPY_THREADS)
        store_block(y + t * MANY, reinterpret_cast<const Vec*>(shared)[t], VECTORS);
}

__device__ __forceinline__ bool both_aligned(const element* x, const element* y) {
    return aligned_to<element, MANY>(x) && aligned_to<element, MANY>(y);
}

extern "C" __global__ void __launch_bounds__(COPY_THREADS)
transpose_to_vectors(const element* __restrict__ x, element* __restrict__ y, Maps v) {
    extern __shared__ __align__(16) unsigned char shared[];
    if (both_aligned(x, y))
        to_vectors<true>(x, y, v, reinterpret_cast<element*>(shared));
    else
        to_vectors<false>(x, y, v, reinterpret_cast<element*>(shared));
}

extern "C" __global__ void __launch_bounds__(COPY_THREADS)
transpose_from_vectors(const element* __restrict__ x, element* __restrict__ y, Maps v) {
    extern __shared__ __align__(16) unsigned char shared[];
    if (both_aligned(x, y))
        from_vectors<true>(x, y, v, reinterpret_cast<element*>(shared));
    else
        from_vectors<false>(x, y, v, reinterpret_cast<element*>(shared));
}
