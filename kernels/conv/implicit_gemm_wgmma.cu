// conv/implicit_gemm_wgmma.cu: convolution as a matrix product by the warpgroup instructions of
// Hopper, with no columns in memory.
//
// Computes   y[n,k,p,q] = epilogue(sum_rsc x[n,c,p*stride+r*dilation-pad,...] w[k,c,r,s]), of 16-bit
//            elements and with zeros beyond x
// Layout     x with channels innermost, a multiple of 8 of them in a group (of 64 where there are
//            groups), other strides multiples of 8 elements; w with channels innermost; both from
//            multiples of 16 bytes on; y with channels innermost, its pixels evenly spaced
// Launch     block 384 or 512: a warpgroup that copies, and for every 64 rows of the tile one that
//            multiplies; grid of as many blocks as the GPU has SMs, or tiles if these are fewer; with
//            ALONG clusters of so many blocks a tile, of which each sums up a part of the terms;
//            shared memory 209 or 225 KiB
// Traffic    x is requested R S times for every TILE_N filters of a group, w once for every 128
//            pixels, mostly from L2; 2 N K P Q (C/G) R S flop
// Range      positions of y up to 2^31 - 2^16, fewer than 2^31 tiles, strides up to 8, a window up to
//            256 wide and high, padding up to 128; 64-bit index arithmetic in y. Zeros beyond x are
//            multiplied: an infinite weight over them gives NaN
// Siblings   implicit_gemm_mma has every thread find and copy its elements. Here im2col maps know what
//            pixels follow each other under one tap, and one thread asks for 128 of them at a time;
//            the rest is gemm/10_wgmma
// Banks      none is asked twice: the 128-byte swizzle; see place_of for the sums
// Source     S. Chetlur et al., "cuDNN: Efficient Primitives for Deep Learning", 2014, section 3;
//            PTX ISA, "Tensor copies", im2col mode
//
// arch sm_90a
// entry implicit_gemm_wgmma      convolution, TMA of windows and wgmma
// variant SCALAR = halves
// variant TILE_M TILE_N CLUSTER ACROSS ALONG = 128 64 1 1 1, 128 64 2 1 1, 128 64 1 4 1, 128 128 1 1 1, 128 128 2 1 1, 128 256 1 1 1, 128 256 2 1 1, 192 128 2 1 1, 192 128 1 2 1, 128 64 1 1 4, 128 64 1 1 8, 128 128 1 1 2, 128 128 1 1 4, 128 256 1 1 4
#include <pycnn/windows_wgmma.cuh>

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS, 1) __cluster_dims__(BLOCKS * ALONG, 1, 1)
implicit_gemm_wgmma(const __grid_constant__ TensorMap map_x, const __grid_constant__ TensorMap map_w,
                    const __grid_constant__ TensorMap map_y, scalar_t* __restrict__ y,
                    float* __restrict__ part, const scalar_t* __restrict__ bias,
                    const scalar_t* __restrict__ scale, const scalar_t* __restrict__ shift,
                    const scalar_t* __restrict__ residual, EpilogueParams e, GemmParams p, ConvWindow window) {
    extern __shared__ __align__(1024) char memory[];
    Shared& shared = *reinterpret_cast<Shared*>(memory);
    const Epilogue epilogue{bias, scale, shift, residual, e};
    const Windows work{map_x, map_w, p, e, window, shared, {}, 0, 0, 0, 0, 0, 0};
    multiply_all<true, true>(
        shared, p, work, [&](const BlockCoord& blk, Sums& sums, WarpOutput& own) {
            if (part)
                store_sums(work, p, part, blk, sums, own.row);
            else
                store_tile(work, Output(p, map_y, y, epilogue, blk), sums, own);
        },
        easy_end(p, epilogue, y));
}
