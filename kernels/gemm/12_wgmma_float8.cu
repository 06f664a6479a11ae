// gemm/12_wgmma_float8.cu: matrix product of 8-bit floats by the warpgroup instructions of Hopper.
//
// Computes   C[i,j] = scale_a scale_b sum_k A[i,k] B[k,j] + bias[j], sums in float32, C and the bias of
//            16 or 32 bits; the two scales are multiplied first
// Layout     A (M,K) with stride 1 along K, B (K,N) likewise, multiples of 16 elements along all
//            others, from multiples of 16 bytes on; C (M,N) column stride 1
// Launch     block 384: a warpgroup that copies, two with 64 x TILE_N outputs each; grid of as many
//            blocks as the GPU has SMs, or tiles if these are fewer; shared memory 225 KiB
// Traffic    A is read N/TILE_N times, mostly from L2, and B M/128 times; 2 M N K flop
// Range      extents up to 2^31 - 2^16, fewer than 2^31 tiles; 64-bit index arithmetic in C
// Siblings   10_wgmma with elements of half the size, twice as many in a stage, and half the time for
//            each; as in 11_wgmma_tf32 nothing may lie across k. scaled.cu takes any strides, on any GPU
// Banks      none is asked twice: the 128-byte swizzle
// Source     PTX ISA, "Asynchronous warpgroup level matrix instructions"; P. Micikevicius et al., "FP8
//            Formats for Deep Learning", 2022
//
// arch sm_90a
// entry gemm_wgmma_float8         matrix product of 8-bit floats with scales, TMA and wgmma
// variant SCALAR = single, halves
// variant ELEMENT_A ELEMENT_B = e4m3 e4m3, e4m3 e5m2, e5m2 e4m3
// variant TILE_M = 128
// variant TILE_N = 64, 128, 256
// variant CLUSTER = 1, 2
#include <pycnn/matrices_wgmma.cuh>

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS, 1) __cluster_dims__(BLOCKS, 1, 1)
gemm_wgmma_float8(const __grid_constant__ TensorMap map_a, const __grid_constant__ TensorMap map_b,
                  const __grid_constant__ TensorMap map_c, scalar_t* __restrict__ c,
                  const float* __restrict__ scale_a, const float* __restrict__ scale_b,
                  const scalar_t* __restrict__ bias, EpilogueParams e, GemmParams p) {
    const Epilogue epilogue{bias, nullptr, nullptr, nullptr, e};
    multiply_matrices(
        map_a, map_b, p,
        [&](const Matrices& work, const BlockCoord& blk, Sums& sums, WarpOutput& own) {
            const float scale = *scale_a * *scale_b;
#pragma unroll
            for (float& sum : sums) sum *= scale;
            store_tile(work, Output(p, map_c, c, epilogue, blk), sums, own);
        },
        easy_end(p, epilogue, c));
}
