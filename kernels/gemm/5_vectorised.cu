// gemm/5_vectorised.cu: matrix product, 16 bytes with every load and store.
//
// Computes   C[i,j] = epilogue(sum_k A[i,k] B[k,j] (+ C[i,j])), as epilogue.cuh has it, with the
//            rows or the columns of C for channels
// Layout     A (M,K), B (K,N) any strides; C (M,N) column stride 1; two-level batch by strides
// Launch     block 256, each thread 8x8 outputs of a 128x128 tile; grid (ceil(M/128) ceil(N/128),
//            batches); 8448 bytes of shared memory in float, twice that in the other types
// Traffic    A is read N/128 times and B M/128 times: M N K / 64 elements; 2 M N K flop
// Range      any extents; 64-bit index arithmetic. 16-byte accesses where the plan finds the strides
//            and the kernel the addresses aligned, else single elements
// Siblings   faster than 4_register_tile: 4 shared loads of 16 bytes feed 64 multiplications, and a
//            quarter of the instructions move the tiles. Slower than 6_double_buffered: the block
//            waits for global memory before every tile
// Source     NVIDIA, "CUDA Pro Tip: Increase Performance with Vectorized Memory Access", 2013
//
// entry gemm_vectorised      matrix product, 8x8 outputs a thread, 16-byte accesses
// variant SCALAR = floating
// variant A_TRANSPOSED = 0, 1
// variant B_TRANSPOSED = 0, 1
#include <pycnn/gemm_vector.cuh>

#ifndef A_TRANSPOSED
#define A_TRANSPOSED 0  // 1: A is read down its columns, as M is contiguous in memory
#define B_TRANSPOSED 0  // 1: B is read down its columns, as K is contiguous in memory
#endif

constexpr int BLK_M = 128, BLK_N = 128;                                // the tile of a block
constexpr int THR_M = BLK_M / THREADS_MN, THR_N = BLK_N / THREADS_MN;  // the tile of a thread
constexpr int BLK_K = VEC > 4 ? 16 : 8;                                // two vectors at least
using Pair = const acc_t[2][pitch(BLK_M)];                             // two rows of a shared tile

extern "C" __global__ void __launch_bounds__(THREADS)
gemm_vectorised(const scalar_t* __restrict__ a, const scalar_t* __restrict__ b,
                scalar_t* __restrict__ c, const scalar_t* __restrict__ bias,
                const scalar_t* __restrict__ scale, const scalar_t* __restrict__ shift,
                const scalar_t* __restrict__ residual, EpilogueParams e, GemmParams p) {
    __shared__ alignas(16) acc_t tile[2][BLK_K][pitch(BLK_M)];
    auto &sA = tile[0], &sB = tile[1];  // together large enough for the sums at the end
    const BlockCoord blk(p);
    if (blk.batch >= p.batches) return;
    const Epilogue epilogue{bias, scale, shift, residual, e};
    const OutputTile gC(p, c, epilogue, blk);
    const ThreadCoord thr(threadIdx.x);
    TiledCopy<BLK_K, BLK_M, !A_TRANSPOSED> copy_a(operand_a(p, a, blk), threadIdx.x);
    TiledCopy<BLK_K, BLK_N, B_TRANSPOSED> copy_b(operand_b(p, b, blk), threadIdx.x);

    acc_t acc[THR_M][THR_N] = {};
    for (index_t k_left = p.k; k_left > 0; k_left -= BLK_K) {
        copy_a.load(k_left);
        copy_b.load(k_left);
        copy_a.store(sA);
        copy_b.store(sB);
        __syncthreads();
#pragma unroll 1  // of all k at once, with both read down columns, registers spill
        for (int k = 0; k < BLK_K; k += 2)
            multiply(acc, reinterpret_cast<Pair&>(sA[k]), reinterpret_cast<Pair&>(sB[k]), thr);
        __syncthreads();
    }
    store_tile(acc, tile[0][0], gC, thr);
}
