// pycnn/matrices_wgmma.cuh: what the matrix products on Hopper copy: tiles of two matrices.
#pragma once

#include <pycnn/gemm_wgmma.cuh>

#ifndef A_TRANSPOSED
#define A_TRANSPOSED 0  // 1: M is contiguous in memory, else K
#define B_TRANSPOSED 1  // 1: K is contiguous in memory, else N
#endif

constexpr bool A_K_MAJOR = !A_TRANSPOSED, B_K_MAJOR = B_TRANSPOSED;

// What a block multiplies.
struct Matrices {
    static constexpr int WIDTH = 128 / sizeof(element_t);
    const TensorMap &map_a, &map_b;
    const GemmParams& p;
    Shared& shared;
    const Own own;

    __device__ unsigned bytes() const { return own.bytes(!A_K_MAJOR, !B_K_MAJOR); }
    __device__ Terms terms(const BlockCoord&) const {
        return {0, static_cast<int>(ceil_div(p.k, BLK_K))};
    }
    __device__ Row row(index_t m) const { return {m * p.c_row, m * p.residual_row}; }
    // An operand comes as one box where k is contiguous, else as one for every 64 of m (or n). One
    // that is the same for a whole level of the batch has one index there.
    __device__ void load(const BlockCoord& blk, int k_tile, bool, int stage) {
        const int inner = blk.batch % p.inner, outer = blk.batch / p.inner, k = k_tile * BLK_K;
        const int m = static_cast<int>(blk.m), n = static_cast<int>(blk.n);
        const int a_inner = p.a_inner ? inner : 0, a_outer = p.a_outer ? outer : 0;
        const int b_inner = p.b_inner ? inner : 0, b_outer = p.b_outer ? outer : 0;
        mbarrier_t* const full = &shared.full[stage];
        if constexpr (A_K_MAJOR) {
            tma_load_all<ACROSS>(shared.a[stage] + own.rows.first() * BLK_K, map_a,
                                 {k, m + own.rows.first(), a_inner, a_outer}, full);
        } else {
#pragma unroll
            for (int box = 0; box < BLK_M / WIDTH; ++box)
                if (own.rows.has(box))
                    tma_load_all<ACROSS>(shared.a[stage] + box * WIDTH * BLK_K, map_a,
                                         {m + box * WIDTH, k, a_inner, a_outer}, full);
        }
        if constexpr (B_K_MAJOR) {
            tma_load_all<CLUSTER>(shared.b[stage] + own.columns.first() * BLK_K, map_b,
                                  {k, n + own.columns.first(), b_inner, b_outer}, full);
        } else {
#pragma unroll
            for (int box = 0; box < BLK_N / WIDTH; ++box)
                if (own.columns.has(box))
                    tma_load_all<CLUSTER>(shared.b[stage] + box * WIDTH * BLK_K, map_b,
                                          {n + box * WIDTH, k, b_inner, b_outer}, full);
        }
    }
};

// All of a block: `store(work, blk, sums, own)` is what happens to the sums of a tile; `easy`: see there.
template <typename Store>
__device__ __forceinline__ void multiply_matrices(const TensorMap& map_a, const TensorMap& map_b,
                                                  const GemmParams& p, Store store, bool easy) {
    extern __shared__ __align__(1024) char memory[];
    Shared& shared = *reinterpret_cast<Shared*>(memory);
    const Matrices work{map_a, map_b, p, shared, {}};
    multiply_all<A_K_MAJOR, B_K_MAJOR>(
        shared, p, work,
        [&](const BlockCoord& blk, Sums& sums, WarpOutput& own) { store(work, blk, sums, own); }, easy);
}
