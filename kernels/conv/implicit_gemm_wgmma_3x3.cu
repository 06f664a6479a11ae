// conv/implicit_gemm_wgmma_3x3.cu: convolution of 3x3 as a matrix product by the warpgroup instructions
// of Hopper, three taps of a copy of x.
//
// Computes   y[n,k,p,q] = epilogue(sum_rsc x[n,c,p+r-pad,q+s-pad] w[k,c,r,s]), of 16-bit elements and
//            with zeros beyond x
// Layout     x with channels innermost, other strides multiples of 8 elements; w with channels
//            innermost; both from multiples of 16 bytes on; y with channels innermost, of a multiple
//            of 8 pixels each way
// Launch     block 512: a warpgroup that copies, three that multiply; grid of as many blocks as the GPU
//            has SMs, or tiles if these are fewer; shared memory 210 or 204 KiB
// Traffic    x is requested 3.75 times for every TILE_N filters, w once for every 384 pixels, mostly from
//            L2; 18 N K P Q C flop
// Range      64-bit index arithmetic in y, fewer than 2^31 tiles. Zeros beyond x are multiplied: an
//            infinite weight over them gives NaN
// Siblings   implicit_gemm_wgmma takes any window, and requests x as often as there are taps
// Banks      none is asked twice: the 128-byte swizzle; see place_of for the sums
// Source     S. Chetlur et al., "cuDNN: Efficient Primitives for Deep Learning", 2014, section 3;
//            PTX ISA, "Tensor copies", tiled mode
//
// arch sm_90a
// entry implicit_gemm_wgmma_3x3   convolution of 3x3, TMA of patches and wgmma
// variant SCALAR = halves
// variant TILE_M = 192
// variant TILE_N = 64, 128
// variant CLUSTER = 2
#include <pycnn/patches_wgmma.cuh>

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS, 1) __cluster_dims__(BLOCKS, 1, 1)
implicit_gemm_wgmma_3x3(const __grid_constant__ TensorMap map_x,
                        const __grid_constant__ TensorMap map_w,
                        const __grid_constant__ TensorMap map_y, scalar_t* __restrict__ y,
                        const scalar_t* __restrict__ bias, const scalar_t* __restrict__ scale,
                        const scalar_t* __restrict__ shift, const scalar_t* __restrict__ residual,
                        EpilogueParams e, GemmParams p, ConvWindow window) {
    extern __shared__ __align__(1024) char memory[];
    Shared& shared = *reinterpret_cast<Shared*>(memory);
    const Epilogue epilogue{bias, scale, shift, residual, e};
    const Patches work{map_x, map_w, e, window, shared, {}};
    multiply_all<true, true>(
        shared, p, work,
        [&](const BlockCoord& blk, Sums& sums, WarpOutput& own) {
            store_tile(work, Output(p, map_y, y, epilogue, blk), sums, own);
        },
        easy_end(p, epilogue, y));
}
