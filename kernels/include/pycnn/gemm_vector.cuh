// pycnn/gemm_vector.cuh: 16 bytes at a time, for the last versions in kernels/gemm: from global
// memory to registers, from there to shared memory, and from the sums to C.
#pragma once

#include <pycnn/gemm.cuh>
#include <pycnn/gemm_thread.cuh>

constexpr int VEC = 16 / sizeof(scalar_t);  // elements in 16 bytes of global memory

// A thread's partition of the tiles of an operand on its way from global memory through registers
// to shared memory, from k = 0 on. Vectors run along k if K_MAJOR (two threads read 32 bytes, a
// sector), else along mn.
template <int BLK_K, int BLK_MN, bool K_MAJOR>
class TiledCopy {
    static constexpr int COUNT = BLK_K * BLK_MN / VEC / THREADS;  // vectors a thread
    static_assert(COUNT * VEC * THREADS == BLK_K * BLK_MN, "every thread copies as much");
    static_assert(!K_MAJOR || BLK_K % (2 * VEC) == 0, "pairs of vectors make up a row of k");

    const scalar_t* from[COUNT];
    const index_t stride_k, stride_mn;
    const int extent_mn;  // of the tile, what is inside the matrix
    const bool vector;
    const int thread;
    scalar_t regs[COUNT][VEC];

    __device__ __forceinline__ int k(int c) const {
        const int index = thread + c * THREADS;
        return K_MAJOR ? (index % 2 + index / (2 * BLK_MN) * 2) * VEC : index / (BLK_MN / VEC);
    }

    __device__ __forceinline__ int mn(int c) const {
        const int index = thread + c * THREADS;
        return K_MAJOR ? index / 2 % BLK_MN : index % (BLK_MN / VEC) * VEC;
    }

public:
    __device__ __forceinline__ TiledCopy(const Operand& x, int thread)
        : stride_k(x.stride_k),
          stride_mn(x.stride_mn),
          extent_mn(x.mn < BLK_MN ? x.mn : BLK_MN),
          vector(x.vector),
          thread(thread) {
#pragma unroll
        for (int c = 0; c < COUNT; ++c)
            from[c] = x.first + k(c) * x.stride_k + mn(c) * x.stride_mn;
    }

    // Loads the next tile into registers; `k_left` of k remain from it on. At the edges of the
    // matrix, and where 16 bytes are not aligned, single elements, and zeros for those outside.
    __device__ __forceinline__ void load(index_t k_left) {
        const int extent_k = k_left < BLK_K ? k_left : BLK_K;
#pragma unroll
        for (int c = 0; c < COUNT; ++c) {
            const auto inside = [&](int e) {
                return k(c) + (K_MAJOR ? e : 0) < extent_k && mn(c) + (K_MAJOR ? 0 : e) < extent_mn;
            };
            if (vector && inside(VEC - 1)) {
                load_vector(regs[c], from[c]);
            } else {
#pragma unroll
                for (int e = 0; e < VEC; ++e)
                    regs[c][e] =
                        inside(e) ? from[c][e * (K_MAJOR ? stride_k : stride_mn)] : scalar_t(0);
            }
            from[c] += BLK_K * stride_k;
        }
    }

    // Stores it into tile[k][mn]. Vectors of 16-bit elements fill 32 bytes of a tile: so that
    // no bank is asked twice, half of the threads begin with the second half of theirs.
    __device__ __forceinline__ void store(acc_t (&tile)[BLK_K][pitch(BLK_MN)]) const {
        constexpr int TURN = VEC > ACC_VEC ? VEC / 2 : 0;
        const bool turned = TURN && (K_MAJOR ? thread % 2 : thread / 4 % 2);
        const auto value = [&](int c, int e) {
            return to_acc(turned ? regs[c][(e + TURN) % VEC] : regs[c][e]);
        };
        const auto place = [&](int e) { return turned ? (e + TURN) % VEC : e; };
#pragma unroll
        for (int c = 0; c < COUNT; ++c) {
            if (K_MAJOR) {
#pragma unroll
                for (int e = 0; e < VEC; ++e) tile[k(c) + place(e)][mn(c)] = value(c, e);
            } else {
#pragma unroll
                for (int first = 0; first < VEC; first += ACC_VEC) {
                    acc_t v[ACC_VEC];
#pragma unroll
                    for (int e = 0; e < ACC_VEC; ++e) v[e] = value(c, first + e);
                    store_vector(nth_vector<ACC_VEC>(tile[k(c)], (mn(c) + place(first)) / ACC_VEC), v);
                }
            }
        }
    }
};

// Finishes and stores the outputs of a block, ACC_VEC elements at a time where C allows.
template <int THR_M, int THR_N>
__device__ __forceinline__ void store_tile(const acc_t (&acc)[THR_M][THR_N], acc_t* sC,
                                           const OutputTile& out, ThreadCoord thr) {
    constexpr int BLK_N = THR_N * THREADS_MN;
    const bool vector = vectors(out.p, C_VECTOR, out.c) && !(out.p.flags & WIDE);
    store_through_shared<true>(acc, sC, thr, [&](int pass) {
        const int step = vector ? ACC_VEC : 1;
        for (int at = threadIdx.x * step; at < THREADS_MN * BLK_N; at += THREADS * step) {
            const int i = thread_to_tile(at / BLK_N, pass), j = at % BLK_N;
            const acc_t* const from = sC + at / BLK_N * pitch_c(BLK_N) + j;
            if (vector && i < out.rows && j + ACC_VEC <= out.cols) {
                acc_t v[ACC_VEC];
                scalar_t done[ACC_VEC];
                load_vector(v, from);
#pragma unroll
                for (int e = 0; e < ACC_VEC; ++e) done[e] = out.finished(i, j + e, v[e]);
                store_vector(out.c + out.offset(i, j), done);
            } else if (i < out.rows) {
                const int count = min(step, out.cols - j);  // what lies outside is not even loaded
                for (int e = 0; e < count; ++e) out.store(i, j + e, from[e]);
            }
        }
    });
}
