// conv/depthwise_nhwc.cu: convolution with one filter for each channel, where the channels are
// neighbours in memory.
//
// Computes   y[n,c,p,q] = epilogue(sum_{r,s} w[c,0,r,s] x[n,c, p*STRIDE - top + r, ...]), and with
//            STRIDE 1 its gradient with respect to x, which is this with the filter rotated
// Layout     x (N,C,H,W), y (N,C,P,Q), w (C,1,KSIZE,KSIZE): any strides
// Launch     one thread for 2 channels (float64: 1), 7 or 4 columns of outputs and a strip of rows of
//            them; block 128; grid flat, channels fastest; no shared memory
// Traffic    |x| + |w| + |y|; KSIZE - STRIDE rows more of x for every strip, and as many columns for
//            every thread, which come from L1. A row is used while the next one is on its way
// Range      filters of 3x3 and 5x5, stride 1 or 2 along both axes, dilation 1, zeros beyond x;
//            64-bit offsets. Where channels are no pairs, or an address is no multiple of theirs,
//            every element of x is loaded KSIZE^2 times. (sum + bias) scale + shift is one
//            multiplication and one addition
// Siblings   depthwise where pixels are neighbours in memory
// Source     as depthwise.cu
//
// entry depthwise_nhwc           convolution, a thread for two channels of a strip of rows
// variant SCALAR = floating
// variant KSIZE = 3, 5
// variant STRIDE = 1, 2
#include <pycnn/depthwise_channels.cuh>

__device__ __forceinline__ void convolve_vectors(const scalar_t* __restrict__ x,
                                                 const scalar_t* __restrict__ weight,
                                                 const Epilogue& epilogue,
                                                 scalar_t* __restrict__ y, const StripParams& v,
                                                 const Strip& at) {
    acc_t taps[TAPS][VEC];
    load_taps(taps, weight, at.c, v);
    const EpilogueParams& e = epilogue.p;
    const Finish<VEC> finish(epilogue, at.c);
    const int left = at.q * STRIDE - v.left, top = at.p * STRIDE - v.top;
    const unsigned there = columns_inside<IN_COLUMNS>(left, v.w);
    const unsigned outs = columns_inside<COLUMNS>(at.q, v.q);
    const scalar_t* row = x + at.n * v.x_n + at.c * v.x_c + top * v.x_h +
                          static_cast<index_t>(left - AHEAD) * v.x_w;
    scalar_t* to = y + at.n * v.y_n + at.c * v.y_c + at.p * v.y_p +
                   static_cast<index_t>(at.q - AHEAD) * v.y_q;
    const scalar_t* beside = epilogue.residual + at.n * e.residual_n + at.c * e.residual_k +
                             at.p * e.residual_p + at.q * e.residual_q;

    acc_t sum[OUT_ROWS][COLUMNS * VEC];  // of the outputs that the row at hand reaches, in turn
    int h = top;
    const int last = (at.p_end - 1) * STRIDE - v.top + KSIZE, end = last < v.h ? last : v.h;
    Words next[IN_COLUMNS];
    load_row(next, row, h >= 0 && h < end ? there : 0, v.x_w);
    int p = at.p - (OUT_ROWS - 1);  // of the output that is complete with this row
    const auto step = [&](auto turn_) {
        constexpr int turn = decltype(turn_)::value;
#pragma unroll
        for (int t = 0; t < STRIDE; ++t) {
            Words now[IN_COLUMNS];
            memcpy(now, next, sizeof(now));
            ++h;
            row += v.x_h;
            load_row(next, row, h >= 0 && h < end ? there : 0, v.x_w);
#pragma unroll
            for (int u = 0; u < IN_COLUMNS; ++u) {
                acc_t value[VEC];
                widen(now[u], value);
#pragma unroll
                for (int s = 0; s < KSIZE; ++s) {
                    if (u < s || (u - s) % STRIDE != 0 || (u - s) / STRIDE >= COLUMNS) continue;
                    const int j = (u - s) / STRIDE * VEC;
#pragma unroll
                    for (int k = 0; k < OUT_ROWS; ++k) {
                        const int r = t + STRIDE * k;
                        if (r >= KSIZE) continue;
                        acc_t* const of = sum[(turn - k + OUT_ROWS) % OUT_ROWS] + j;
#pragma unroll
                        for (int i = 0; i < VEC; ++i) {
                            const acc_t product = value[i] * taps[r * KSIZE + s][i];
                            of[i] = r + s == 0 ? product : of[i] + product;
                        }
                    }
                }
            }
            if (t > 0) continue;
            if (p >= at.p) {
                acc_t (&done)[COLUMNS * VEC] = sum[(turn + 1) % OUT_ROWS];
                finish(done, [&] {
#pragma unroll
                    for (int j = 0; j < COLUMNS; ++j) {
                        if (!(outs >> j & 1)) continue;
                        acc_t value[VEC];
                        widen(__ldg(reinterpret_cast<const Words*>(beside + j * e.residual_q)),
                              value);
#pragma unroll
                        for (int i = 0; i < VEC; ++i) done[j * VEC + i] += value[i];
                    }
                });
                store_columns(to, done, outs, v.y_q);
                to += v.y_p;
                beside += e.residual_p;
            }
            if (++p == at.p_end) return false;
        }
        return true;
    };
    while (in_turn<OUT_ROWS>(step)) {
    }
}

// Whether all begin where vectors do is asked in front of all else: see docs/bandwidth.md.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
depthwise_nhwc(const scalar_t* __restrict__ x, const scalar_t* __restrict__ weight,
               const scalar_t* __restrict__ bias, const scalar_t* __restrict__ scale,
               const scalar_t* __restrict__ shift, const scalar_t* __restrict__ residual,
               scalar_t* __restrict__ y, StripParams v, EpilogueParams e) {
    const Strip at(v);
    if (!at.exists) return;
    const Epilogue epilogue{bias, scale, shift, residual, e};
    if (v.vectors && aligned_to<scalar_t, VEC>(x) && aligned_to<scalar_t, VEC>(y) &&
        aligned_to<scalar_t, VEC>(residual))
        return convolve_vectors(x, weight, epilogue, y, v, at);
    const int row = (v.q - at.q < COLUMNS ? v.q - at.q : COLUMNS) * at.channels;
#pragma unroll 1
    for (int p = at.p; p < at.p_end; ++p)
#pragma unroll 1
        for (int j = 0; j < row; ++j)
            convolve_output(x, weight, epilogue, y, v, at.n, at.c + j % at.channels, p,
                            at.q + j / at.channels);
}
