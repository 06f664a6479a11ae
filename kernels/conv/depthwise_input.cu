// conv/depthwise_input.cu: gradient of a depthwise convolution of stride 2 with respect to x, where
// columns are neighbours in memory.
//
// Computes   dx[n,c,h,w] = epilogue(sum over r, s of w[c,0,r,s] dy[n,c, (h + top - r) / 2,
//            (w + left - s) / 2], where these divide): four convolutions of stride 1, one for the
//            even and the odd h and w, with the taps of their parity
// Layout     dy (N,C,P,Q), w (C,1,KSIZE,KSIZE), dx (N,C,H,W): any strides
// Launch     one thread for a vector of columns of dx and a strip of pairs of its rows; block 128;
//            grid flat, columns fastest; no shared memory
// Traffic    |dy| + |w| + |dx|; WINDOW - 1 rows more of dy for every strip, and as many columns for
//            every thread, which come from L1. A row is on its way while one is used
// Range      filters of 3x3 and 5x5, stride 2 along both axes, dilation 1, zeros beyond x; 64-bit
//            offsets. With BYTES as depthwise.cu, x being dx. Gathered, in one order: deterministic
// Siblings   depthwise_nhwc_input where channels are neighbours in memory; with stride 1 depthwise,
//            on the rotated filter
// Source     as depthwise.cu; the four parities: Shi et al., "Is the deconvolution layer the same
//            as a convolutional layer?", arXiv 1609.07009, 2016
//
// entry depthwise_input          gradient of x at stride 2, a thread for a strip of rows
// variant SCALAR BYTES = floating 0, halves 4, halves 8, halves 16, single 16
// variant KSIZE = 3, 5
#define STRIDE 2
#include <pycnn/depthwise_planes.cuh>
#include <pycnn/depthwise_input.cuh>

// Of a multiprocessor, as many as registers allow.
constexpr int CELL_BLOCKS_OF[] = {7, 5, 7, 5, 4, 3};
constexpr int CELL_BLOCKS = CELL_BLOCKS_OF[KIND / 2];

constexpr int OUTS = 2 * COLUMNS;  // of dx
constexpr int BACK = 1, FRONT = WINDOW - 1 - BACK;
constexpr int INS = FRONT + COLUMNS + BACK;  // of dy that they need

__device__ __forceinline__ void gather(const scalar_t* __restrict__ dy,
                                       const scalar_t* __restrict__ weight,
                                       const Epilogue& epilogue, scalar_t* __restrict__ dx,
                                       const StripParams& v, const Strip& at, const Cells& down,
                                       const Cells& across) {
    acc_t taps[TAPS];
    load_taps(taps, weight, at.c, v);
    const EpilogueParams& e = epilogue.p;
    const Finish<1> finish(epilogue, at.c);
    const int q = at.q + (BYTES ? -FRONT : across.newest - (WINDOW - 1));
    const int w = 2 * at.q - (BYTES ? 0 : across.before);
    const unsigned there = columns_inside<INS>(q, v.q), outs = columns_inside<OUTS>(w, v.w);
    int p = at.p + down.newest - (WINDOW - 1), h = 2 * at.p - down.before;
    const int end = p + (at.p_end - at.p) + WINDOW - 1;
    const scalar_t* row = dy + at.n * v.y_n + at.c * v.y_c + p * v.y_p +
                          static_cast<index_t>(q) * v.y_q;
    scalar_t* to = dx + at.n * v.x_n + at.c * v.x_c + h * v.x_h + static_cast<index_t>(w) * v.x_w;
    const scalar_t* const beside = epilogue.residual + at.n * e.residual_n +
                                   at.c * e.residual_k + w * e.residual_q;

    using OfRow = Row<BYTES != 0, FRONT, COLUMNS, BACK>;
    const auto load = [&](OfRow& to) {
        to.load(row, p < end && inside(p, v.p) ? there : 0, v.y_q);
        ++p;
        row += v.y_p;
    };
    OfRow first[WINDOW - 1], next;
#pragma unroll
    for (int i = 0; i < WINDOW - 1; ++i) load(first[i]);
    load(next);
    acc_t window[WINDOW][INS];  // of the rows that reach the cells at hand, in turn
#pragma unroll
    for (int i = 0; i < WINDOW - 1; ++i) first[i].take(window[i]);
    const auto step = [&](auto turn_) {
        constexpr int turn = decltype(turn_)::value;  // the oldest row is window[turn]
        next.take(window[(turn + WINDOW - 1) % WINDOW]);
        load(next);
#pragma unroll
        for (int f = 0; f < 2; ++f, ++h, to += v.x_h) {
            if (!inside(h, v.h)) continue;
            acc_t sum[OUTS] = {};
#pragma unroll
            for (int j = 0; j < OUTS; ++j)
#pragma unroll
                for (int d = 0; d < WINDOW; ++d)
#pragma unroll
                    for (int b = 0; b < WINDOW; ++b) {
                        const int r = tap_of(d, f), s = tap_of(b, j % 2);
                        if (is_tap(r) && is_tap(s))
                            sum[j] += window[(turn + WINDOW - 1 - d) % WINDOW]
                                            [j / 2 + WINDOW - 1 - b] * taps[r * KSIZE + s];
                    }
            finish(sum, [&] {
                Row<BYTES != 0, 0, OUTS, 0> residual;
                acc_t summand[OUTS];
                residual.load(beside + h * e.residual_p, outs, e.residual_q);
                residual.take(summand);
#pragma unroll
                for (int j = 0; j < OUTS; ++j) sum[j] += summand[j];
            });
            store(to, sum, outs, v.x_w);
        }
        return p <= end;
    };
    while (in_turn<WINDOW>(step)) {
    }
}

// Whether all begin where vectors do is asked in front of all else: see docs/bandwidth.md.
extern "C" __global__ void __launch_bounds__(THREADS, CELL_BLOCKS)
depthwise_input(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ weight,
                const scalar_t* __restrict__ bias, const scalar_t* __restrict__ scale,
                const scalar_t* __restrict__ shift, const scalar_t* __restrict__ residual,
                scalar_t* __restrict__ dx, StripParams v, EpilogueParams e) {
    const Cells down(v.top, v.h), across(v.left, v.w);
    const Strip at(blockIdx.x * THREADS + threadIdx.x, in_cells(v, down, across), v.channels);
    if (!at.exists) return;
    const Epilogue epilogue{bias, scale, shift, residual, e};
    if (!BYTES || (aligned_to<scalar_t, COLUMNS>(dy) && aligned_to<scalar_t, OUTS>(dx) &&
                   aligned_to<scalar_t, OUTS>(residual)))
        return gather(dy, weight, epilogue, dx, v, at, down, across);
#pragma unroll 1
    for (int h = 2 * at.p - down.before; h < 2 * at.p_end - down.before; ++h)
#pragma unroll 1
        for (int w = 2 * at.q; w < 2 * at.q + OUTS; ++w)  // whole vectors, so all are there
            if (inside(h, v.h)) gather_element(dy, weight, epilogue, dx, v, at.n, at.c, h, w);
}
