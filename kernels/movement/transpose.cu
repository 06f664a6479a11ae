// movement/transpose.cu: a view whose innermost axis is another one than that of the result.
//
// Computes   y[z, a, b] = x[z, a, b], where neighbours along a are next to each other in x, and
//            neighbours along b in y; more axes in front
// Layout     x any strides, the smallest along a; y any strides with 1 along b
// Launch     one tile of tz x ta x tb elements a block, block 256; grid: tiles; tz ta and tb are
//            whole extents where those are small, so that short rows too are read and written
//            without gaps. Shared: the tile, tz tb pitch elements; pitch is an odd number of
//            banks: no conflict where the tile's sides are multiples of 32
// Traffic    |x| + |y| bytes; no arithmetic
// Range      any extents; 64-bit offsets, 32-bit arithmetic inside a tile
// Siblings   copy.cu, if the innermost axis is the same in both: needs no shared memory
// Source     G. Ruetsch, P. Micikevicius, "Optimizing matrix transpose in CUDA", NVIDIA, 2009
//
// entry transpose  tiles through shared memory
// variant BYTES = itemsizes
#include <pycnn/copy.cuh>

struct Transpose {  // filled in by pycnn/plan/_copy.py
    index_t extent_z, extent_a, extent_b;
    index_t x_z, x_a, x_b;
    index_t y_z, y_a;
    index_t tz, ta, tb, pitch;
    Strided<2> outer;
};

// From position `first` on, as many as a tile of `side` holds.
__device__ __forceinline__ unsigned clipped(index_t first, index_t side, index_t extent) {
    return static_cast<unsigned>(first + side < extent ? side : extent - first);
}

extern "C" __global__ void __launch_bounds__(COPY_THREADS)
transpose(const element* __restrict__ x, element* __restrict__ y, Transpose v) {
    extern __shared__ __align__(16) unsigned char shared[];
    element* const tile = reinterpret_cast<element*>(shared);

    index_t block = blockIdx.x;
    const index_t a0 = next_tile(block, v.extent_a, v.ta);
    const index_t b0 = next_tile(block, v.extent_b, v.tb);
    const index_t z0 = next_tile(block, v.extent_z, v.tz);
    const unsigned na = clipped(a0, v.ta, v.extent_a), nb = clipped(b0, v.tb, v.extent_b);
    const unsigned count = clipped(z0, v.tz, v.extent_z) * na * nb;
    index_t at[2];
    v.outer.locate(block, at);
    x += at[0] + z0 * v.x_z + a0 * v.x_a + b0 * v.x_b;
    y += at[1] + z0 * v.y_z + a0 * v.y_a + b0;
    const unsigned pitch = static_cast<unsigned>(v.pitch);

    for (unsigned t = threadIdx.x; t < count; t += COPY_THREADS) {  // along a first
        const unsigned row = t / na, a = t - row * na, z = row / nb, b = row - z * nb;
        tile[row * pitch + a] = x[z * v.x_z + b * v.x_b + a * v.x_a];
    }
    __syncthreads();
    for (unsigned t = threadIdx.x; t < count; t += COPY_THREADS) {  // along b first
        const unsigned row = t / nb, b = t - row * nb, z = row / na, a = row - z * na;
        y[z * v.y_z + a * v.y_a + b] = tile[(z * nb + b) * pitch + a];
    }
}
