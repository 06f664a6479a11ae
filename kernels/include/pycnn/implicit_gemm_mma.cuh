// pycnn/implicit_gemm_mma.cuh: the product of implicit_gemm_mma.cu, implicit_gemm_tf32.cu and
// implicit_gemm_tf32x3.cu of kernels/conv: the sums of implicit_gemm_tiles.cuh on their way to C.
#pragma once

#include <pycnn/implicit_gemm_tiles.cuh>
#include <pycnn/chunk_epilogue.cuh>

// What a block computes.
__device__ __forceinline__ void implicit_product(const scalar_t* a, const scalar_t* x, scalar_t* c,
                                                 acc_t* part, const Epilogue& epilogue,
                                                 const ImplicitParams& p) {
    __shared__ alignas(128) Stages stages;
    constexpr int SUMS = Warp::ROWS * Warp::PITCH * sizeof(float);
    static_assert(sizeof(stages) >= SUMS + 2 * BLK_N * sizeof(index_t), "sC, and offsets behind it");
    const EpilogueParams& e = epilogue.p;
    const BlockCoord blk(p);
    const Operands of(a, x, blk, p);
    const int thread = threadIdx.x, extent_m = of.extent_m, extent_n = of.extent_n;
    Warp warp;
    bool done = false;
    if (of.aligned(p)) {
        multiply_all<true>(warp, stages, of, p);
        done = !IS_SPLIT || !warp.any_nan();
        if (!done) warp.clear();
    }
    if (!done) multiply_all<false>(warp, stages, of, p);

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
    scalar_t* const gC = c + blk.group * p.c_group + blk.m * p.c_m;
    const bool vector = p.vectors & C_CHUNKED && reinterpret_cast<size_t>(gC) % 16 == 0;
    // A thread's chunks lie below each other.
    constexpr int C_ROW_STEP = MMA_THREADS * CHUNK / BLK_M;
    const int m = thread * CHUNK % BLK_M, count = extent_m - m;
    const ChunkEpilogue of_channels(epilogue, channel + m, count >= CHUNK);
    scalar_t* const own_c = kept(gC + m * p.c_m);
    const scalar_t* const own_residual = kept(epilogue.residual + (channel + m) * e.residual_k);
    const bool plain = vector && count >= CHUNK &&
                       of_channels.plain(own_residual, p.vectors & RESIDUAL_CHUNKED);
    const int own_r = thread * CHUNK / BLK_M;
    warp.store_through_shared(sC, [&](int pass) {
        const float* from = sC + own_r * Warp::PITCH + Warp::column(m);
        if (plain) {
#pragma unroll
            for (int r = 0; r < Warp::ROWS; r += C_ROW_STEP) {
                const int n = Warp::tile_row(own_r + r, pass);
                if (n >= extent_n) continue;
                float sum[CHUNK];
                Warp::load_sums(sum, from + r * Warp::PITCH);
                of_channels.finish_plainly(sum, own_residual + n_in_residual[n]);
                store_chunk(own_c + n_in_c[n], sum);
            }
            return;
        }
#pragma unroll 1
        for (int r = own_r; r < Warp::ROWS; r += C_ROW_STEP, from += C_ROW_STEP * Warp::PITCH) {
            const int n = Warp::tile_row(r, pass);
            if (n >= extent_n || count <= 0) continue;
            scalar_t* const to = own_c + n_in_c[n];
            const scalar_t* const beside = own_residual + n_in_residual[n];
            if (count >= CHUNK) {
                float sum[CHUNK];
                Warp::load_sums(sum, from);
                of_channels.finish(sum, beside, e.residual_k);
                if (vector) {
                    store_chunk(to, sum);
                } else {
#pragma unroll
                    for (int j = 0; j < CHUNK; ++j) to[j * p.c_m] = from_acc(sum[j]);
                }
            } else {
#pragma unroll 1
                for (int j = 0; j < count; ++j) {
                    const acc_t one = from[Warp::column(j)];
                    const index_t at = beside - epilogue.residual + j * e.residual_k;
                    to[j * p.c_m] = from_acc(epilogue(one, channel + m + j, at));
                }
            }
        }
    });
}
