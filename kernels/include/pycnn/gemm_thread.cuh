// pycnn/gemm_thread.cuh: how 256 threads share the outputs of a tile, of a matrix product or of a
// convolution that is one: what each of them multiplies, and how the sums leave the block.
#pragma once

#include <pycnn/kernel.cuh>

constexpr int WIDTH = 16 / sizeof(acc_t);  // elements in 16 bytes of shared memory

// N elements between memory and registers in one access of 8 or 16 bytes.
template <int BYTES>
struct Unit;
template <>
struct Unit<8> {
    using type = uint2;
};
template <>
struct Unit<16> {
    using type = uint4;
};

template <typename T, int N>
__device__ __forceinline__ void load_vector(T (&x)[N], const T* from) {
    using U = typename Unit<sizeof(x)>::type;
    const U whole = *reinterpret_cast<const U*>(from);
    memcpy(x, &whole, sizeof(x));
}

template <typename T, int N>
__device__ __forceinline__ void store_vector(T* to, const T (&x)[N]) {
    typename Unit<sizeof(x)>::type whole;
    memcpy(&whole, x, sizeof(x));
    *reinterpret_cast<decltype(whole)*>(to) = whole;
}

// The block has 256 threads as 16 x 16, each warp 4 x 8 of them, and a thread's outputs come in
// vectors 16 vectors apart. So the 8 threads of which a 16-byte shared access is served at a time
// read 128 consecutive bytes: every bank once.
constexpr int THREADS = 256, SIDE = 16;

struct ThreadPlace {
    int row, col;  // in 0 .. 15

    __device__ explicit ThreadPlace(int thread) {
        const int warp = thread / 32, lane = thread % 32;
        row = warp / 2 * 4 + lane / 8;
        col = warp % 2 * 8 + lane % 8;
    }
};

// Where in the tile the i-th of a thread's rows (or columns) lies.
__device__ __forceinline__ int spread(int place, int i) {
    return (i / WIDTH * SIDE + place) * WIDTH + i % WIDTH;
}

// Row length of a tile: with 4 elements to spare, storing elements that run along k column by
// column is free of conflicts too.
__host__ __device__ constexpr int pitch(int lines) { return lines + 4; }

// The part of a row of a tile that a thread multiplies.
template <int COUNT>
__device__ __forceinline__ void read_part(acc_t (&part)[COUNT], const acc_t* tile_row, int place) {
#pragma unroll
    for (int i = 0; i < COUNT; i += WIDTH) {
        acc_t v[WIDTH];
        load_vector(v, tile_row + spread(place, i));
#pragma unroll
        for (int e = 0; e < WIDTH; ++e) part[i + e] = v[e];
    }
}

// Adds the products of two tiles, tile[k][line], to a thread's sums.
template <int BK, int TM, int TN>
__device__ __forceinline__ void multiply(acc_t (&sum)[TM][TN],
                                         const acc_t (&a_tile)[BK][pitch(TM * SIDE)],
                                         const acc_t (&b_tile)[BK][pitch(TN * SIDE)],
                                         ThreadPlace mine) {
#pragma unroll 2  // more would cost registers, and with them the second block of an SM
    for (int k = 0; k < BK; ++k) {
        acc_t a_part[TM], b_part[TN];
        read_part(a_part, a_tile[k], mine.row);
        read_part(b_part, b_tile[k], mine.col);
#pragma unroll
        for (int i = 0; i < TM; ++i)
#pragma unroll
            for (int j = 0; j < TN; ++j) sum[i][j] += a_part[i] * b_part[j];
    }
}

// Line length of the stage below: lines begin 4 banks after each other.
__host__ __device__ constexpr int stage_pitch(int length) { return length + WIDTH; }

// Hands over the sums of a block in the order of memory, and in one place of the code, however
// many a thread has: SIDE rows of the tile at a time (columns, unless BY_ROW) pass through `stage`,
// which holds SIDE lines; then write(pass) finds row spread(i, pass) in its line i.
template <bool BY_ROW, int TM, int TN, typename Write>
__device__ __forceinline__ void deliver(const acc_t (&sum)[TM][TN], acc_t* stage, ThreadPlace mine,
                                        Write write) {
    constexpr int PASSES = BY_ROW ? TM : TN, OWN = BY_ROW ? TN : TM;
    const int across = BY_ROW ? mine.row : mine.col, along = BY_ROW ? mine.col : mine.row;
    acc_t* const line = stage + across * stage_pitch(OWN * SIDE);
#pragma unroll 1
    for (int pass = 0; pass < PASSES; ++pass) {
        __syncthreads();  // nobody needs what the stage has held so far
#pragma unroll
        for (int constant = 0; constant < PASSES; ++constant) {
            if (constant != pass) continue;  // registers have no addresses
#pragma unroll
            for (int i = 0; i < OWN; i += WIDTH) {
                acc_t v[WIDTH];
#pragma unroll
                for (int e = 0; e < WIDTH; ++e)
                    v[e] = BY_ROW ? sum[constant][i + e] : sum[i + e][constant];
                store_vector(line + spread(along, i), v);
            }
        }
        __syncthreads();
        write(pass);
    }
}
