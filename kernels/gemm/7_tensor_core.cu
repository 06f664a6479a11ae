// gemm/7_tensor_core.cu: matrix product of 16-bit elements on tensor cores.
//
// Computes   C[i,j] = epilogue(sum_k A[i,k] B[k,j] (+ C[i,j])), as epilogue.cuh has it, with the
//            rows or the columns of C for channels
// Layout     A (M,K), B (K,N) any strides; C (M,N) column stride 1; two-level batch by strides
// Launch     block 128, warps 2 x 2 with a quarter of the tile each; grid (ceil(M/TILE_M)
//            ceil(N/TILE_N), batches); shared memory 48 KiB, or 36 in 128x64 and 64x128
// Traffic    A is read N/TILE_N times and B M/TILE_M times: M N K (1/TILE_M + 1/TILE_N) elements;
//            2 M N K flop
// Range      any extents; 64-bit index arithmetic. 16-byte copies where the plan finds the strides
//            and the kernel the addresses aligned, else single elements
// Siblings   6_double_buffered widens 16-bit elements and multiplies them one by one; here they stay
//            as they are, in shared memory too, and a warp multiplies 16x16 by 16x8 at once. Copies
//            do not pass through registers, and several tiles are on their way. Sums are float, in
//            an order that is the hardware's own
// Banks      none is asked twice: see MmaLayout
// Source     PTX ISA, "Warp-level matrix instructions"; NVIDIA, "CUTLASS: fast linear algebra in
//            CUDA C++", 2017, for the pipeline
//
// entry gemm_tensor_core          matrix product of 16-bit elements on tensor cores
// variant SCALAR = halves
// variant TILE_M = 64, 128
// variant TILE_N = 64, 128
// variant A_TRANSPOSED = 0, 1
// variant B_TRANSPOSED = 0, 1
#include <pycnn/gemm_tensor_core.cuh>

extern "C" __global__ void __launch_bounds__(MMA_THREADS, MIN_BLOCKS)
gemm_tensor_core(const scalar_t* __restrict__ a, const scalar_t* __restrict__ b,
                 scalar_t* __restrict__ c, const scalar_t* __restrict__ bias,
                 const scalar_t* __restrict__ scale, const scalar_t* __restrict__ shift,
                 const scalar_t* __restrict__ residual, EpilogueParams e, GemmParams p) {
    tensor_core_product(a, b, c, Epilogue{bias, scale, shift, residual, e}, p);
}
