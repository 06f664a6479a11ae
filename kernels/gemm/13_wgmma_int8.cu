// gemm/13_wgmma_int8.cu: matrix product of 8-bit integers by the warpgroup instructions of Hopper.
//
// Computes   sum[i,j] = sum_k A[i,k] B[k,j] modulo 2^32, as it is, or with a bias, scaled, rounded and
//            saturated to 8 bits as conv/int8.cu has it, columns for filters; no zero points of A and B
// Layout     A (M,K) with stride 1 along K, B (K,N) likewise, multiples of 16 elements along all
//            others, from multiples of 16 bytes on; C (M,N) column stride 1
// Launch     block 384: a warpgroup that copies, two with 64 x TILE_N outputs each; grid of as many
//            blocks as the GPU has SMs, or tiles if these are fewer; shared memory 225 KiB
// Traffic    A is read N/TILE_N times, mostly from L2, and B M/128 times; 2 M N K operations
// Range      extents up to 2^31 - 2^16, fewer than 2^31 tiles; 64-bit index arithmetic in C
// Siblings   12_wgmma_float8 with integers, whose sums are exact; conv/implicit_gemm_wgmma_int8 is the same
//            of windows; conv/int8_mma.cu takes zero points
// Banks      none is asked twice: the 128-byte swizzle; sums leave from registers, whole sectors
// Source     PTX ISA, "Asynchronous warpgroup level matrix instructions"; B. Jacob et al.,
//            "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
//            Inference", 2018, section 2
//
// arch sm_90a
// entry gemm_wgmma_int8          sums of products of 8-bit integers, TMA and wgmma
// entry gemm_wgmma_requantised   the same with a bias, scaled, rounded and saturated to 8 bits
// variant ELEMENT_A = s8, u8
// variant ELEMENT_B = s8, u8
// variant TILE_M = 128
// variant TILE_N = 64, 128
// variant CLUSTER = 1, 2
#include <pycnn/integers_wgmma.cuh>
#include <pycnn/matrices_wgmma.cuh>

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS, 1) __cluster_dims__(CLUSTER, 1, 1)
gemm_wgmma_int8(const __grid_constant__ TensorMap map_a, const __grid_constant__ TensorMap map_b,
                int* __restrict__ c, GemmParams p) {
    const auto store = [&](const Matrices& work, const BlockCoord& blk, Sums& sums, WarpOutput& own) {
        store_integers(work, p, c, blk, sums, own);
    };
    multiply_matrices(map_a, map_b, p, store, false);
}

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS, 1) __cluster_dims__(CLUSTER, 1, 1)
gemm_wgmma_requantised(const __grid_constant__ TensorMap map_a,
                       const __grid_constant__ TensorMap map_b, const float* __restrict__ a_scale,
                       const float* __restrict__ b_scale, const float* __restrict__ c_scale,
                       const unsigned char* __restrict__ c_zero, const int* __restrict__ bias,
                       unsigned char* __restrict__ c, GemmParams p, Int8Params i8) {
    const Requantisation to_bytes{a_scale, b_scale, c_scale, c_zero, i8};
    const auto store = [&](const Matrices& work, const BlockCoord& blk, Sums& sums, WarpOutput& own) {
        store_bytes(work, p, to_bytes, bias, c, blk, sums, own);
    };
    multiply_matrices(map_a, map_b, p, store, false);
}
