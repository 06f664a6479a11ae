// gemm/3_shared_tile.cu: matrix product, tiles of A and B shared by a block.
//
// Computes   C[i,j] = epilogue(sum_k A[i,k] B[k,j] (+ C[i,j])), as epilogue.cuh has it, with the
//            rows or the columns of C for channels
// Layout     A (M,K), B (K,N) any strides; C (M,N) column stride 1; two-level batch by strides
// Launch     block 16x16, one thread an output of a 16x16 tile; grid (ceil(M/16) ceil(N/16),
//            batches); 2304 bytes of shared memory in float, 4352 in double
// Traffic    A is read N/16 times and B M/16 times: M N K / 8 elements; 2 M N K flop
// Range      any extents; 64-bit index arithmetic
// Siblings   faster than 2_coalesced: 16 times fewer global loads, and loads follow the contiguous
//            axis whatever the transposes. Slower than 4_register_tile: two shared loads for every
//            multiplication, so shared memory is the limit. Its small tile suits a thin C
// Source     NVIDIA, CUDA C++ Programming Guide, "Shared Memory", matrix multiplication
//
// entry gemm_shared_tile      matrix product, tiles in shared memory; also for a thin C
// variant SCALAR = floating
// variant A_TRANSPOSED = 0, 1
// variant B_TRANSPOSED = 0, 1
#include <pycnn/gemm.cuh>

#ifndef A_TRANSPOSED
#define A_TRANSPOSED 0  // 1: A is read down its columns, as M is contiguous in memory
#define B_TRANSPOSED 0  // 1: B is read down its columns, as K is contiguous in memory
#endif

constexpr int BLK_M = 16, BLK_N = 16, BLK_K = 16;

extern "C" __global__ void __launch_bounds__(BLK_M * BLK_N)
gemm_shared_tile(const scalar_t* __restrict__ a, const scalar_t* __restrict__ b,
                 scalar_t* __restrict__ c, const scalar_t* __restrict__ bias,
                 const scalar_t* __restrict__ scale, const scalar_t* __restrict__ shift,
                 const scalar_t* __restrict__ residual, EpilogueParams e, GemmParams p) {
    __shared__ Tile<BLK_K, BLK_M> sA;  // [k][i]
    __shared__ Tile<BLK_K, BLK_N> sB;  // [k][j]
    const BlockCoord blk(p);
    if (blk.batch >= p.batches) return;
    const Operand gA = operand_a(p, a, blk), gB = operand_b(p, b, blk);
    const int i = threadIdx.y, j = threadIdx.x;
    const int thread = threadIdx.y * BLK_N + threadIdx.x;

    acc_t acc = 0;
    for (index_t k0 = 0; k0 < p.k; k0 += BLK_K) {
        load_tile<BLK_K, BLK_M, !A_TRANSPOSED>(sA, gA, k0, thread);
        load_tile<BLK_K, BLK_N, B_TRANSPOSED>(sB, gB, k0, thread);
        __syncthreads();  // the tiles are complete
#pragma unroll
        for (int k = 0; k < BLK_K; ++k) acc += sA[k][i] * sB[k][j];
        __syncthreads();  // and no longer needed
    }
    const Epilogue epilogue{bias, scale, shift, residual, e};
    OutputTile(p, c, epilogue, blk).store(i, j, acc);
}
