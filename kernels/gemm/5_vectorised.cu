// gemm/5_vectorised.cu: matrix product, 16 bytes with every load and store.
//
// Computes   C[i,j] = relu(sum_k A[i,k] B[k,j] + bias + C[i,j]), each of the last three if asked
// Layout     A (M,K), B (K,N) any strides; C (M,N) column stride 1; two-level batch by strides
// Launch     block 256, each thread 8x8 outputs of a 128x128 tile; grid (ceil(M/128) ceil(N/128),
//            batches); 8448 bytes of shared memory in float, twice that in double
// Traffic    A is read N/128 times and B M/128 times: M N K / 64 elements; 2 M N K flop
// Range      any extents; 64-bit index arithmetic; NaN passes through ReLU. 16-byte accesses where
//            the plan finds the strides and the kernel the addresses aligned, else single elements
// Siblings   faster than 4_register_tile: 4 shared loads of 16 bytes feed 64 multiplications, and a
//            quarter of the instructions move the tiles. Slower than 6_double_buffered: the block
//            waits for global memory before every tile
// Source     NVIDIA, "CUDA Pro Tip: Increase Performance with Vectorized Memory Access", 2013
//
// entry gemm_vectorised      matrix product, 8x8 outputs a thread, 16-byte accesses
// variant SCALAR = float, double
// variant A_TRANSPOSED = 0, 1
// variant B_TRANSPOSED = 0, 1
#include <pycnn/gemm_vector.cuh>

#ifndef A_TRANSPOSED
#define A_TRANSPOSED 0  // 1: A is read down its columns, as M is contiguous in memory
#define B_TRANSPOSED 0  // 1: B is read down its columns, as K is contiguous in memory
#endif

constexpr int BM = 128, BN = 128, BK = 8;      // the tile of a block
constexpr int TM = BM / SIDE, TN = BN / SIDE;  // the tile of a thread

extern "C" __global__ void __launch_bounds__(THREADS)
gemm_vectorised(const scalar* __restrict__ a, const scalar* __restrict__ b,
                const scalar* __restrict__ bias, scalar* __restrict__ c, GemmParams p) {
    __shared__ alignas(16) scalar a_tile[BK][pitch(BM)];
    __shared__ alignas(16) scalar b_tile[BK][pitch(BN)];
    const Place at(p);
    if (at.batch >= p.batches) return;
    const Result result(p, c, bias, at);
    const ThreadPlace mine(threadIdx.x);
    Carrier<BK, BM, !A_TRANSPOSED> from_a(operand_a(p, a, at), threadIdx.x);
    Carrier<BK, BN, B_TRANSPOSED> from_b(operand_b(p, b, at), threadIdx.x);

    scalar sum[TM][TN] = {};
    for (index_t k_left = p.k; k_left > 0; k_left -= BK) {
        from_a.fetch(k_left);
        from_b.fetch(k_left);
        from_a.put(a_tile);
        from_b.put(b_tile);
        __syncthreads();
#pragma unroll 2  // more would cost registers, and with them the second block of an SM
        for (int k = 0; k < BK; ++k) {
            scalar a_part[TM], b_part[TN];
            read_part(a_part, a_tile[k], mine.row);
            read_part(b_part, b_tile[k], mine.col);
#pragma unroll
            for (int i = 0; i < TM; ++i)
#pragma unroll
                for (int j = 0; j < TN; ++j) sum[i][j] += a_part[i] * b_part[j];
        }
        __syncthreads();
    }
    store_part(sum, p, result, mine);
}
