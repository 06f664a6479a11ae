// pycnn/gemm_vector.cuh: 16 bytes at a time, for the upper rungs of kernels/gemm: from global
// memory to registers, from there to shared memory, to the multiplications, and to C.
#pragma once

#include <pycnn/gemm.cuh>

constexpr int WIDTH = 16 / sizeof(scalar);  // elements in 16 bytes

__device__ __forceinline__ void load16(float (&x)[4], const float* from) {
    const float4 v = *reinterpret_cast<const float4*>(from);
    x[0] = v.x, x[1] = v.y, x[2] = v.z, x[3] = v.w;
}

__device__ __forceinline__ void load16(double (&x)[2], const double* from) {
    const double2 v = *reinterpret_cast<const double2*>(from);
    x[0] = v.x, x[1] = v.y;
}

__device__ __forceinline__ void store16(float* to, const float (&x)[4]) {
    *reinterpret_cast<float4*>(to) = make_float4(x[0], x[1], x[2], x[3]);
}

__device__ __forceinline__ void store16(double* to, const double (&x)[2]) {
    *reinterpret_cast<double2*>(to) = make_double2(x[0], x[1]);
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

// Row length of a tile: with 4 elements to spare, storing vectors that run along k column by
// column is free of conflicts too.
__host__ __device__ constexpr int pitch(int lines) { return lines + 4; }

// A thread's share of the tiles of an operand on its way through registers, from k = 0 on. Vectors
// run along k if ALONG_K (two threads read one 32-byte sector), else along the lines.
template <int BK, int LINES, bool ALONG_K>
class Carrier {
    static constexpr int COUNT = BK * LINES / WIDTH / THREADS;  // vectors a thread
    static_assert(COUNT * WIDTH * THREADS == BK * LINES, "every thread carries as much");

    const scalar* from[COUNT];
    const index_t step_k, step_line;
    const int lines;  // of the tile's lines, those inside the matrix
    const bool vector;
    const int thread;
    scalar held[COUNT][WIDTH];

    __device__ __forceinline__ int k(int c) const {
        const int index = thread + c * THREADS;
        return ALONG_K ? (index % 2 + index / (2 * LINES) * 2) * WIDTH : index / (LINES / WIDTH);
    }

    __device__ __forceinline__ int line(int c) const {
        const int index = thread + c * THREADS;
        return ALONG_K ? index / 2 % LINES : index % (LINES / WIDTH) * WIDTH;
    }

public:
    __device__ __forceinline__ Carrier(const Operand& x, int thread)
        : step_k(x.step_k),
          step_line(x.step_line),
          lines(x.lines < LINES ? x.lines : LINES),
          vector(x.vector),
          thread(thread) {
#pragma unroll
        for (int c = 0; c < COUNT; ++c)
            from[c] = x.first + k(c) * x.step_k + line(c) * x.step_line;
    }

    // Reads the next tile, from which on `k_left` of k remain. At the edges of the matrix, and
    // where 16 bytes are not aligned, single elements are read, and zeros for those outside.
    __device__ __forceinline__ void fetch(index_t k_left) {
        const int ks = k_left < BK ? k_left : BK;
#pragma unroll
        for (int c = 0; c < COUNT; ++c) {
            const auto inside = [&](int e) {
                return k(c) + (ALONG_K ? e : 0) < ks && line(c) + (ALONG_K ? 0 : e) < lines;
            };
            if (vector && inside(WIDTH - 1)) {
                load16(held[c], from[c]);
            } else {
#pragma unroll
                for (int e = 0; e < WIDTH; ++e)
                    held[c][e] = inside(e) ? from[c][e * (ALONG_K ? step_k : step_line)] : 0;
            }
            from[c] += BK * step_k;
        }
    }

    // Stores it into tile[k][line].
    __device__ __forceinline__ void put(scalar (&tile)[BK][pitch(LINES)]) const {
#pragma unroll
        for (int c = 0; c < COUNT; ++c) {
            if (ALONG_K) {
#pragma unroll
                for (int e = 0; e < WIDTH; ++e) tile[k(c) + e][line(c)] = held[c][e];
            } else {
                store16(&tile[k(c)][line(c)], held[c]);
            }
        }
    }
};

// The part of a row of a tile that a thread multiplies.
template <int COUNT>
__device__ __forceinline__ void read_part(scalar (&part)[COUNT], const scalar* tile_row,
                                          int place) {
#pragma unroll
    for (int i = 0; i < COUNT; i += WIDTH) {
        scalar v[WIDTH];
        load16(v, tile_row + spread(place, i));
#pragma unroll
        for (int e = 0; e < WIDTH; ++e) part[i + e] = v[e];
    }
}

// Finishes and stores a thread's outputs, 16 bytes at a time where C allows. What is asked for is
// the same for all of them, so each wish is looked at once, and not once an output.
template <int TM, int TN>
__device__ __forceinline__ void store_part(scalar (&sum)[TM][TN], const GemmParams& p,
                                           const Result& result, ThreadPlace mine) {
    const auto row = [&](int r) { return spread(mine.row, r); };
    const auto col = [&](int s) { return spread(mine.col, s); };
    const bool vector = vectors(p, C_VECTOR, result.c);

    if (result.bias && p.flags & BIAS_BY_ROW) {
#pragma unroll
        for (int r = 0; r < TM; ++r) {
            const scalar value = row(r) < result.rows ? result.bias[row(r) * p.bias_step] : 0;
#pragma unroll
            for (int s = 0; s < TN; ++s) sum[r][s] += value;
        }
    } else if (result.bias) {
#pragma unroll
        for (int s = 0; s < TN; ++s) {
            const scalar value = col(s) < result.cols ? result.bias[col(s) * p.bias_step] : 0;
#pragma unroll
            for (int r = 0; r < TM; ++r) sum[r][s] += value;
        }
    }
    if (p.flags & ACCUMULATE) {
#pragma unroll
        for (int r = 0; r < TM; ++r)
#pragma unroll
            for (int s = 0; s < TN; ++s)
                if (row(r) < result.rows && col(s) < result.cols)
                    sum[r][s] += result.c[row(r) * p.c_row + col(s)];
    }
    if (p.flags & RELU) {
#pragma unroll
        for (int r = 0; r < TM; ++r)
#pragma unroll
            for (int s = 0; s < TN; ++s) sum[r][s] = sum[r][s] < 0 ? 0 : sum[r][s];
    }
#pragma unroll
    for (int r = 0; r < TM; ++r) {
        if (row(r) >= result.rows) return;  // rows grow with r
        scalar* to = result.c + row(r) * p.c_row;
#pragma unroll
        for (int s = 0; s < TN; s += WIDTH) {
            scalar v[WIDTH];
#pragma unroll
            for (int e = 0; e < WIDTH; ++e) v[e] = sum[r][s + e];
            if (vector && col(s) + WIDTH <= result.cols) {
                store16(to + col(s), v);
            } else {
#pragma unroll
                for (int e = 0; e < WIDTH; ++e)
                    if (col(s) + e < result.cols) to[col(s) + e] = v[e];
            }
        }
    }
}
