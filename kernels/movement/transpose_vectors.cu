// movement/transpose_vectors.cu: a view whose innermost axis is another one than that of the result,
// by vectors, in registers.
//
// Computes   y[z, a, b] = x[z, a, b], where neighbours along a are next to each other in x, and
//            neighbours along b in y; more axes in front
// Layout     x 1 along a, y 1 along b, any other strides, all extents of a and b and strides whole
//            vectors of VECTOR bytes
// Launch     a thread for a square of vectors; a warp for 8 of them along a and 4 along b, which is
//            128 and 64 bytes of neighbours; block 256, `warps_b` of the 8 warps along b; grid: tiles,
//            b first. No shared memory
// Traffic    |x| + |y| bytes, whole sectors both ways; no arithmetic
// Range      any extents; 64-bit offsets. Where an address is no multiple of VECTOR, elements come and
//            go one by one
// Siblings   transpose.cu takes any extents, strides and sizes, by way of shared memory
// Source     none; as an 8x8 transpose in registers is done everywhere
//
// entry transpose_vectors  squares of vectors in registers
// variant BYTES = 2, 4
// variant VECTOR = 8, 16
#include <pycnn/copy.cuh>

#ifndef VECTOR
#define VECTOR 16
#endif

constexpr int SIDE = VECTOR / BYTES, LANES_A = 8, LANES_B = 4, WARPS = COPY_THREADS / 32;

struct alignas(VECTOR) Vec {
    element at[SIDE];
};

struct Squares {  // filled in by pycnn/plan/_copy.py
    index_t extent_z, extent_a, extent_b;
    index_t x_z, x_b, y_z, y_a;
    index_t warps_b;
    Strided<2> outer;
};

__device__ __forceinline__ bool aligned(const void* pointer) {
    return reinterpret_cast<unsigned long long>(pointer) % sizeof(Vec) == 0;
}

extern "C" __global__ void __launch_bounds__(COPY_THREADS)
transpose_vectors(const element* __restrict__ x, element* __restrict__ y, Squares v) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int warps_b = static_cast<int>(v.warps_b);
    const index_t tile_a = LANES_A * SIDE * (WARPS / warps_b), tile_b = LANES_B * SIDE * warps_b;
    unsigned block = blockIdx.x;  // in which all tiles are counted
    const unsigned tiles_b = static_cast<unsigned>(ceil_div(v.extent_b, tile_b));
    const unsigned tiles_a = static_cast<unsigned>(ceil_div(v.extent_a, tile_a));
    const index_t b = next_coordinate(block, tiles_b) * tile_b +
                      (warp % warps_b * LANES_B + lane / LANES_A) * SIDE;
    const index_t a = next_coordinate(block, tiles_a) * tile_a +
                      (warp / warps_b * LANES_A + lane % LANES_A) * SIDE;
    const index_t z = next_coordinate(block, static_cast<unsigned>(v.extent_z));
    if (a >= v.extent_a || b >= v.extent_b) return;
    index_t at[2];
    v.outer.locate(block, at);
    const element* const from = x + at[0] + z * v.x_z + b * v.x_b + a;
    const index_t to = at[1] + z * v.y_z + a * v.y_a + b;

    Vec rows[SIDE];
    if (aligned(x)) {
#pragma unroll
        for (int i = 0; i < SIDE; ++i)
            rows[i] = *reinterpret_cast<const Vec*>(from + i * v.x_b);
    } else {
#pragma unroll
        for (int i = 0; i < SIDE; ++i)
#pragma unroll
            for (int j = 0; j < SIDE; ++j) rows[i].at[j] = ldg(from + i * v.x_b + j);
    }
    const bool vectors = aligned(y);
#pragma unroll
    for (int j = 0; j < SIDE; ++j) {
        Vec column;
#pragma unroll
        for (int i = 0; i < SIDE; ++i) column.at[i] = rows[i].at[j];
        const index_t line = to + j * v.y_a;
        if (vectors) {  // by the number of a vector: a store at an element's address NVRTC splits
            reinterpret_cast<Vec*>(y)[static_cast<unsigned long long>(line) / SIDE] = column;
        } else {
#pragma unroll
            for (int i = 0; i < SIDE; ++i) y[line + i] = column.at[i];
        }
    }
}
