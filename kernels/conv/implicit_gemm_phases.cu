// conv/implicit_gemm_phases.cu: several products of a convolution in one launch.
//
// Computes   what implicit_gemm_mma.cu, implicit_gemm_tf32.cu, implicit_gemm_tf32x3.cu and, PRODUCTS
//            being 0, implicit_gemm_ffma.cu do, of up to four products with the same operands, each from
//            elements of its own on: dx with a stride, by the residue of the position
// Layout     as there; sums are not cut into parts
// Launch     as there, a grid of the tiles of all products, one product after the other
// Traffic    as there
// Range      as there
// Siblings   those launch one product: its sizes are then constants of the launch, not found by the
//            block
// Banks      none is asked twice: see MmaLayout and ThreadLayout
// Source     V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", 2016,
//            section 4.6, for what a stride leaves of the taps
//
// entry implicit_gemm_phases     gradient of a convolution with a stride, all residues at once
// variant SCALAR PRODUCTS = single 0, single 1, single 3, halves 1
// variant TILE = 64, 128
#define ALONG_K 1
#include <pycnn/implicit_gemm_mma.cuh>

extern "C" __global__ void __launch_bounds__(MMA_THREADS, MIN_BLOCKS)
implicit_gemm_phases(const scalar_t* __restrict__ a, const scalar_t* __restrict__ x,
                     scalar_t* __restrict__ c, const scalar_t* __restrict__ bias,
                     const scalar_t* __restrict__ scale, const scalar_t* __restrict__ shift,
                     const scalar_t* __restrict__ residual, EpilogueParams e,
                     const __grid_constant__ ProductPhases phases) {
    const auto phase_of = [&](unsigned block) {
        int phase = 0;
#pragma unroll
        for (int i = 1; i < PHASES; ++i) phase += block >= phases.first[i];
        return phase;
    };
    const int phase = phase_of(blockIdx.x);
    const auto ending = [&] {
        // Split floats leave no registers for what is needed at the end.
        const int late = IS_SPLIT ? phase_of(kept(blockIdx.x)) : phase;
        const scalar_t* const beside = residual ? residual + phases.residual[late] : nullptr;
        return Ending{c + phases.c[late], {bias, scale, shift, beside, e}, phases.of[late]};
    };
    implicit_product(a + phases.a[phase], x, nullptr, phases.of[phase],
                     blockIdx.x - phases.first[phase], ending);
}
