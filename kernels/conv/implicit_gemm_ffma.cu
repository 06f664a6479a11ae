// conv/implicit_gemm_ffma.cu: convolution of floats, one multiply-add by one, with its chunks of channels.
//
// Computes   what implicit_gemm_mma.cu does, of floats: y, dx by the residue of the position modulo
//            the stride, or dweight
// Layout     x (or dy in its place) with channels innermost, a multiple of 4 of them in a group; so
//            is dy for dweight, and the weight with the summed channels innermost. y and dweight
//            any strides, y fastest with channels innermost
// Launch     block TILE: a thread for 16x8 outputs of a tile, or 8x8 of TILE 64; grid of all tiles of
//            all groups and splits of k, flat, m fastest; shared memory 48 or 24 KiB
// Traffic    x is requested R S times for every TILE filters of a group, w once for every TILE
//            pixels, mostly from L1 and L2; 2 N K P Q (C/G) R S flop
// Range      as implicit_gemm_mma.cu
// Siblings   implicit_gemm takes any layout, and finds every element by itself; the same on tensor
//            cores is implicit_gemm_tf32x3
// Banks      none is asked twice: see ThreadLayout
// Source     S. Chetlur et al., "cuDNN: Efficient Primitives for Deep Learning", 2014, section 3; what
//            order of the products spares registers: S. Gray, "maxas", 2014, its page on SGEMM
//
// entry implicit_gemm_ffma       convolution of floats or a gradient of it, one by one
// variant TILE = 64, 128
// variant ALONG_K = 0, 1
#define SCALAR float
#define PRODUCTS 0
#include <pycnn/implicit_gemm_mma.cuh>

extern "C" __global__ void __launch_bounds__(MMA_THREADS, MIN_BLOCKS)
implicit_gemm_ffma(const scalar_t* __restrict__ a, const scalar_t* __restrict__ x,
                   scalar_t* __restrict__ c, acc_t* __restrict__ part,
                   const scalar_t* __restrict__ bias, const scalar_t* __restrict__ scale,
                   const scalar_t* __restrict__ shift, const scalar_t* __restrict__ residual,
                   EpilogueParams e, ImplicitParams p) {
    implicit_product(a, x, part, p, blockIdx.x,
                     [&] { return Ending{c, {bias, scale, shift, residual, e}, p}; });
}
