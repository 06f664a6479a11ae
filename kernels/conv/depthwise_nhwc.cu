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

// What a thread does to the sums of its channels.
struct Finish {
    const Epilogue& e;
    bool any, changes;
    acc_t factor[VEC], summand[VEC];

    __device__ __forceinline__ Finish(const Epilogue& e, int c)
        : e(e), changes(e.bias || e.scale || e.shift) {
        any = changes || e.residual || e.p.activation;
#pragma unroll
        for (int i = 0; i < VEC; ++i) {
            factor[i] = e.scale ? to_acc(e.scale[(c + i) * e.p.scale_k]) : acc_t(1);
            summand[i] = e.bias ? to_acc(e.bias[(c + i) * e.p.bias_k]) * factor[i] : acc_t(0);
            if (e.shift) summand[i] += to_acc(e.shift[(c + i) * e.p.shift_k]);
        }
    }
    // Of a row of outputs, of which there are `columns`; `residual`: beside the first.
    __device__ __forceinline__ void operator()(acc_t (&sum)[COLUMNS * VEC], int columns,
                                               const scalar_t* residual) const {
        if (!any) return;
        if (changes)
#pragma unroll
            for (int i = 0; i < COLUMNS * VEC; ++i)
                sum[i] = sum[i] * factor[i % VEC] + summand[i % VEC];
        if (e.residual)
#pragma unroll
            for (int j = 0; j < COLUMNS; ++j) {
                if (j >= columns) continue;
                acc_t value[VEC];
                widen(__ldg(reinterpret_cast<const Words*>(residual + j * e.p.residual_q)), value);
#pragma unroll
                for (int i = 0; i < VEC; ++i) sum[j * VEC + i] += value[i];
            }
        switch (e.p.activation) {
            case NONE: break;
            case SILU:
            case SIGMOID: {
                const bool silu = e.p.activation == SILU;
#pragma unroll
                for (int i = 0; i < COLUMNS * VEC; ++i) {
                    const acc_t over = silu ? sum[i] : acc_t(1), under = 1 + exp(-sum[i]);
                    sum[i] = sizeof(scalar_t) == 2 ? over * reciprocal(under) : over / under;
                }
                break;
            }
            default: {  // a few instructions, once for all of these
                const acc_t slope = static_cast<acc_t>(e.p.slope);
                const bool leaky = e.p.activation == LEAKY_RELU;
                const acc_t most = e.p.activation == RELU6 ? acc_t(6) : limits<acc_t>::infinity();
#pragma unroll
                for (int i = 0; i < COLUMNS * VEC; ++i) {
                    const acc_t x = sum[i], below = leaky ? x * slope : acc_t(0);
                    sum[i] = x < 0 ? below : x > most ? most : x;
                }
            }
        }
    }
};

template <int J = 0>
__device__ __forceinline__ void store_row(scalar_t* row, const acc_t (&sum)[COLUMNS * VEC],
                                          int columns, int step) {
    if constexpr (J < COLUMNS) {
        Vec vec;
#pragma unroll
        for (int i = 0; i < VEC; ++i) vec.at[i] = from_acc(sum[J * VEC + i]);
        if (J < columns) *reinterpret_cast<Vec*>(steps_on<AHEAD + J>(row, step)) = vec;
        store_row<J + 1>(row, sum, columns, step);
    }
}

__device__ __forceinline__ void convolve_vectors(const scalar_t* __restrict__ x,
                                                 const scalar_t* __restrict__ weight,
                                                 const Epilogue& epilogue,
                                                 scalar_t* __restrict__ y, const StripParams& v,
                                                 const Strip& at) {
    acc_t taps[TAPS][VEC];
    load_taps(taps, weight, at.c, v);
    const EpilogueParams& e = epilogue.p;
    const Finish finish(epilogue, at.c);
    const int left = at.q * STRIDE - v.left, top = at.p * STRIDE - v.top;
    const unsigned there = columns_inside<IN_COLUMNS>(left, v.w);
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
                finish(done, v.q - at.q, beside);
                store_row(to, done, v.q - at.q, v.y_q);
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

// Without vectors, an output after the other.
__device__ __forceinline__ void convolve_elements(const scalar_t* __restrict__ x,
                                                  const scalar_t* __restrict__ weight,
                                                  const Epilogue& epilogue,
                                                  scalar_t* __restrict__ y, const StripParams& v,
                                                  const Strip& at) {
    const EpilogueParams& e = epilogue.p;
    const int columns = v.q - at.q < COLUMNS ? v.q - at.q : COLUMNS;
    const int row = columns * at.channels;
#pragma unroll 1
    for (int p = at.p; p < at.p_end; ++p)
#pragma unroll 1
        for (int j = 0; j < row; ++j) {
            const int q = at.q + j / at.channels, c = at.c + j % at.channels;
            const int top = p * STRIDE - v.top, left = q * STRIDE - v.left;
            const scalar_t* const image = x + at.n * v.x_n + c * v.x_c;
            acc_t sum = 0;
#pragma unroll
            for (int i = 0; i < TAPS; ++i) {
                const int r = i / KSIZE, s = i % KSIZE, h = top + r, w = left + s;
                const bool there = inside(h, v.h) && inside(w, v.w);
                const acc_t value =
                    there ? to_acc(ldg(image + h * v.x_h + static_cast<index_t>(w) * v.x_w))
                          : acc_t(0);
                sum += value * to_acc(ldg(weight + c * v.w_c + r * v.w_r + s * v.w_s));
            }
            const index_t beside = at.n * e.residual_n + c * e.residual_k + p * e.residual_p +
                                   q * e.residual_q;
            y[at.n * v.y_n + c * v.y_c + p * v.y_p + static_cast<index_t>(q) * v.y_q] =
                from_acc(epilogue(sum, c, beside));
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
        convolve_vectors(x, weight, epilogue, y, v, at);
    else
        convolve_elements(x, weight, epilogue, y, v, at);
}
