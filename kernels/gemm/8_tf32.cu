// gemm/8_tf32.cu: matrix product of floats on tensor cores, rounded to TF32.
//
// Computes   C[i,j] = epilogue(sum_k A[i,k] B[k,j] (+ C[i,j])), as epilogue.cuh has it, with the
//            rows or the columns of C for channels; of every element of A and B 10 bits of fraction,
//            rounded: an error of 2^-11. Sums and the epilogue are float
// Layout     A (M,K), B (K,N) any strides; C (M,N) column stride 1; two-level batch by strides
// Launch     block 128, warps 2 x 2 with a quarter of the tile each; grid (ceil(M/TILE_M)
//            ceil(N/TILE_N), batches); shared memory 48 KiB, or 36 in 128x64 and 64x128
// Traffic    A is read N/TILE_N times and B M/TILE_M times: M N K (1/TILE_M + 1/TILE_N) elements;
//            2 M N K flop
// Range      any extents; 64-bit index arithmetic. Magnitudes from 2^128 (1 - 2^-12) on round to
//            infinity (from 2^128 (1 - 2^-11) on before sm_90)
// Siblings   7_tensor_core is the same of 16-bit elements, which ldmatrix turns where they lie along
//            M or N; of floats four neighbours are read at a time then. 9_tf32x3 has the accuracy of float
// Banks      none is asked twice: see MmaLayout
// Source     PTX ISA, "Warp-level matrix instructions"; NVIDIA, "NVIDIA A100 Tensor Core GPU
//            Architecture", 2020, for the format
//
// entry gemm_tf32                 matrix product of floats, rounded to TF32, on tensor cores
// variant TILE_M = 64, 128
// variant TILE_N = 64, 128
// variant A_TRANSPOSED = 0, 1
// variant B_TRANSPOSED = 0, 1
#define SCALAR float
#include <pycnn/gemm_tensor_core.cuh>

extern "C" __global__ void __launch_bounds__(MMA_THREADS, MIN_BLOCKS)
gemm_tf32(const scalar_t* __restrict__ a, const scalar_t* __restrict__ b, scalar_t* __restrict__ c,
          const scalar_t* __restrict__ bias, const scalar_t* __restrict__ scale,
          const scalar_t* __restrict__ shift, const scalar_t* __restrict__ residual,
          EpilogueParams e, GemmParams p) {
    tensor_core_product(a, b, c, Epilogue{bias, scale, shift, residual, e}, p);
}
