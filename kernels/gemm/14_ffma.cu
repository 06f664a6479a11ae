// gemm/14_ffma.cu: matrix product of floats, one multiply-add by one, with the copies of tensor cores.
//
// Computes   C[i,j] = epilogue(sum_k A[i,k] B[k,j] (+ C[i,j])), as epilogue.cuh has it, with the
//            rows or the columns of C for channels
// Layout     A (M,K), B (K,N) any strides; C (M,N) column stride 1; two-level batch by strides
// Launch     block 128 of a tile of 128x128, each thread with 16x8 outputs, or 64 of 64x64, with 8x8;
//            grid (ceil(M/TILE) ceil(N/TILE), batches); shared memory 48 or 24 KiB
// Traffic    A is read N/TILE times and B M/TILE times: 2 M N K / TILE elements; 2 M N K flop
// Range      any extents; 64-bit index arithmetic
// Siblings   6_double_buffered has copies that pass through registers, and 8x8 outputs a thread, which
//            ask shared memory for a third more; implicit_gemm_ffma is a convolution
// Banks      none is asked twice: see ThreadLayout
// Source     S. Gray, "maxas", 2014, its page on SGEMM: the order of the products, and so many a thread
//
// entry gemm_ffma                 matrix product of floats, the fastest without tensor cores
// variant TILE = 64, 128
// variant A_TRANSPOSED = 0, 1
// variant B_TRANSPOSED = 0, 1
#define SCALAR float
#define PRODUCTS 0
#define TILE_M TILE
#define TILE_N TILE
#include <pycnn/gemm_tensor_core.cuh>

extern "C" __global__ void __launch_bounds__(MMA_THREADS, MIN_BLOCKS)
gemm_ffma(const scalar_t* __restrict__ a, const scalar_t* __restrict__ b, scalar_t* __restrict__ c,
          const scalar_t* __restrict__ bias, const scalar_t* __restrict__ scale,
          const scalar_t* __restrict__ shift, const scalar_t* __restrict__ residual,
          EpilogueParams e, GemmParams p) {
    tensor_core_product(a, b, c, Epilogue{bias, scale, shift, residual, e}, p);
}
