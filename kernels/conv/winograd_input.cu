// conv/winograd_input.cu: tiles of x in Winograd's domain, B^T d B.
//
// Computes   factors[place,c,t] = (B^T d B)[place], d the ALPHA x ALPHA elements of channel c from
//            (t_row*TILE - top, t_col*TILE - left) on, ALPHA = TILE + 2, place < ALPHA^2
// Layout     x (N,C,H,W) any strides; factors (places, C, tiles) in the precision of sums, its two
//            last axes in any order, a part of the images after the other
// Launch     a block for a rectangle of tiles of some channels of an image; block 256; grid
//            images ceil(C/..) ceil(rows/..) ceil(cols/..); the elements under them in shared
//            memory, at most 48 KiB
// Traffic    |x| and a rim around each rectangle, 1.0 to 1.3 |x|; |factors| written, which has 4
//            (TILE 2) or 2.25 (TILE 4) times the elements of x; 32 or 108 flop a tile and channel
// Range      any extents; 64-bit index arithmetic; zeros, reflection, the nearest edge or the period
//            beyond the edges. A NaN or an infinity spreads over all factors of its tile, and from
//            there over TILE x TILE outputs; infinities become NaN
// Siblings   im2col, whose columns have 9 times the elements of x
// Source     A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016;
//            S. Winograd, "Arithmetic Complexity of Computations", 1980
//
// entry winograd_input           tiles of the input, transformed
// variant SCALAR = floating
// variant TILE = 2, 4
#include <pycnn/winograd.cuh>

using Block = TileBlock<ALPHA, TILE>;

extern "C" __global__ void __launch_bounds__(Block::THREADS)
winograd_input(const scalar_t* __restrict__ x, acc_t* __restrict__ factors, TileParams v) {
    extern __shared__ __align__(16) unsigned char shared[];
    acc_t* const sX = reinterpret_cast<acc_t*>(shared);
    const Block block(v);
    block.load(x, sX);
    __syncthreads();
    block.each(sX, factors, [&](acc_t (&d)[ALPHA][ALPHA], acc_t* to) {
        acc_t out[ALPHA][ALPHA];
        transform_square(d, out, [](const acc_t (&from)[ALPHA], acc_t (&into)[ALPHA]) {
#pragma unroll
            for (int i = 0; i < ALPHA; ++i) into[i] = from[i];
            transform_input(into);
        });
#pragma unroll
        for (int i = 0; i < POINTS; ++i) to[i * v.place] = out[i / ALPHA][i % ALPHA];
    });
}
