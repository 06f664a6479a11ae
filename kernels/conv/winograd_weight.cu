// conv/winograd_weight.cu: gradient with respect to filters of 3x3 by Winograd's F(3x3, 2x2).
//
// Computes   factors[place,k,t] = (G d G^T)[place], d the 2x2 elements of dy in tile t
//            dweight[k,c,:,:] = A^T (sum over parts of products[part,:,k,c]) A
// Layout     dy (N,K,P,Q) any strides; factors as in winograd_input.cu; products
//            (parts, 16, K, C/G) contiguous, in the precision of sums; dweight (K,C/G,3,3)
//            contiguous
// Launch     winograd_gradient as winograd_input; winograd_taps one thread a filter and channel,
//            block 256, grid ceil(K C/G / 256); 2304 taps in shared memory
// Traffic    |dy| read and 4 times the elements written; |products| read and |dweight| written;
//            12 flop a tile and 32 a filter and channel, besides the sum over parts
// Range      any extents; 64-bit index arithmetic; tiles reach beyond P and Q with zeros. The sum
//            has a fixed order: deterministic. A NaN or an infinity in dy or x spreads over all taps
//            of its filter or channel, as it does by definition
// Siblings   direct_weight.cu, and im2col for other filters
// Source     A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016
//
// entry winograd_gradient        tiles of dy, transformed
// entry winograd_taps            gradient of the filters from products
// variant SCALAR = floating
#include <pycnn/winograd.cuh>

constexpr int THREADS = 256, TAPS = 9;
using Block = TileBlock<2, 2>;

extern "C" __global__ void __launch_bounds__(THREADS)
winograd_gradient(const scalar_t* __restrict__ dy, acc_t* __restrict__ factors, TileParams v) {
    extern __shared__ __align__(16) unsigned char shared[];
    acc_t* const sX = reinterpret_cast<acc_t*>(shared);
    const Block block(v);
    block.load(dy, sX);
    __syncthreads();
    block.each(sX, factors, [&](acc_t (&d)[2][2], acc_t* to) {
        acc_t out[ALPHA][ALPHA];
        transform_square(d, out, [](const acc_t (&from)[2], acc_t (&into)[ALPHA]) {
            transform_gradient(from, into);
        });
#pragma unroll
        for (int i = 0; i < POINTS; ++i) to[i * v.place] = out[i / ALPHA][i % ALPHA];
    });
}

extern "C" __global__ void __launch_bounds__(THREADS)
winograd_taps(const acc_t* __restrict__ products, scalar_t* __restrict__ dweight, index_t pairs,
              index_t parts) {
    __shared__ acc_t sW[THREADS * TAPS];  // 9 is odd: no two threads of a warp meet in a bank
    const index_t mine = flat_thread();
    acc_t m[ALPHA][ALPHA] = {}, taps[3][3];
    for (index_t part = 0; mine < pairs && part < parts; ++part)
#pragma unroll
        for (int i = 0; i < POINTS; ++i)
            m[i / ALPHA][i % ALPHA] += products[(part * POINTS + i) * pairs + mine];
    transform_square(m, taps, [](const acc_t (&from)[ALPHA], acc_t (&into)[3]) {
        transform_taps(from, into);
    });
#pragma unroll
    for (int i = 0; i < TAPS; ++i) sW[threadIdx.x * TAPS + i] = taps[i / 3][i % 3];
    __syncthreads();
    const index_t first = (mine - threadIdx.x) * TAPS;
    for (int i = threadIdx.x; i < THREADS * TAPS && first + i < pairs * TAPS; i += THREADS)
        dweight[first + i] = from_acc(sW[i]);
}
