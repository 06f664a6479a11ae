// conv/depthwise.cu: convolution with one filter for each channel, rows in registers, NCHW.
//
// Computes   y[n,c,p,q] = epilogue(sum_{r,s} w[c,0,r,s] x[n,c, p*STRIDE - top + r, ...]), and with
//            STRIDE 1 its gradient with respect to x, which is this with the filter rotated
// Layout     x (N,C,H,W), w (C,1,KSIZE,KSIZE), y (N,C,P,Q): any strides
// Launch     a group of 8, 16 or 32 lanes for a strip of rows, up to 64 columns wide, of a channel of
//            an image; block 128; grid of all lane groups, flat, columns fastest; no shared memory
// Traffic    |x| + |w| + |y|, and KSIZE - 1 rows more of x for every strip; KSIZE^2 multiplications
//            an output, and KSIZE - 1 shuffles a row
// Range      filters of 3x3 and 5x5, stride 1 or 2 along both axes, dilation 1, zeros beyond x;
//            64-bit offsets
// Siblings   depthwise_nhwc where channels are neighbours in memory; direct takes any filter, and
//            loads every element of x KSIZE^2 times
// Source     rows in registers: Zhang, Franchetti, Low, "High performance depthwise and pointwise
//            convolutions on mobile devices", AAAI 2020, section 3
//
// entry depthwise_forward        convolution, a group of lanes for a strip of rows
// variant SCALAR = floating
// variant KSIZE = 3, 5
// variant STRIDE = 1, 2
#include <pycnn/depthwise.cuh>
#include <pycnn/epilogue.cuh>

// The filter of a channel in every lane; a whole warp loads each tap once.
__device__ __forceinline__ void load_taps(acc_t* taps, const scalar_t* filter,
                                          const DepthwiseParams& v, int lane) {
    const auto tap = [&](int i) {
        return to_acc(filter[i / KSIZE * v.conv.w_r + i % KSIZE * v.conv.w_s]);
    };
    if (v.lanes < 32) {
#pragma unroll
        for (int i = 0; i < TAPS; ++i) taps[i] = tap(i);
        return;
    }
    const acc_t mine = lane < TAPS ? tap(lane) : acc_t(0);
#pragma unroll
    for (int i = 0; i < TAPS; ++i) taps[i] = __shfl_sync(FULL_MASK, mine, i);
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
depthwise_forward(const scalar_t* __restrict__ x, const scalar_t* __restrict__ weight,
                  const scalar_t* __restrict__ bias, const scalar_t* __restrict__ scale,
                  const scalar_t* __restrict__ shift, const scalar_t* __restrict__ residual,
                  scalar_t* __restrict__ y, DepthwiseParams v, EpilogueParams e) {
    const int lane = threadIdx.x & (v.lanes - 1);
    const Partition at(v, flat_thread() / v.lanes, v.lanes * v.chunks);
    const scalar_t* const image = x + at.n * v.conv.x_n + at.c * v.conv.x_c;
    acc_t taps[TAPS];
    load_taps(taps, weight + (at.exists ? at.c : 0) * v.conv.w_g, v, lane);

    // sum[k]: of the outputs k rows above the one whose first tap is at hand.
    acc_t sum[OUT_ROWS][CHUNKS] = {};
    const Epilogue epilogue{bias, scale, shift, residual, e};
    for (int i = 0; i < v.rows + OUT_ROWS - 1; ++i) {
#pragma unroll
        for (int t = 0; t < STRIDE; ++t) {
            if (t > 0 && i == v.rows + OUT_ROWS - 2) break;  // the last outputs are complete
            const int h = (at.p + i) * STRIDE - v.conv.top + t;
            Row<> row;
            row.load(image + h * v.conv.x_h, at.exists && inside(h, v.conv.h), v, at.q, lane);
#pragma unroll
            for (int s = 0; s < KSIZE; ++s)
#pragma unroll
                for (int j = 0; j < CHUNKS; ++j) {
                    if (j >= v.chunks) continue;
                    const acc_t value = row.under(s, j, v, lane);
#pragma unroll
                    for (int k = 0; k < OUT_ROWS; ++k)
                        if (t + STRIDE * k < KSIZE)
                            sum[k][j] += value * taps[(t + STRIDE * k) * KSIZE + s];
                }
            if (t > 0) continue;
            const int p = at.p + i - (OUT_ROWS - 1);
            if (!at.exists || p < at.p || p >= at.p_end) continue;
#pragma unroll
            for (int j = 0; j < CHUNKS; ++j) {
                const int q = at.q + j * v.lanes + lane;
                if (j >= v.chunks || q >= v.conv.q) continue;
                const index_t residual_at = at.n * e.residual_n + at.c * e.residual_k +
                                            p * e.residual_p + q * e.residual_q;
                y[at.n * v.conv.y_n + at.c * v.conv.y_k + p * v.conv.y_p + q * v.conv.y_q] =
                    from_acc(epilogue(sum[OUT_ROWS - 1][j], at.c, residual_at));
            }
        }
#pragma unroll
        for (int j = 0; j < CHUNKS; ++j) {
#pragma unroll
            for (int k = OUT_ROWS - 1; k > 0; --k) sum[k][j] = sum[k - 1][j];
            sum[0][j] = 0;
        }
    }
}
