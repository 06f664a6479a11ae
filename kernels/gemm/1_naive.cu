// gemm/1_naive.cu: matrix product, one thread an output, and the wrong way round.
//
// Computes   C[i,j] = epilogue(sum_k A[i,k] B[k,j] (+ C[i,j])), as epilogue.cuh has it, with the
//            rows or the columns of C for channels
// Layout     A (M,K), B (K,N) any strides; C (M,N) column stride 1; two-level batch by strides
// Launch     block 32x8, x along the rows of C; grid (ceil(M/32) ceil(N/8), batches); no shared
// Traffic    (2K + 1) M N elements requested; |A| + |B| + |C| necessary; 2 M N K flop
// Range      any extents; 64-bit index arithmetic
// Siblings   slowest. 2_coalesced differs in one line: here the 32 threads of a warp read 32 rows
//            of A, one sector of 32 bytes each for 4 bytes of it
// Source     NVIDIA, CUDA C++ Best Practices Guide, "Coalesced Access to Global Memory"
//
// entry gemm_naive      matrix product, one thread an output, warps down the rows
// variant SCALAR = floating
#include <pycnn/gemm.cuh>

extern "C" __global__ void __launch_bounds__(256)
gemm_naive(const scalar_t* __restrict__ a, const scalar_t* __restrict__ b, scalar_t* __restrict__ c,
           const scalar_t* __restrict__ bias, const scalar_t* __restrict__ scale,
           const scalar_t* __restrict__ shift, const scalar_t* __restrict__ residual,
           EpilogueParams e, GemmParams p) {
    const BlockCoord blk(p);
    if (blk.batch >= p.batches) return;
    const Operand gA = operand_a(p, a, blk), gB = operand_b(p, b, blk);
    const Epilogue epilogue{bias, scale, shift, residual, e};
    const OutputTile gC(p, c, epilogue, blk);
    const int i = threadIdx.x, j = threadIdx.y;
    if (i >= gC.rows || j >= gC.cols) return;

    acc_t acc = 0;
    for (index_t k = 0; k < p.k; ++k) acc += gA.at(k, i) * gB.at(k, j);
    gC.store(i, j, acc);
}
