// pycnn/gemm_vector.cuh: 16 bytes at a time, for the upper rungs of kernels/gemm: from global
// memory to registers, from there to shared memory, and from the sums to C.
#pragma once

#include <pycnn/gemm.cuh>
#include <pycnn/gemm_thread.cuh>

constexpr int LOADED = 16 / sizeof(scalar_t);  // elements in 16 bytes of global memory

// A thread's share of the tiles of an operand on its way through registers, from k = 0 on. Vectors
// run along k if ALONG_K (two threads read 32 bytes, a sector), else along the lines.
template <int BK, int LINES, bool ALONG_K>
class Carrier {
    static constexpr int COUNT = BK * LINES / LOADED / THREADS;  // vectors a thread
    static_assert(COUNT * LOADED * THREADS == BK * LINES, "every thread carries as much");
    static_assert(!ALONG_K || BK % (2 * LOADED) == 0, "pairs of vectors make up a row of k");

    const scalar_t* from[COUNT];
    const index_t step_k, step_line;
    const int lines;  // of the tile's lines, those inside the matrix
    const bool vector;
    const int thread;
    scalar_t held[COUNT][LOADED];

    __device__ __forceinline__ int k(int c) const {
        const int index = thread + c * THREADS;
        return ALONG_K ? (index % 2 + index / (2 * LINES) * 2) * LOADED : index / (LINES / LOADED);
    }

    __device__ __forceinline__ int line(int c) const {
        const int index = thread + c * THREADS;
        return ALONG_K ? index / 2 % LINES : index % (LINES / LOADED) * LOADED;
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
            if (vector && inside(LOADED - 1)) {
                load_vector(held[c], from[c]);
            } else {
#pragma unroll
                for (int e = 0; e < LOADED; ++e)
                    held[c][e] =
                        inside(e) ? from[c][e * (ALONG_K ? step_k : step_line)] : scalar_t(0);
            }
            from[c] += BK * step_k;
        }
    }

    // Stores it into tile[k][line]. Vectors of 16-bit elements fill 32 bytes of a tile: so that
    // no bank is asked twice, half of the threads begin with the second half of theirs.
    __device__ __forceinline__ void put(acc_t (&tile)[BK][pitch(LINES)]) const {
        constexpr int TURN = LOADED > WIDTH ? LOADED / 2 : 0;
        const bool turned = TURN && (ALONG_K ? thread % 2 : thread / 4 % 2);
        const auto value = [&](int c, int e) {
            return to_acc(turned ? held[c][(e + TURN) % LOADED] : held[c][e]);
        };
        const auto place = [&](int e) { return turned ? (e + TURN) % LOADED : e; };
#pragma unroll
        for (int c = 0; c < COUNT; ++c) {
            if (ALONG_K) {
#pragma unroll
                for (int e = 0; e < LOADED; ++e) tile[k(c) + place(e)][line(c)] = value(c, e);
            } else {
#pragma unroll
                for (int first = 0; first < LOADED; first += WIDTH) {
                    acc_t v[WIDTH];
#pragma unroll
                    for (int e = 0; e < WIDTH; ++e) v[e] = value(c, first + e);
                    store_vector(&tile[k(c)][line(c) + place(first)], v);
                }
            }
        }
    }
};

// Finishes and stores the outputs of a block, WIDTH elements at a time where C allows.
template <int TM, int TN>
__device__ __forceinline__ void store_tile(const acc_t (&sum)[TM][TN], acc_t* stage,
                                           const Result& result, ThreadPlace mine) {
    constexpr int LENGTH = TN * SIDE;
    const bool vector = vectors(result.p, C_VECTOR, result.c) && !(result.p.flags & WIDE);
    deliver<true>(sum, stage, mine, [&](int pass) {
        const int step = vector ? WIDTH : 1;
        for (int at = threadIdx.x * step; at < SIDE * LENGTH; at += THREADS * step) {
            const int i = spread(at / LENGTH, pass), j = at % LENGTH;
            const acc_t* const from = stage + at / LENGTH * stage_pitch(LENGTH) + j;
            if (vector && i < result.rows && j + WIDTH <= result.cols) {
                acc_t v[WIDTH];
                scalar_t done[WIDTH];
                load_vector(v, from);
#pragma unroll
                for (int e = 0; e < WIDTH; ++e) done[e] = result.finished(i, j + e, v[e]);
                store_vector(result.c + result.at(i, j), done);
            } else {
                for (int e = 0; e < step; ++e) result.store(i, j + e, from[e]);
            }
        }
    });
}
