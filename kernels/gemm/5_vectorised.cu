// gemm/5_vectorised.cu: matrix product, 16 bytes with every load and store.
//
// Computes   C[i,j] = epilogue(sum_k A[i,k] B[k,j] (+ C[i,j])), as epilogue.cuh has it, with the
//            rows or the columns of C for channels
// Layout     A (M,K), B (K,N) any strides; C (M,N) column stride 1; two-level batch by strides
// Launch     block 256, each thread 8x8 outputs of a 128x128 tile; grid (ceil(M/128) ceil(N/128),
//            batches); 8448 bytes of shared memory in float, twice that in the other types
// Traffic    A is read N/128 times and B M/128 times: M N K / 64 elements; 2 M N K flop
// Range      any extents; 64-bit index arithmetic. 16-byte accesses where the plan finds the strides
//            and the kernel the addresses aligned, else single elements
// Siblings   faster than 4_register_tile: 4 shared loads of 16 bytes feed 64 multiplications, and a
//            quarter of the instructions move the tiles. Slower than 6_double_buffered: the block
//            waits for global memory before every tile
// Source     NVIDIA, "CUDA Pro Tip: Increase Performance with Vectorized Memory Access", 2013
//
// entry gemm_vectorised      matrix product, 8x8 outputs a thread, 16-byte accesses
// variant SCALAR = floating
// variant A_TRANSPOSED = 0, 1
// variant B_TRANSPOSED = 0, 1
#include <pycnn/gemm_vector.cuh>

#ifndef A_TRANSPOSED
#define A_TRANSPOSED 0  // 1: A is read down its columns, as M is contiguous in memory
#define B_TRANSPOSED 0  // 1: B is read down its columns, as K is contiguous in memory
#endif

constexpr int BM = 128, BN = 128;              // the tile of a block
constexpr int TM = BM / SIDE, TN = BN / SIDE;  // the tile of a thread
constexpr int BK = LOADED > 4 ? 16 : 8;        // of a row of k, two vectors at least

extern "C" __global__ void __launch_bounds__(THREADS)
gemm_vectorised(const scalar_t* __restrict__ a, const scalar_t* __restrict__ b,
                scalar_t* __restrict__ c, const scalar_t* __restrict__ bias,
                const scalar_t* __restrict__ scale, const scalar_t* __restrict__ shift,
                const scalar_t* __restrict__ residual, EpilogueParams e, GemmParams p) {
    __shared__ alignas(16) acc_t tile[2][BK][pitch(BM)];  // of A, and of B
    const Place at(p);
    if (at.batch >= p.batches) return;
    const Epilogue finish{bias, scale, shift, residual, e};
    const Result result(p, c, finish, at);
    const ThreadPlace mine(threadIdx.x);
    Carrier<BK, BM, !A_TRANSPOSED> from_a(operand_a(p, a, at), threadIdx.x);
    Carrier<BK, BN, B_TRANSPOSED> from_b(operand_b(p, b, at), threadIdx.x);

    acc_t sum[TM][TN] = {};
    for (index_t k_left = p.k; k_left > 0; k_left -= BK) {
        from_a.fetch(k_left);
        from_b.fetch(k_left);
        from_a.put(tile[0]);
        from_b.put(tile[1]);
        __syncthreads();
        multiply(sum, tile[0], tile[1], mine);
        __syncthreads();
    }
    store_tile(sum, tile[0][0], result, mine);
}
