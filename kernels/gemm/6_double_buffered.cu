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
// entry gemm_double_buffered      matrix product, the fastest version
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

constexpr int BLK_M = TILE, BLK_N = TILE;
constexpr int THR_M = BLK_M / THREADS_MN, THR_N = BLK_N / THREADS_MN;
constexpr int BLK_K = (VEC > 4 ? 2048 : 1024) / TILE;  // a thread copies 8 or 4 elements of each
constexpr int STAGES = 2;
// Blocks an SM should hold at a time, as far as the registers of the sums allow.
constexpr int MIN_BLOCKS = THR_M * THR_N * sizeof(acc_t) > 256 ? 1 : 2;

extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS)
gemm_double_buffered(const scalar_t* __restrict__ a, const scalar_t* __restrict__ b,
                     scalar_t* __restrict__ c, const scalar_t* __restrict__ bias,
                     const scalar_t* __restrict__ scale, const scalar_t* __restrict__ shift,
                     const scalar_t* __restrict__ residual, EpilogueParams e, GemmParams p) {
    __shared__ alignas(16) acc_t sA[STAGES][BLK_K][pitch(BLK_M)];
    __shared__ alignas(16) acc_t sB[STAGES][BLK_K][pitch(BLK_N)];
    const BlockCoord blk(p);
    if (blk.batch >= p.batches) return;
    const Epilogue epilogue{bias, scale, shift, residual, e};
    const OutputTile gC(p, c, epilogue, blk);
    const ThreadCoord thr(threadIdx.x);
    TiledCopy<BLK_K, BLK_M, !A_TRANSPOSED> copy_a(operand_a(p, a, blk), threadIdx.x);
    TiledCopy<BLK_K, BLK_N, B_TRANSPOSED> copy_b(operand_b(p, b, blk), threadIdx.x);

    copy_a.load(p.k);
    copy_b.load(p.k);
    acc_t acc[THR_M][THR_N] = {};
    int stage = 0;
    for (index_t k_left = p.k; k_left > 0; k_left -= BLK_K) {
        // Nobody reads this stage any more: who passed the last barrier had left the tile before.
        copy_a.store(sA[stage]);
        copy_b.store(sB[stage]);
        __syncthreads();
        copy_a.load(k_left - BLK_K);
        copy_b.load(k_left - BLK_K);
        multiply(acc, sA[stage], sB[stage], thr);
        stage = 1 - stage;
    }
    store_tile(acc, sA[0][0], gC, thr);
}
