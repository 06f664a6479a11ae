// gemm/10_wgmma.cu: matrix product of 16-bit elements by the warpgroup instructions of Hopper.
//
// Computes   C[i,j] = epilogue(sum_k A[i,k] B[k,j] (+ C[i,j])), as epilogue.cuh has it, with the
//            rows or the columns of C for channels
// Layout     A (M,K), B (K,N) with stride 1 along one axis and multiples of 8 elements along all
//            others, from multiples of 16 bytes on; C (M,N) column stride 1; two-level batch by strides
// Launch     block 384: a warpgroup that copies, two with 64 x TILE_N outputs each; grid of as many
//            blocks as the GPU has SMs, or tiles if these are fewer; shared memory 225 KiB
// Traffic    A is read N/TILE_N times, mostly from L2, and B M/128 times; 2 M N K flop
// Range      extents up to 2^31 - 2^16, fewer than 2^31 tiles; 64-bit index arithmetic in C
// Siblings   7_tensor_core has every thread copy 16 bytes at a time and every warp load what it
//            multiplies. Here one thread asks for whole tiles (TMA), which come with their zeros
//            beyond the edges; 128 threads multiply 64 x 16 by 16 x TILE_N at once, from shared memory
// Banks      none is asked twice: the 128-byte swizzle; see place_of for the sums
// Source     PTX ISA, "Asynchronous warpgroup level matrix instructions" and "Tensor copies"
//
// arch sm_90a
// entry gemm_wgmma                matrix product of 16-bit elements, TMA and wgmma
// variant SCALAR = halves
// variant TILE_M = 128
// variant TILE_N = 64, 128, 256
// variant CLUSTER = 1, 2
// variant A_TRANSPOSED = 0, 1
// variant B_TRANSPOSED = 0, 1
#include <pycnn/matrices_wgmma.cuh>

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS, 1) __cluster_dims__(BLOCKS, 1, 1)
gemm_wgmma(const __grid_constant__ TensorMap map_a, const __grid_constant__ TensorMap map_b,
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
