// conv/depthwise.cu: convolution with one filter for each channel, where columns are neighbours in
// memory.
//
// Computes   y[n,c,p,q] = epilogue(sum_{r,s} w[c,0,r,s] x[n,c, p*STRIDE - top + r, ...]), and with
//            STRIDE 1 its gradient with respect to x, which is this with the filter rotated
// Layout     x (N,C,H,W), w (C,1,KSIZE,KSIZE), y (N,C,P,Q): any strides
// Launch     one thread for a vector of columns and a strip of rows; block 128; grid flat, columns
//            fastest; no shared memory
// Traffic    |x| + |w| + |y|; KSIZE - STRIDE rows more of x for every strip, and as many columns for
//            every thread, which come from L1. A row is on its way while one is used
// Range      filters of 3x3 and 5x5, stride 1 or 2 along both axes, dilation 1, zeros beyond x;
//            64-bit offsets. With BYTES, W is Q * STRIDE, the padding in front KSIZE / 2 and rows of
//            x are whole vectors; where an address is no multiple of one, elements come and go one by
//            one. (sum + bias) scale + shift is one multiplication and one addition
// Siblings   depthwise_nhwc where channels are neighbours in memory; direct takes any filter, and
//            loads every element of x KSIZE^2 times
// Source     rows in registers: Zhang, Franchetti, Low, "High performance depthwise and pointwise
//            convolutions on mobile devices", AAAI 2020, section 3
//
// entry depthwise_forward        convolution, a thread for a strip of rows
// variant SCALAR BYTES = floating 0, halves 4, halves 8, halves 16, single 16
// variant KSIZE = 3, 5
// variant STRIDE = 1, 2
#include <pycnn/depthwise_planes.cuh>

// Of a multiprocessor, as many as registers allow.
constexpr int BLOCKS_OF[] = {7, 8, 4, 5, 7, 8, 5, 6, 5, 5, 3, 3};
#if !defined(PYCNN_EMULATOR) && __CUDA_ARCH__ < 800
constexpr int FEWER = KIND == 0;  // where rounding to bfloat16 takes registers
#else
constexpr int FEWER = 0;
#endif
constexpr int BLOCKS = BLOCKS_OF[KIND] - FEWER;

__device__ __forceinline__ void convolve(const scalar_t* __restrict__ x,
                                         const scalar_t* __restrict__ weight,
                                         const Epilogue& epilogue, scalar_t* __restrict__ y,
                                         const StripParams& v, const Strip& at) {
    acc_t taps[TAPS];
    load_taps(taps, weight, at.c, v);
    const EpilogueParams& e = epilogue.p;
    const int left = at.q * STRIDE - (BYTES ? BEFORE : v.left);
    const unsigned there = columns_inside<IN_COLUMNS>(left, v.w);
    const scalar_t* row = x + at.n * v.x_n + at.c * v.x_c +
                          (at.p * STRIDE - v.top) * v.x_h + static_cast<index_t>(left) * v.x_w;
    scalar_t* to = y + at.n * v.y_n + at.c * v.y_c + at.p * v.y_p +
                   static_cast<index_t>(at.q) * v.y_q;

    const scalar_t* const beside = epilogue.residual + at.n * e.residual_n +
                                   at.c * e.residual_k + at.q * e.residual_q;

    using OfRow = Row<BYTES != 0, BEFORE, COLUMNS * STRIDE, AFTER>;
    OfRow next;
    next.load(row, inside(at.p * STRIDE - v.top, v.h) ? there : 0, v.x_w);
    acc_t sum[OUT_ROWS][COLUMNS];   // of the outputs that the row at hand reaches, in turn
    int p = at.p - (OUT_ROWS - 1);  // of the output that is complete with this row
    const auto step = [&](auto turn_) {
        constexpr int turn = decltype(turn_)::value;
#pragma unroll
        for (int t = 0; t < STRIDE; ++t) {
            acc_t value[IN_COLUMNS];
            next.take(value);
            row += v.x_h;
            const int h = (p + OUT_ROWS - 1) * STRIDE - v.top + (t == 0);
            next.load(row, inside(h, v.h) ? there : 0, v.x_w);
#pragma unroll
            for (int j = 0; j < COLUMNS; ++j)
#pragma unroll
                for (int k = 0; k < OUT_ROWS; ++k) {
                    const int r = t + STRIDE * k;
                    if (r >= KSIZE) continue;
                    acc_t& of = sum[(turn - k + OUT_ROWS) % OUT_ROWS][j];
#pragma unroll
                    for (int s = 0; s < KSIZE; ++s) {
                        const acc_t product = value[j * STRIDE + s] * taps[r * KSIZE + s];
                        of = r + s == 0 ? product : of + product;
                    }
                }
            if (t > 0) continue;
            if (p >= at.p) {
                acc_t (&done)[COLUMNS] = sum[(turn + 1) % OUT_ROWS];
                const Finish<1> finish(epilogue, at.c);
                finish(done, [&] {
                    Row<BYTES != 0, 0, COLUMNS, 0> residual;
                    acc_t summand[COLUMNS];
                    residual.load(beside + p * e.residual_p, (1u << COLUMNS) - 1, e.residual_q);
                    residual.take(summand);
#pragma unroll
                    for (int j = 0; j < COLUMNS; ++j) done[j] += summand[j];
                });
                store(to, done, (1u << COLUMNS) - 1, v.y_q);
                to += v.y_p;
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
depthwise_forward(const scalar_t* __restrict__ x, const scalar_t* __restrict__ weight,
                  const scalar_t* __restrict__ bias, const scalar_t* __restrict__ scale,
                  const scalar_t* __restrict__ shift, const scalar_t* __restrict__ residual,
                  scalar_t* __restrict__ y, StripParams v, EpilogueParams e) {
    const Strip at(blockIdx.x * THREADS + threadIdx.x, v, v.channels);
    if (!at.exists) return;
    const Epilogue epilogue{bias, scale, shift, residual, e};
    if (!BYTES || (aligned_to<scalar_t, COLUMNS * STRIDE>(x) && aligned_to<scalar_t, COLUMNS>(y) &&
                   aligned_to<scalar_t, COLUMNS>(residual)))
        return convolve(x, weight, epilogue, y, v, at);
#pragma unroll 1
    for (int p = at.p; p < at.p_end; ++p)
#pragma unroll 1
        for (int q = at.q; q < at.q + COLUMNS; ++q)
            convolve_output(x, weight, epilogue, y, v, at.n, at.c, p, q);
}
