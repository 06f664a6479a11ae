// pycnn/few_channels.cuh: how conv/few_channels_mma.cu sees a convolution over few channels that lie
// innermost: a window's row is one run of S C neighbours in memory, and so is one of the sum's terms.
//
//   terms (r, e), e the place in a run, which is cut into RUN chunks of 16 bytes
//
// A block copies the patch of x that the windows of its pixels meet to shared memory, zeros beyond
// the edges, and reads fragments of A from there, two neighbours of 16 bits or one float a register.
// Of 16 bits a run begins at an even place: one zero term comes before it where it does not. That
// alternates from pixel to pixel where ODD, so that even and odd columns are products of their own,
// each with a version of the weight.
#pragma once

#ifndef RUN
#define RUN 3  // chunks of a window's row, zeros included
#define ODD 0  // 1: of 16 bits, windows begin an odd number of elements apart
#endif
#include <pycnn/kernel.cuh>

// Elements in a register of a fragment.
constexpr int PACKED = 4 / sizeof(scalar_t);

struct FewChannels {
    index_t x_n, x_h;                     // element strides
    index_t w_k, w_c, w_r, w_s;
    index_t y_n, y_k, y_p, y_q;
    int h, row, c;                        // rows of x, elements of one, and channels
    int k, r, p, q;                       // filters, rows of a window, extents of y
    int stride_h, dilation_h, top;        // in rows
    int step, left;                       // in elements, from pixel to pixel, and the padding
    int run;                              // S C
    int rows, pitch;                      // of a patch, in chunks
    int row_step, chunk_step;             // how far MMA_THREADS chunks of it are
    int tiles_p, tiles_q, tiles;          // of pixels, those of all images
    int products;                         // of MMA_K terms
    int vectors;                          // enum Chunked of implicit_gemm.cuh
    int reserved;                         // padding by name

    // Terms before the run of pixels in columns of this parity.
    __device__ __forceinline__ int lead(int parity) const {
        return (left + parity * step) % PACKED;
    }
};
