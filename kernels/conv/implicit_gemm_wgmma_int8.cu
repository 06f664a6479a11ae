// conv/implicit_gemm_wgmma_int8.cu: convolution of 8-bit integers as a matrix product by the warpgroup
// instructions of Hopper, with no columns in memory.
//
// Computes   what int8_mma.cu does, with no zero points of x and w: sums modulo 2^32 of x w with zeros
//            beyond x, as they are, or with a bias, scaled, rounded and saturated to 8 bits
// Layout     x with channels innermost, a multiple of 16 of them in a group (of 128 where there are
//            groups), other strides multiples of 16 elements; w with channels innermost; both from
//            multiples of 16 bytes on; y with channels innermost
// Launch     block 384: a warpgroup that copies, two with 64 x TILE_N sums each; grid of as many blocks
//            as the GPU has SMs, or tiles if these are fewer; shared memory 225 KiB
// Traffic    x is requested R S times for every TILE_N filters of a group, w once for every 128
//            pixels, mostly from L2; 2 N K P Q (C/G) R S operations
// Range      as implicit_gemm_wgmma.cu; sums wrap around
// Siblings   implicit_gemm_wgmma with elements of half the size, twice as many in a stage, and the end
//            of gemm/13_wgmma_int8; int8_mma runs on any GPU from sm_75 on, and takes zero points
// Banks      none is asked twice: the 128-byte swizzle; sums leave from registers, whole sectors
// Source     PTX ISA, "Asynchronous warpgroup level matrix instructions" and "Tensor copies", im2col
//            mode; B. Jacob et al., "Quantization and Training of Neural Networks for Efficient
//            Integer-Arithmetic-Only Inference", 2018, section 2
//
// arch sm_90a
// entry implicit_gemm_wgmma_int8          sums as they are, 32 bits, TMA of windows and wgmma
// entry implicit_gemm_wgmma_requantised   sums with a bias, scaled, rounded and saturated to 8 bits
// variant ELEMENT_A = s8, u8
// variant ELEMENT_B = s8, u8
// variant TILE_M = 128
// variant TILE_N = 64, 128
// variant CLUSTER = 1, 2
#include <pycnn/integers_wgmma.cuh>
#include <pycnn/windows_wgmma.cuh>

// `store(work, blk, sums, own)` is what happens to the sums of a tile.
template <typename Store>
__device__ __forceinline__ void multiply_windows(const TensorMap& map_x, const TensorMap& map_w,
                                                 const GemmParams& p, const ConvWindow& window,
                                                 Store store) {
    extern __shared__ __align__(1024) char memory[];
    Shared& shared = *reinterpret_cast<Shared*>(memory);
    const EpilogueParams none{};
    const Windows work{map_x, map_w, p, none, window, shared, {}, 0, 0, 0, 0, 0, 0};
    multiply_all<true, true>(shared, p, work, [&](const BlockCoord& blk, Sums& sums, WarpOutput& own) {
        store(work, blk, sums, own);
    });
}

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS, 1) __cluster_dims__(CLUSTER, 1, 1)
implicit_gemm_wgmma_int8(const __grid_constant__ TensorMap map_x,
                         const __grid_constant__ TensorMap map_w, int* __restrict__ y, GemmParams p,
                         ConvWindow window) {
    const auto store = [&](const Windows& work, const BlockCoord& blk, Sums& sums, WarpOutput& own) {
        store_integers(work, p, y, blk, sums, own);
    };
    multiply_windows(map_x, map_w, p, window, store);
}

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS, 1) __cluster_dims__(CLUSTER, 1, 1)
implicit_gemm_wgmma_requantised(const __grid_constant__ TensorMap map_x,
                                const __grid_constant__ TensorMap map_w,
                                const float* __restrict__ x_scale,
                                const float* __restrict__ w_scale,
                                const float* __restrict__ y_scale,
                                const unsigned char* __restrict__ y_zero,
                                const int* __restrict__ bias, unsigned char* __restrict__ y,
                                GemmParams p, ConvWindow window, Int8Params i8) {
    const Requantisation to_bytes{x_scale, w_scale, y_scale, y_zero, i8};
    const auto store = [&](const Windows& work, const BlockCoord& blk, Sums& sums, WarpOutput& own) {
        store_bytes(work, p, to_bytes, bias, y, blk, sums, own);
    };
    multiply_windows(map_x, map_w, p, window, store);
}
