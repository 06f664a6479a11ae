// conv/depthwise_nhwc_input.cu: gradient of a depthwise convolution of stride 2 with respect to x,
// where the channels are neighbours in memory.
//
// Computes   as depthwise_input.cu
// Layout     dy (N,C,P,Q), w (C,1,KSIZE,KSIZE), dx (N,C,H,W): any strides
// Launch     one thread for 2 channels (float64: 1), 2 pairs of columns of dx and a strip of
//            pairs of its rows; block 128; grid flat, channels fastest; no shared memory
// Traffic    |dy| + |w| + |dx|; WINDOW - 1 rows more of dy for every strip, and as many columns for
//            every thread, which come from L1. A row is used while the next one is on its way
// Range      as depthwise_input.cu. Where channels are no pairs, or an address is no multiple of
//            theirs, dx comes element by element
// Siblings   depthwise_input where pixels are neighbours in memory
// Source     as depthwise_input.cu
//
// entry depthwise_nhwc_input     gradient of x at stride 2, a thread for two channels of a strip
// variant SCALAR = floating
// variant KSIZE = 3, 5
#define STRIDE 2
#include <pycnn/depthwise_channels.cuh>
#include <pycnn/depthwise_input.cuh>

// Pairs of columns of a thread, and blocks of a multiprocessor.
constexpr int PAIRS_OF[] = {2, 2, 2, 2, 2, 2};
constexpr int CELL_BLOCKS_OF[] = {7, 4, 6, 3, 4, 2};
#if !defined(PYCNN_EMULATOR) && __CUDA_ARCH__ >= 1000
constexpr int FEWER = KIND == 1 || KIND == 5;  // whose registers spill there
#else
constexpr int FEWER = 0;
#endif
constexpr int PAIRS = PAIRS_OF[KIND / 2], CELL_BLOCKS = CELL_BLOCKS_OF[KIND / 2] - FEWER;

constexpr int OUTS = 2 * PAIRS;          // columns of dx
constexpr int INS = PAIRS + WINDOW - 1;  // columns of dy that they need

__device__ __forceinline__ void gather_vectors(const scalar_t* __restrict__ dy,
                                               const scalar_t* __restrict__ weight,
                                               const Epilogue& epilogue,
                                               scalar_t* __restrict__ dx, const StripParams& v,
                                               const Strip& at, const Cells& down,
                                               const Cells& across) {
    acc_t taps[TAPS][VEC];
    load_taps(taps, weight, at.c, v);
    const EpilogueParams& e = epilogue.p;
    const Finish<VEC> finish(epilogue, at.c);
    const int q = at.q + across.newest - (WINDOW - 1), w = 2 * at.q - across.before;
    const unsigned there = columns_inside<INS>(q, v.q), outs = columns_inside<OUTS>(w, v.w);
    int p = at.p + down.newest - (WINDOW - 1), h = 2 * at.p - down.before;
    const int end = p + (at.p_end - at.p) + WINDOW - 1;
    const scalar_t* row = dy + at.n * v.y_n + at.c * v.y_c + p * v.y_p +
                          static_cast<index_t>(q - AHEAD) * v.y_q;
    scalar_t* to = dx + at.n * v.x_n + at.c * v.x_c + h * v.x_h +
                   static_cast<index_t>(w - AHEAD) * v.x_w;
    const scalar_t* beside = epilogue.residual + at.n * e.residual_n + at.c * e.residual_k +
                             h * e.residual_p + w * e.residual_q;

    const auto load = [&](Words (&to)[INS]) {
        load_row(to, row, p < end && inside(p, v.p) ? there : 0, v.y_q);
        ++p;
        row += v.y_p;
    };
    // Of the rows that reach the cells at hand, in turn.
    acc_t window[WINDOW][INS * VEC];
    const auto take = [&](acc_t (&to)[INS * VEC], const Words (&from)[INS]) {
#pragma unroll
        for (int u = 0; u < INS; ++u) {
            acc_t value[VEC];
            widen(from[u], value);
#pragma unroll
            for (int i = 0; i < VEC; ++i) to[u * VEC + i] = value[i];
        }
    };
    Words first[WINDOW - 1][INS], next[INS];
#pragma unroll
    for (int i = 0; i < WINDOW - 1; ++i) load(first[i]);
    load(next);
#pragma unroll
    for (int i = 0; i < WINDOW - 1; ++i) take(window[i], first[i]);
    const auto step = [&](auto turn_) {
        constexpr int turn = decltype(turn_)::value;  // the oldest row is window[turn]
        take(window[(turn + WINDOW - 1) % WINDOW], next);
        load(next);
#pragma unroll
        for (int f = 0; f < 2; ++f, ++h, to += v.x_h, beside += e.residual_p) {
            if (!inside(h, v.h)) continue;
            acc_t sum[OUTS * VEC] = {};
#pragma unroll
            for (int j = 0; j < OUTS; ++j)
#pragma unroll
                for (int d = 0; d < WINDOW; ++d)
#pragma unroll
                    for (int b = 0; b < WINDOW; ++b) {
                        const int r = tap_of(d, f), s = tap_of(b, j % 2);
                        if (!is_tap(r) || !is_tap(s)) continue;
                        const acc_t* const value = window[(turn + WINDOW - 1 - d) % WINDOW] +
                                                   (j / 2 + WINDOW - 1 - b) * VEC;
#pragma unroll
                        for (int i = 0; i < VEC; ++i)
                            sum[j * VEC + i] += value[i] * taps[r * KSIZE + s][i];
                    }
            finish(sum, [&] {
#pragma unroll
                for (int j = 0; j < OUTS; ++j) {
                    if (!(outs >> j & 1)) continue;
                    acc_t value[VEC];
                    widen(__ldg(reinterpret_cast<const Words*>(beside + j * e.residual_q)), value);
#pragma unroll
                    for (int i = 0; i < VEC; ++i) sum[j * VEC + i] += value[i];
                }
            });
            store_columns(to, sum, outs, v.x_w);
        }
        return p <= end;
    };
    while (in_turn<WINDOW>(step)) {
    }
}

// Whether all begin where vectors do is asked in front of all else: see docs/bandwidth.md.
extern "C" __global__ void __launch_bounds__(THREADS, CELL_BLOCKS)
depthwise_nhwc_input(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ weight,
                     const scalar_t* __restrict__ bias, const scalar_t* __restrict__ scale,
                     const scalar_t* __restrict__ shift, const scalar_t* __restrict__ residual,
                     scalar_t* __restrict__ dx, StripParams v, EpilogueParams e) {
    const Cells down(v.top, v.h), across(v.left, v.w);
    const Strip at(in_cells(v, down, across), PAIRS);
    if (!at.exists) return;
    const Epilogue epilogue{bias, scale, shift, residual, e};
    if (v.vectors && aligned_to<scalar_t, VEC>(dy) && aligned_to<scalar_t, VEC>(dx) &&
        aligned_to<scalar_t, VEC>(residual))
        return gather_vectors(dy, weight, epilogue, dx, v, at, down, across);
#pragma unroll 1
    for (int h = 2 * at.p - down.before; h < 2 * at.p_end - down.before; ++h)
#pragma unroll 1
        for (int i = 0; i < OUTS * at.channels; ++i) {
            const int w = 2 * at.q - across.before + i / at.channels;
            if (inside(h, v.h) && inside(w, v.w))
                gather_element(dy, weight, epilogue, dx, v, at.n, at.c + i % at.channels, h, w);
        }
}
