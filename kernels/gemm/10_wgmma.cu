// gemm/10_wgmma.cu: matrix product of 16-bit elements by the warpgroup instructions of Hopper.
//
// Computes   C[i,j] = epilogue(sum_k A[i,k] B[k,j] (+ C[i,j])), as epilogue.cuh has it, with the
//            rows or the columns of C for channels
// Layout     A (M,K), B (K,N) with stride 1 along one axis and multiples of 8 elements along all
//            others, from multiples of 16 bytes on; C (M,N) column stride 1; two-level batch by strides
// Launch     block 384: a warpgroup that copies, two with 64 x TILE_N outputs each; grid of as many
//            blocks as the GPU has SMs, or tiles if these are fewer; shared memory 225 KiB
// Traffic    A is read N/TILE_N times, mostly from L2, and B M/128 times; 2 M N K flop
// Range      extents up to 2^31 - 2^16, fewer than 2^31 tiles; 64-bit index arithmetic in C
// Siblings   7_tensor_core has every thread copy 16 bytes at a time and every warp load what it
//            multiplies. Here one thread asks for whole tiles (TMA), which come with their zeros
//            beyond the edges; 128 threads multiply 64 x 16 by 16 x TILE_N at once, from shared memory
// Banks      none is asked twice: the 128-byte swizzle; see place_of for the sums
// Source     PTX ISA, "Asynchronous warpgroup level matrix instructions" and "Tensor copies"
//
// arch sm_90a
// entry gemm_wgmma                matrix product of 16-bit elements, TMA and wgmma
// variant SCALAR = halves
// variant TILE_M = 128
// variant TILE_N = 64, 128, 256
// variant CLUSTER = 1, 2
// variant A_TRANSPOSED = 0, 1
// variant B_TRANSPOSED = 0, 1
#include <pycnn/gemm_wgmma.cuh>

#ifndef A_TRANSPOSED
#define A_TRANSPOSED 0  // 1: M is contiguous in memory, else K
#define B_TRANSPOSED 0  // 1: K is contiguous in memory, else N
#endif

constexpr bool A_K_MAJOR = !A_TRANSPOSED, B_K_MAJOR = B_TRANSPOSED;

// What a block multiplies.
struct Matrices {
    static constexpr int WIDTH = 64;
    const TensorMap &map_a, &map_b;
    const GemmParams& p;
    Shared& shared;
    const OwnColumns own;

    __device__ unsigned bytes() const { return own.bytes(!B_K_MAJOR); }
    __device__ Terms terms(const BlockCoord&) const {
        return {0, static_cast<int>(ceil_div(p.k, BLK_K))};
    }
    __device__ Row row(index_t m) const { return {m * p.c_row, m * p.residual_row}; }
    // An operand comes as one box where k is contiguous, else as one for every 64 of m (or n). One
    // that is the same for a whole level of the batch has one index there.
    __device__ void load(const BlockCoord& blk, int k_tile, bool, int stage) {
        const int inner = blk.batch % p.inner, outer = blk.batch / p.inner, k = k_tile * BLK_K;
        const int m = static_cast<int>(blk.m), n = static_cast<int>(blk.n);
        const int a_inner = p.a_inner ? inner : 0, a_outer = p.a_outer ? outer : 0;
        const int b_inner = p.b_inner ? inner : 0, b_outer = p.b_outer ? outer : 0;
        mbarrier_t* const full = &shared.full[stage];
        if constexpr (A_K_MAJOR) {
            tma_load(shared.a[stage], map_a, {k, m, a_inner, a_outer}, full);
        } else {
#pragma unroll
            for (int box = 0; box < BLK_M / WIDTH; ++box)
                tma_load(shared.a[stage] + box * WIDTH * BLK_K, map_a,
                         {m + box * WIDTH, k, a_inner, a_outer}, full);
        }
        if constexpr (B_K_MAJOR) {
            tma_load_all<CLUSTER>(shared.b[stage] + own.first() * BLK_K, map_b,
                                  {k, n + own.first(), b_inner, b_outer}, full);
        } else {
#pragma unroll
            for (int box = 0; box < BLK_N / WIDTH; ++box)
                if (own.has(box))
                    tma_load_all<CLUSTER>(shared.b[stage] + box * WIDTH * BLK_K, map_b,
                                          {n + box * WIDTH, k, b_inner, b_outer}, full);
        }
    }
};

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS, 1) __cluster_dims__(CLUSTER, 1, 1)
gemm_wgmma(const __grid_constant__ TensorMap map_a, const __grid_constant__ TensorMap map_b,
           const __grid_constant__ TensorMap map_c, scalar_t* __restrict__ c,
           const scalar_t* __restrict__ bias, const scalar_t* __restrict__ scale,
           const scalar_t* __restrict__ shift, const scalar_t* __restrict__ residual,
           EpilogueParams e, GemmParams p) {
    extern __shared__ __align__(1024) char memory[];
    Shared& shared = *reinterpret_cast<Shared*>(memory);
    const Epilogue epilogue{bias, scale, shift, residual, e};
    const Matrices work{map_a, map_b, p, shared, {}};
    multiply_all<A_K_MAJOR, B_K_MAJOR>(
        shared, p, work, [&](const BlockCoord& blk, Sums& sums, WarpOutput& own) {
            store_tile(work, Output(p, map_c, c, epilogue, blk), sums, own);
        },
        easy_end(p, epilogue, c));
}
