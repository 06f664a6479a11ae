// conv/implicit_gemm_tf32x3.cu: convolution of floats on tensor cores, each two TF32 numbers.
//
// Computes   what implicit_gemm_mma.cu does, of floats: y, dx by the residue of the position modulo
//            the stride, or dweight; with the accuracy of float, by three products: see gemm_mma.cuh
// Layout     x (or dy in its place) with channels innermost, a multiple of 4 of them in a group; so
//            is dy for dweight, and the weight with the summed channels innermost. y and dweight
//            any strides, y fastest with channels innermost
// Launch     block 256, warps 2 x 4 of 64x32 outputs each in a 128x128 tile; block 128, 2 x 2 of
//            32x32 in 64x64; grid of all tiles of all groups and splits of k, flat, m fastest;
//            shared memory 48 KiB. One block a multiprocessor in 128x128, for its registers
// Traffic    x is requested R S times for every TILE filters of a group, w once for every TILE
//            pixels, mostly from L1 and L2; 6 N K P Q (C/G) R S flop of TF32
// Range      as implicit_gemm_mma.cu; magnitudes from 2^128 (1 - 2^-12) on round to infinity
// Siblings   implicit_gemm_tf32 has one of the three products; implicit_gemm multiplies floats one
//            by one
// Banks      none is asked twice: see MmaLayout
// Source     H. Ootomo, R. Yokota: "Recovering single precision accuracy from Tensor Cores while
//            surpassing the FP32 theoretical peak performance", 2022
//
// entry implicit_gemm_tf32x3     convolution of floats or a gradient of it, by three of TF32
// variant TILE = 64, 128
// variant ALONG_K = 0, 1
#define SCALAR float
#define PRODUCTS 3
#include <pycnn/implicit_gemm_mma.cuh>

extern "C" __global__ void __launch_bounds__(MMA_THREADS, MIN_BLOCKS)
implicit_gemm_tf32x3(const scalar_t* __restrict__ a, const scalar_t* __restrict__ x,
                     scalar_t* __restrict__ c, acc_t* __restrict__ part,
                     const scalar_t* __restrict__ bias, const scalar_t* __restrict__ scale,
                     const scalar_t* __restrict__ shift, const scalar_t* __restrict__ residual,
                     EpilogueParams e, ImplicitParams p) {
    implicit_product(a, x, part, p, blockIdx.x,
                     [&] { return Ending{c, {bias, scale, shift, residual, e}, p}; });
}
