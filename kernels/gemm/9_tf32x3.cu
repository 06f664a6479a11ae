// gemm/9_tf32x3.cu: matrix product of floats on tensor cores, each the sum of two TF32 numbers.
//
// Computes   C[i,j] = epilogue(sum_k A[i,k] B[k,j] (+ C[i,j])), as epilogue.cuh has it, with the
//            rows or the columns of C for channels; with the accuracy of float, by three products:
//            see gemm_mma.cuh
// Layout     A (M,K), B (K,N) any strides; C (M,N) column stride 1; two-level batch by strides
// Launch     block 128, warps 2 x 2 with a quarter of the tile each; grid (ceil(M/TILE_M)
//            ceil(N/TILE_N), batches); shared memory 36 KiB, or 48 in 64x64
// Traffic    A is read N/TILE_N times and B M/TILE_M times: M N K (1/TILE_M + 1/TILE_N) elements;
//            6 M N K flop of TF32
// Range      any extents; 64-bit index arithmetic. Magnitudes from 2^128 (1 - 2^-12) on round to
//            infinity
// Siblings   8_tf32 has one of the three products. 6_double_buffered multiplies floats one by one,
//            on cores of half the speed of three products on tensor cores (H100)
// Banks      none is asked twice: see MmaLayout
// Source     H. Ootomo, R. Yokota: "Recovering single precision accuracy from Tensor Cores while
//            surpassing the FP32 theoretical peak performance", 2022, for the three products and
//            the sums outside the tensor cores
//
// entry gemm_tf32x3               matrix product of floats by three of TF32, on tensor cores
// variant TILE_M = 64, 128
// variant TILE_N = 64
// variant A_TRANSPOSED = 0, 1
// variant B_TRANSPOSED = 0, 1
#define SCALAR float
#define PRODUCTS 3
#include <pycnn/gemm_tensor_core.cuh>

extern "C" __global__ void __launch_bounds__(MMA_THREADS, MIN_BLOCKS)
gemm_tf32x3(const scalar_t* __restrict__ a, const scalar_t* __restrict__ b, scalar_t* __restrict__ c,
            const scalar_t* __restrict__ bias, const scalar_t* __restrict__ scale,
            const scalar_t* __restrict__ shift, const scalar_t* __restrict__ residual,
            EpilogueParams e, GemmParams p) {
    tensor_core_product(a, b, c, Epilogue{bias, scale, shift, residual, e}, p);
}
