// conv/implicit_gemm_wgmma_tf32.cu: convolution of float32 as a matrix product by the warpgroup
// instructions of Hopper, its factors rounded to TF32.
//
// Computes   y[n,k,p,q] = epilogue(sum_rsc x[n,c,p*stride+r*dilation-pad,...] w[k,c,r,s]), with zeros
//            beyond x; x and w to 11 bits, sums in float32
// Layout     x with channels innermost, a multiple of 4 of them in a group (of 32 where there are
//            groups), other strides multiples of 4 elements; w with channels innermost; both from
//            multiples of 16 bytes on; y with channels innermost
// Launch     block 384 or 512: a warpgroup that copies, and for every 64 rows of the tile one that
//            multiplies; grid of as many blocks as the GPU has SMs, or tiles if these are fewer;
//            shared memory 209 or 225 KiB
// Traffic    x is requested R S times for every TILE_N filters of a group, w once for every TILE_M
//            pixels, mostly from L2; 2 N K P Q (C/G) R S flop
// Range      as implicit_gemm_wgmma.cu
// Siblings   implicit_gemm_wgmma with elements of twice the size, half of them in a stage. Copies round
//            to TF32, the nearest, as the tensor maps say. implicit_gemm_tf32 runs on any GPU from
//            sm_80 on. Sums go from registers to y, whole sectors
// Banks      none is asked twice: the 128-byte swizzle
// Source     S. Chetlur et al., "cuDNN: Efficient Primitives for Deep Learning", 2014, section 3;
//            PTX ISA, "Tensor copies", im2col mode
//
// arch sm_90a
// entry implicit_gemm_wgmma_tf32   convolution of float32 rounded to TF32, TMA of windows and wgmma
// variant TILE_M TILE_N CLUSTER ACROSS ALONG = 128 64 1 1 1, 128 64 2 1 1, 128 64 1 4 1, 128 128 1 1 1, 128 128 2 1 1, 128 256 1 1 1, 128 256 2 1 1, 192 128 2 1 1, 192 128 1 2 1, 128 64 1 1 4, 128 64 1 1 8, 128 128 1 1 2, 128 128 1 1 4, 128 256 1 1 4
#define SCALAR float
#include <pycnn/windows_wgmma.cuh>

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS, 1) __cluster_dims__(BLOCKS * ALONG, 1, 1)
implicit_gemm_wgmma_tf32(const __grid_constant__ TensorMap map_x,
                         const __grid_constant__ TensorMap map_w,
                         const __grid_constant__ TensorMap map_y, scalar_t* __restrict__ y,
                         float* __restrict__ part, const scalar_t* __restrict__ bias,
                         const scalar_t* __restrict__ scale, const scalar_t* __restrict__ shift,
                         const scalar_t* __restrict__ residual, EpilogueParams e, GemmParams p,
                         ConvWindow window) {
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
