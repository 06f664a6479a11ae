// conv/implicit_gemm_mma.cu: convolution as a matrix product on tensor cores, with no columns in
// memory.
//
// Computes   what implicit_gemm.cu does, of 16-bit elements and with zeros beyond x: y, dx by the
//            residue of the position modulo the stride, or dweight
// Layout     x (or dy in its place) with channels innermost, a multiple of 8 of them in a group; so
//            is dy for dweight, and the weight with the summed channels innermost. y and dweight
//            any strides, y fastest with channels innermost
// Launch     block 128, warps 2 x 2 with a quarter of the tile each; grid of all tiles of all
//            groups and splits of k, flat, m fastest; shared memory 48 KiB
// Traffic    x is requested R S times for every TILE filters of a group, w once for every TILE
//            pixels, mostly from L1 and L2; 2 N K P Q (C/G) R S flop
// Range      positions up to 2^31 - 2^16; within a window, and from pixel to pixel of a tile, 32-bit
//            offsets, from tile to tile and from image to image 64-bit ones; two spatial axes; up to 15
//            taps a side. Zeros
//            beyond x are multiplied: an infinite weight over them gives NaN
// Siblings   implicit_gemm widens elements and multiplies them one by one. Here they stay as they
//            are; eight channels of a pixel are copied at once and asynchronously, several tiles
//            ahead. The tile is the transpose of that of implicit_gemm, pixels by filters, as
//            filters are what lies side by side in y
// Banks      none is asked twice: see MmaLayout
// Source     S. Chetlur et al., "cuDNN: Efficient Primitives for Deep Learning", 2014, section 3;
//            PTX ISA, "Warp-level matrix instructions"
//
// entry implicit_gemm_mma        convolution or a gradient of it, or partial sums of them
// variant SCALAR = halves
// variant TILE = 64, 128
// variant ALONG_K = 0, 1
#include <pycnn/implicit_gemm_mma.cuh>

extern "C" __global__ void __launch_bounds__(MMA_THREADS, MIN_BLOCKS)
implicit_gemm_mma(const scalar_t* __restrict__ a, const scalar_t* __restrict__ x,
                  scalar_t* __restrict__ c, acc_t* __restrict__ part,
                  const scalar_t* __restrict__ bias, const scalar_t* __restrict__ scale,
                  const scalar_t* __restrict__ shift, const scalar_t* __restrict__ residual,
                  EpilogueParams e, ImplicitParams p) {
    implicit_product(a, x, part, p, blockIdx.x,
                     [&] { return Ending{c, {bias, scale, shift, residual, e}, p}; });
}
