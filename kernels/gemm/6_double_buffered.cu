// gemm/6_double_buffered.cu: matrix product, the next tiles fetched while these are multiplied.
//
// Computes   C[i,j] = epilogue(sum_k A[i,k] B[k,j] (+ C[i,j])), as epilogue.cuh has it, with the
//            rows or the columns of C for channels
// Layout     A (M,K), B (K,N) any strides; C (M,N) column stride 1; two-level batch by strides
// Launch     block 256, each thread 8x8 outputs of a 128x128 tile, or 4x4 of 64x64; grid
//            (ceil(M/TILE) ceil(N/TILE), batches); shared memory in float 16896 or 17408 bytes,
//            twice that in the other types
// Traffic    A is read N/TILE times and B M/TILE times: 2 M N K / TILE elements; 2 M N K flop
// Range      any extents; 64-bit index arithmetic. 16-byte accesses where the plan finds the strides
//            and the kernel the addresses aligned, else single elements
// Siblings   fastest. The loads for the next tile are under way while this one is multiplied, and
//            with two copies of each tile one barrier a tile is enough, 5_vectorised has two.
//            TILE 64 for small C: four times the blocks, half the reuse
// Source     G. Tan et al., "Fast implementation of DGEMM on Fermi GPU", SC 2011
//
// entry gemm_double_buffered      matrix product, the fastest rung
// variant SCALAR = floating
// variant TILE = 64, 128
// variant A_TRANSPOSED = 0, 1
// variant B_TRANSPOSED = 0, 1
#include <pycnn/gemm_vector.cuh>

#ifndef A_TRANSPOSED
#define A_TRANSPOSED 0  // 1: A is read down its columns, as M is contiguous in memory
#define B_TRANSPOSED 0  // 1: B is read down its columns, as K is contiguous in memory
#endif
#ifndef TILE
#define TILE 128
#endif

constexpr int BM = TILE, BN = TILE;
constexpr int TM = BM / SIDE, TN = BN / SIDE;
constexpr int BK = (LOADED > 4 ? 2048 : 1024) / TILE;  // a thread carries 8 or 4 elements of each

extern "C" __global__ void __launch_bounds__(THREADS, 1)
gemm_double_buffered(const scalar_t* __restrict__ a, const scalar_t* __restrict__ b,
                     scalar_t* __restrict__ c, const scalar_t* __restrict__ bias,
                     const scalar_t* __restrict__ scale, const scalar_t* __restrict__ shift,
                     const scalar_t* __restrict__ residual, EpilogueParams e, GemmParams p) {
    __shared__ alignas(16) acc_t a_tile[2][BK][pitch(BM)];
    __shared__ alignas(16) acc_t b_tile[2][BK][pitch(BN)];
    const Place at(p);
    if (at.batch >= p.batches) return;
    const Epilogue finish{bias, scale, shift, residual, e};
    const Result result(p, c, finish, at);
    const ThreadPlace mine(threadIdx.x);
    Carrier<BK, BM, !A_TRANSPOSED> from_a(operand_a(p, a, at), threadIdx.x);
    Carrier<BK, BN, B_TRANSPOSED> from_b(operand_b(p, b, at), threadIdx.x);

    from_a.fetch(p.k);
    from_b.fetch(p.k);
    acc_t sum[TM][TN] = {};
    int now = 0;
    for (index_t k_left = p.k; k_left > 0; k_left -= BK) {
        // Nobody reads this copy any more: who passed the last barrier had left the tile before.
        from_a.put(a_tile[now]);
        from_b.put(b_tile[now]);
        __syncthreads();
        from_a.fetch(k_left - BK);
        from_b.fetch(k_left - BK);
        multiply(sum, a_tile[now], b_tile[now], mine);
        now = 1 - now;
    }
    store_tile(sum, a_tile[0][0], result, mine);
}
