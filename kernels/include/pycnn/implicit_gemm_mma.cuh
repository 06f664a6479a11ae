// pycnn/implicit_gemm_mma.cuh: the product of implicit_gemm_mma.cu, implicit_gemm_tf32.cu and
// implicit_gemm_tf32x3.cu of kernels/conv: the sums of implicit_gemm_tiles.cuh on their way to C.
#pragma once

#include <pycnn/implicit_gemm_tiles.cuh>
#include <pycnn/chunk_store.cuh>

// Where rows of the tile lie: in shared memory, as all threads need them.
struct TabledRows {
    const index_t *n_in_c, *n_in_residual;
    int extent;

    __device__ __forceinline__ bool exists(int n) const { return n < extent; }
    __device__ __forceinline__ index_t c(int n) const { return n_in_c[n]; }
    __device__ __forceinline__ index_t residual(int n) const { return n_in_residual[n]; }
};

// Where sums go.
struct Ending {
    scalar_t* c;
    const Epilogue epilogue;
    const ImplicitParams& p;
};

// What a block computes, of those of a product. `ending` is asked once the sums are there.
template <typename AskedLate>
__device__ __forceinline__ void implicit_product(const scalar_t* a, const scalar_t* x, acc_t* part,
                                                 const ImplicitParams& early, unsigned block,
                                                 const AskedLate& ending) {
    __shared__ alignas(128) Stages stages;
    constexpr int SUMS = Warp::ROWS * Warp::PITCH * sizeof(float);
    static_assert(sizeof(stages) >= SUMS + 2 * BLK_N * sizeof(index_t), "sC, and offsets behind it");
    const BlockCoord blk(early, block);
    const Operands of(a, x, blk, early);
    const int thread = threadIdx.x, extent_m = of.extent_m, extent_n = of.extent_n;
    Warp warp;
    bool done = false;
    if (of.aligned(early)) {
        multiply_all<true>(warp, stages, of, early);
        done = !IS_SPLIT || !warp.any_nan();
        if (!done) warp.clear();
    }
    if (!done) multiply_all<false>(warp, stages, of, early);

    const Ending end = ending();
    const EpilogueParams& e = end.epilogue.p;
    const ImplicitParams& p = end.p;
    float* const sC = reinterpret_cast<float*>(stages[0]);
    index_t* const n_in_c = reinterpret_cast<index_t*>(sC + Warp::ROWS * Warp::PITCH);
    index_t* const n_in_residual = n_in_c + BLK_N;
    static_assert(BLK_N <= MMA_THREADS, "each thread one at most");
    if (thread < BLK_N) {
        const IndexIterator iter_n(p.n, blk.n() + thread);
        n_in_c[thread] = iter_n.other(p.n);
        const index_t residual_strides[] = {e.residual_n, e.residual_p, e.residual_q};
        n_in_residual[thread] = iter_n.dot(residual_strides);
    }
    const index_t channel = blk.channel(p);
    if (p.splits > 1) {
        // The partial sums of a split lie n by n, of all m in each.
        acc_t* const to = part + (blk.split * p.groups + blk.group) * p.m * p.n.count +
                          blk.n() * p.m + blk.m;
        warp.store_through_shared(sC, [&](int pass) {
            for (int i = thread; i < Warp::ROWS * BLK_M; i += MMA_THREADS) {
                const int n = Warp::tile_row(i / BLK_M, pass), m = i % BLK_M;
                if (m < extent_m && n < extent_n)
                    to[n * p.m + m] = sC[i / BLK_M * Warp::PITCH + Warp::column(m)];
            }
        });
        return;
    }
    store_finished(warp, sC, end.c + blk.group * p.c_group + blk.m * p.c_m, p.c_m, extent_m, channel,
                   p.vectors & C_CHUNKED, p.vectors & RESIDUAL_CHUNKED, end.epilogue,
                   TabledRows{n_in_c, n_in_residual, extent_n});
}
