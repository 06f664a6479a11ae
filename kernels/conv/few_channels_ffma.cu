// conv/few_channels_ffma.cu: convolution of floats over few channels, one multiply-add by one.
//
// Computes   y as implicit_gemm_ffma.cu does, of windows of up to 384 terms: a network's first layer
// Layout     x with channels innermost, any number of them; the weight's terms (r, s, c) side by side;
//            y any strides, fastest with channels innermost
// Launch     block 64, each thread 8x8 outputs of a tile of 64x64; grid of all tiles of all groups and
//            splits of k, flat, m fastest; shared memory 27 KiB
// Traffic    x is requested R S times for every 64 filters of a group, w once for every 64 pixels,
//            mostly from L1 and L2; 2 N K P Q (C/G) R S flop
// Range      as implicit_gemm_mma.cu
// Siblings   implicit_gemm_ffma finds a tap for four channels, which must be a multiple of four;
//            few_channels_mma does the same on tensor cores
// Banks      none is asked twice: see ThreadLayout
// Source     as implicit_gemm_ffma.cu
//
// entry few_channels_ffma        convolution of floats over few channels, one by one
#define SCALAR float
#define PRODUCTS 0
#define TILE 64
#define ALONG_K 1
#define TERM_BY_TERM 1
#include <pycnn/implicit_gemm_mma.cuh>

extern "C" __global__ void __launch_bounds__(MMA_THREADS, MIN_BLOCKS)
few_channels_ffma(const scalar_t* __restrict__ a, const scalar_t* __restrict__ x,
                  scalar_t* __restrict__ c, acc_t* __restrict__ part,
                  const scalar_t* __restrict__ bias, const scalar_t* __restrict__ scale,
                  const scalar_t* __restrict__ shift, const scalar_t* __restrict__ residual,
                  EpilogueParams e, ImplicitParams p) {
    implicit_product(a, x, part, p, blockIdx.x,
                     [&] { return Ending{c, {bias, scale, shift, residual, e}, p}; });
}
