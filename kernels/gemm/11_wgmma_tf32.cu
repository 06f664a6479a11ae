// gemm/11_wgmma_tf32.cu: matrix product of float32 by the warpgroup instructions of Hopper, its
// factors rounded to TF32.
//
// Computes   C[i,j] = epilogue(sum_k A[i,k] B[k,j] (+ C[i,j])), as epilogue.cuh has it, with the
//            rows or the columns of C for channels; A and B to 11 bits, sums in float32
// Layout     A (M,K) with stride 1 along K, B (K,N) likewise, multiples of 4 elements along all
//            others, from multiples of 16 bytes on; C (M,N) column stride 1; two-level batch by strides
// Launch     block 384: a warpgroup that copies, two with 64 x TILE_N outputs each; grid of as many
//            blocks as the GPU has SMs, or tiles if these are fewer; shared memory 225 KiB
// Traffic    A is read N/TILE_N times, mostly from L2, and B M/128 times; 2 M N K flop
// Range      extents up to 2^31 - 2^16, fewer than 2^31 tiles; 64-bit index arithmetic in C
// Siblings   10_wgmma with elements of twice the size, half of them in a stage. Copies round to TF32,
//            the nearest, as the tensor maps say; nothing but 16-bit elements may lie across k in
//            shared memory. 8_tf32 takes any strides. Sums go from registers to C, whole sectors
// Banks      none is asked twice: the 128-byte swizzle
// Source     PTX ISA, "Asynchronous warpgroup level matrix instructions" and "Tensor copies"
//
// arch sm_90a
// entry gemm_wgmma_tf32           matrix product of float32 rounded to TF32, TMA and wgmma
// variant TILE_M = 128
// variant TILE_N = 64, 128, 256
// variant CLUSTER = 1, 2
#define SCALAR float
#include <pycnn/matrices_wgmma.cuh>

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS, 1) __cluster_dims__(BLOCKS, 1, 1)
gemm_wgmma_tf32(const __grid_constant__ TensorMap map_a, const __grid_constant__ TensorMap map_b,
           const __grid_constant__ TensorMap map_c, scalar_t* __restrict__ c,
           const scalar_t* __restrict__ bias, const scalar_t* __restrict__ scale,
           const scalar_t* __restrict__ shift, const scalar_t* __restrict__ residual,
           EpilogueParams e, GemmParams p) {
    const Epilogue epilogue{bias, scale, shift, residual, e};
    multiply_matrices(
        map_a, map_b, p,
        [&](const Matrices& work, const BlockCoord& blk, Sums& sums, WarpOutput& own) {
            store_tile(work, Output(p, map_c, c, epilogue, blk), sums, own);
        },
        easy_end(p, epilogue, c));
}
