// gemm/4_register_tile.cu: matrix product, a tile of C in the registers of each thread.
//
// Computes   C[i,j] = epilogue(sum_k A[i,k] B[k,j] (+ C[i,j])), as epilogue.cuh has it, with the
//            rows or the columns of C for channels
// Layout     A (M,K), B (K,N) any strides; C (M,N) column stride 1; two-level batch by strides
// Launch     block 256 as 16x16, each thread 4x4 outputs of a 64x64 tile; grid (ceil(M/64)
//            ceil(N/64), batches); 8448 bytes of shared memory in float, 16640 in double
// Traffic    A is read N/64 times and B M/64 times: M N K / 32 elements; 2 M N K flop
// Range      any extents; 64-bit index arithmetic
// Siblings   faster than 3_shared_tile: 8 shared loads feed 16 multiplications, not 2 one. Slower
//            than 5_vectorised: every load is of a single element
// Source     V. Volkov, J. Demmel, "Benchmarking GPUs to tune dense linear algebra", SC 2008
//
// entry gemm_register_tile      matrix product, 4x4 outputs a thread
// variant SCALAR = floating
// variant A_TRANSPOSED = 0, 1
// variant B_TRANSPOSED = 0, 1
#include <pycnn/gemm.cuh>

#ifndef A_TRANSPOSED
#define A_TRANSPOSED 0  // 1: A is read down its columns, as M is contiguous in memory
#define B_TRANSPOSED 0  // 1: B is read down its columns, as K is contiguous in memory
#endif

constexpr int THREADS_MN = 16;                                         // in each direction
constexpr int THR_M = 4, THR_N = 4;                                    // the tile of a thread
constexpr int BLK_M = THR_M * THREADS_MN, BLK_N = THR_N * THREADS_MN;  // the tile of a block
constexpr int BLK_K = 16;

extern "C" __global__ void __launch_bounds__(THREADS_MN * THREADS_MN)
gemm_register_tile(const scalar_t* __restrict__ a, const scalar_t* __restrict__ b,
                   scalar_t* __restrict__ c, const scalar_t* __restrict__ bias,
                   const scalar_t* __restrict__ scale, const scalar_t* __restrict__ shift,
                   const scalar_t* __restrict__ residual, EpilogueParams e, GemmParams p) {
    __shared__ Tile<BLK_K, BLK_M> sA;
    __shared__ Tile<BLK_K, BLK_N> sB;
    const BlockCoord blk(p);
    if (blk.batch >= p.batches) return;
    const Operand gA = operand_a(p, a, blk), gB = operand_b(p, b, blk);
    // A thread's outputs lie 16 apart: neighbouring threads touch neighbouring banks.
    const int thr_m = threadIdx.x / THREADS_MN, thr_n = threadIdx.x % THREADS_MN;

    acc_t acc[THR_M][THR_N] = {};
    for (index_t k0 = 0; k0 < p.k; k0 += BLK_K) {
        load_tile<BLK_K, BLK_M, !A_TRANSPOSED>(sA, gA, k0, threadIdx.x);
        load_tile<BLK_K, BLK_N, B_TRANSPOSED>(sB, gB, k0, threadIdx.x);
        __syncthreads();
#pragma unroll 4
        for (int k = 0; k < BLK_K; ++k) {
            acc_t rA[THR_M], rB[THR_N];
#pragma unroll
            for (int i = 0; i < THR_M; ++i) rA[i] = sA[k][thr_m + i * THREADS_MN];
#pragma unroll
            for (int j = 0; j < THR_N; ++j) rB[j] = sB[k][thr_n + j * THREADS_MN];
#pragma unroll
            for (int i = 0; i < THR_M; ++i)
#pragma unroll
                for (int j = 0; j < THR_N; ++j) acc[i][j] += rA[i] * rB[j];
        }
        __syncthreads();
    }

    const Epilogue epilogue{bias, scale, shift, residual, e};
    const OutputTile gC(p, c, epilogue, blk);
#pragma unroll
    for (int i = 0; i < THR_M; ++i)
#pragma unroll
        for (int j = 0; j < THR_N; ++j)
            gC.store(thr_m + i * THREADS_MN, thr_n + j * THREADS_MN, acc[i][j]);
}
