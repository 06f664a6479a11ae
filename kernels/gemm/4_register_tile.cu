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

constexpr int SIDE = 16;                       // threads in each direction
constexpr int TM = 4, TN = 4;                  // the tile of a thread
constexpr int BM = TM * SIDE, BN = TN * SIDE;  // the tile of a block

extern "C" __global__ void __launch_bounds__(SIDE * SIDE)
gemm_register_tile(const scalar_t* __restrict__ a, const scalar_t* __restrict__ b,
                   scalar_t* __restrict__ c, const scalar_t* __restrict__ bias,
                   const scalar_t* __restrict__ scale, const scalar_t* __restrict__ shift,
                   const scalar_t* __restrict__ residual, EpilogueParams e, GemmParams p) {
    __shared__ Tile<BM> a_tile;
    __shared__ Tile<BN> b_tile;
    const Place at(p);
    if (at.batch >= p.batches) return;
    const Operand from_a = operand_a(p, a, at), from_b = operand_b(p, b, at);
    // A thread's outputs lie 16 apart: neighbouring threads touch neighbouring banks.
    const int row = threadIdx.x / SIDE, col = threadIdx.x % SIDE;

    acc_t sum[TM][TN] = {};
    for (index_t k0 = 0; k0 < p.k; k0 += DEPTH) {
        load_tile<BM, !A_TRANSPOSED>(a_tile, from_a, k0, threadIdx.x);
        load_tile<BN, B_TRANSPOSED>(b_tile, from_b, k0, threadIdx.x);
        __syncthreads();
#pragma unroll 4
        for (int k = 0; k < DEPTH; ++k) {
            acc_t a_part[TM], b_part[TN];
#pragma unroll
            for (int i = 0; i < TM; ++i) a_part[i] = a_tile[k][row + i * SIDE];
#pragma unroll
            for (int j = 0; j < TN; ++j) b_part[j] = b_tile[k][col + j * SIDE];
#pragma unroll
            for (int i = 0; i < TM; ++i)
#pragma unroll
                for (int j = 0; j < TN; ++j) sum[i][j] += a_part[i] * b_part[j];
        }
        __syncthreads();
    }

    const Epilogue finish{bias, scale, shift, residual, e};
    const Result result(p, c, finish, at);
#pragma unroll
    for (int i = 0; i < TM; ++i)
#pragma unroll
        for (int j = 0; j < TN; ++j) result.store(row + i * SIDE, col + j * SIDE, sum[i][j]);
}
