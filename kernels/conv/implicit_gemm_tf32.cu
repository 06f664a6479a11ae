// conv/implicit_gemm_tf32.cu: convolution of floats on tensor cores, rounded to TF32.
//
// Computes   what implicit_gemm_mma.cu does, of floats: y, dx by the residue of the position modulo
//            the stride, or dweight; of every element 10 bits of fraction, rounded: an error of
//            2^-11. Sums and the epilogue are float
// Layout     x (or dy in its place) with channels innermost, a multiple of 4 of them in a group; so
//            is dy for dweight, and the weight with the summed channels innermost. y and dweight
//            any strides, y fastest with channels innermost
// Launch     block 128, warps 2 x 2 with a quarter of the tile each; grid of all tiles of all
//            groups and splits of k, flat, m fastest; shared memory 48 KiB
// Traffic    x is requested R S times for every TILE filters of a group, w once for every TILE
//            pixels, mostly from L1 and L2; 2 N K P Q (C/G) R S flop
// Range      as implicit_gemm_mma.cu; magnitudes from 2^128 (1 - 2^-12) on, before sm_90 and
//            in dweight from 2^128 (1 - 2^-11) on, round to infinity
// Siblings   implicit_gemm_mma is the same of 16-bit elements; implicit_gemm multiplies floats one
//            by one; implicit_gemm_tf32x3 has their accuracy on tensor cores
// Banks      none is asked twice: see MmaLayout
// Source     PTX ISA, "Warp-level matrix instructions"; NVIDIA, "NVIDIA A100 Tensor Core GPU
//            Architecture", 2020, for the format
//
// entry implicit_gemm_tf32       convolution of floats or a gradient of it, rounded to TF32
// variant TILE = 64, 128
// variant ALONG_K = 0, 1
#define SCALAR float
#include <pycnn/implicit_gemm_mma.cuh>

extern "C" __global__ void __launch_bounds__(MMA_THREADS, MIN_BLOCKS)
implicit_gemm_tf32(const scalar_t* __restrict__ a, const scalar_t* __restrict__ x,
                   scalar_t* __restrict__ c, acc_t* __restrict__ part,
                   const scalar_t* __restrict__ bias, const scalar_t* __restrict__ scale,
                   const scalar_t* __restrict__ shift, const scalar_t* __restrict__ residual,
                   EpilogueParams e, ImplicitParams p) {
    implicit_product(a, x, part, p, blockIdx.x,
                     [&] { return Ending{c, {bias, scale, shift, residual, e}, p}; });
}
