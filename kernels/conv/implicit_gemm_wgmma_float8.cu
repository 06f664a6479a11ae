// conv/implicit_gemm_wgmma_float8.cu: convolution of 8-bit floats as a matrix product by the warpgroup
// instructions of Hopper, with no columns in memory.
//
// Computes   what scaled.cu does: y[n,k,p,q] = sum_rsc x w x_scale w_scale[k] + bias[k], sums in float32
//            as tensor cores keep them, y and the bias of 16 or 32 bits
// Layout     x with channels innermost, a multiple of 16 of them in a group (of 128 where there are
//            groups), other strides multiples of 16 elements; w with channels innermost; both from
//            multiples of 16 bytes on; y with channels innermost
// Launch     block 384 or 512: a warpgroup that copies, and for every 64 rows of the tile one that
//            multiplies; grid of as many blocks as the GPU has SMs, or tiles if these are fewer; with
//            ALONG clusters of so many blocks a tile, of which each sums up a part of the terms;
//            shared memory 209 or 225 KiB
// Traffic    x is requested R S times for every TILE_N filters of a group, w once for every TILE_M
//            pixels, mostly from L2; 2 N K P Q (C/G) R S flop
// Range      as implicit_gemm_wgmma.cu
// Siblings   implicit_gemm_wgmma with elements of half the size, twice as many in a stage, and half the
//            time for each; the product of matrices is gemm/12_wgmma_float8
// Banks      none is asked twice: the 128-byte swizzle; see place_of for the sums
// Source     P. Micikevicius et al., "FP8 Formats for Deep Learning", 2022; PTX ISA, "Asynchronous
//            warpgroup level matrix instructions" and "Tensor copies", im2col mode
//
// arch sm_90a
// entry implicit_gemm_wgmma_float8   convolution of 8-bit floats with scales, TMA of windows and wgmma
// variant SCALAR = single, halves
// variant ELEMENT_A ELEMENT_B = e4m3 e4m3, e4m3 e5m2, e5m2 e4m3
// variant TILE_M TILE_N CLUSTER ACROSS ALONG = 128 64 1 1 1, 128 64 1 4 1, 128 128 2 1 1, 128 256 2 1 1, 192 128 2 1 1, 128 64 1 1 4, 128 64 1 1 8
#define SCALE_TYPE float
#include <pycnn/windows_wgmma.cuh>

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS, 1) __cluster_dims__(BLOCKS * ALONG, 1, 1)
implicit_gemm_wgmma_float8(const __grid_constant__ TensorMap map_x,
                           const __grid_constant__ TensorMap map_w,
                           const __grid_constant__ TensorMap map_y, scalar_t* __restrict__ y,
                           const float* __restrict__ x_scale, const float* __restrict__ w_scale,
                           const scalar_t* __restrict__ bias, EpilogueParams e, GemmParams p,
                           ConvWindow window) {
    extern __shared__ __align__(1024) char memory[];
    Shared& shared = *reinterpret_cast<Shared*>(memory);
    const bool by_filter = e.scale_k;
    const Epilogue epilogue{nullptr, by_filter ? w_scale : nullptr, bias, nullptr, e};
    const Windows work{map_x, map_w, p, e, window, shared, {}, 0, 0, 0, 0, 0, 0};
    multiply_all<true, true>(
        shared, p, work,
        [&](const BlockCoord& blk, Sums& sums, WarpOutput& own) {
            const float of_x = *x_scale, of_w = by_filter ? 1 : *w_scale;
#pragma unroll
            for (float& sum : sums) sum = sum * of_x * of_w;
            store_tile(work, Output(p, map_y, y, epilogue, blk), sums, own);
        },
        easy_end(p, epilogue, y));
}
