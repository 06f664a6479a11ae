// conv/depthwise_input.cu: gradient of a depthwise convolution of stride 2 with respect to x.
//
// Computes   dx[n,c,h,w] = epilogue(sum over r, s of w[c,0,r,s] dy[n,c, (h + top - r) / 2,
//            (w + left - s) / 2], where these divide): four convolutions of stride 1, one for the
//            even and the odd h and w, with the taps of their parity
// Layout     dy (N,C,P,Q), w (C,1,KSIZE,KSIZE) rotated, dx (N,C,H,W): any strides
// Launch     as depthwise.cu; with channels last, as depthwise_nhwc.cu, 14 columns wide. For one
//            output there, 2x2 here
// Traffic    |dy| + |w| + |dx|; (KSIZE - 1) / 2 rows more of dy for every strip, and as many
//            columns with channels last. Lanes store pairs where neighbours in memory are columns
// Range      filters of 3x3 and 5x5, stride 2 along both axes, dilation 1, zeros beyond x; 64-bit
//            offsets. Gathered, in one order: deterministic
// Siblings   with stride 1 depthwise and depthwise_nhwc, on the rotated filter
// Source     as depthwise.cu; the four parities: Shi et al., "Is the deconvolution layer the same
//            as a convolutional layer?", arXiv 1609.07009, 2016
//
// entry depthwise_input          gradient of x at stride 2, a group of lanes for a strip of rows
// entry depthwise_nhwc_input     gradient of x at stride 2, a warp for a strip of 32 channels
// variant SCALAR = floating
// variant KSIZE = 3, 5
#include <pycnn/depthwise.cuh>
#include <pycnn/epilogue.cuh>

// The 2x2 outputs of a lane have a window of WINDOW x WINDOW elements of dy in common. Element
// (k, s) meets, for output (f, g), tap (2k + odd_top - f, 2s + odd_left - g) of the rotated filter.
constexpr int WINDOW = (KSIZE + 1) / 2;
constexpr int PAIRS = 7;  // of columns, with channels last: half of `WIDE` in the plan

// A filter by its slots: tap (r, s) is in slot (r + 1 - odd_top, s + 1 - odd_left), which does not
// depend on the padding for an element and an output. One row and one column of slots have no tap.
struct Slots {
    acc_t tap[KSIZE + 1][KSIZE + 1];
    bool odd_top, odd_left;

    template <typename Tap>
    __device__ __forceinline__ Slots(const DepthwiseParams& v, const Tap& tap_at)
        : odd_top(v.odd_top), odd_left(v.odd_left) {
#pragma unroll
        for (int i = 0; i <= KSIZE; ++i)
#pragma unroll
            for (int j = 0; j <= KSIZE; ++j) {
                const bool exists = has(i, odd_top) && has(j, odd_left);
                tap[i][j] =
                    exists ? tap_at((i + odd_top - 1) * KSIZE + j + odd_left - 1) : acc_t(0);
            }
    }
    static __device__ __forceinline__ bool has(int slot, bool odd) {
        return (slot > 0 || odd) && (slot < KSIZE || !odd);
    }
    // Of output (f, g). A slot with no tap must not count: 0 * infinity would.
    template <typename Element>
    __device__ __forceinline__ acc_t sum(int f, int g, const Element& element) const {
        acc_t sum = 0;
#pragma unroll
        for (int k = 0; k < WINDOW; ++k)
#pragma unroll
            for (int s = 0; s < WINDOW; ++s) {
                const int i = 2 * k + 1 - f, j = 2 * s + 1 - g;
                if (has(i, odd_top) && has(j, odd_left)) sum += tap[i][j] * element(k, s);
            }
        return sum;
    }
};

extern "C" __global__ void __launch_bounds__(THREADS, 1)
depthwise_input(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ weight,
                const scalar_t* __restrict__ bias, const scalar_t* __restrict__ scale,
                const scalar_t* __restrict__ shift, const scalar_t* __restrict__ residual,
                scalar_t* __restrict__ dx, DepthwiseParams v, EpilogueParams e) {
    const int lane = threadIdx.x & (v.lanes - 1);
    const Partition at(v, flat_thread() / v.lanes, 2 * v.lanes * v.chunks);
    const scalar_t* const image = dy + at.n * v.conv.x_n + at.c * v.conv.x_c;
    const scalar_t* const filter = weight + at.c * v.conv.w_g;
    const auto tap = [&](int i) {
        return to_acc(filter[i / KSIZE * v.conv.w_r + i % KSIZE * v.conv.w_s]);
    };
    const bool warp = v.lanes == 32;  // which loads each tap once
    const acc_t mine = warp && lane < TAPS ? tap(lane) : acc_t(0);
    const Slots slots(v, [&](int i) { return warp ? __shfl_sync(FULL_MASK, mine, i) : tap(i); });

    acc_t window[WINDOW][WINDOW][CHUNKS] = {};
    const Epilogue epilogue{bias, scale, shift, residual, e};
    for (int i = 0; i < v.rows / 2 + WINDOW - 1; ++i) {
        const int p = at.p / 2 + i - v.conv.top;
        Row<WINDOW> row;
        row.load(image + p * v.conv.x_h, at.exists && inside(p, v.conv.h), v, at.q / 2, lane);
#pragma unroll
        for (int s = 0; s < WINDOW; ++s)
#pragma unroll
            for (int j = 0; j < CHUNKS; ++j) {
#pragma unroll
                for (int k = 1; k < WINDOW; ++k) window[k - 1][s][j] = window[k][s][j];
                if (j < v.chunks) window[WINDOW - 1][s][j] = row.under(s, j, v, lane);
            }
        const int h = at.p + 2 * (i - (WINDOW - 1));
        if (!at.exists || h < at.p) continue;
#pragma unroll
        for (int j = 0; j < CHUNKS; ++j) {
            const int w = at.q + 2 * (j * v.lanes + lane);
            if (j >= v.chunks || w >= v.conv.q) continue;
#pragma unroll
            for (int f = 0; f < 2; ++f) {
                if (h + f >= at.p_end) continue;
                scalar_t* const to = dx + at.n * v.conv.y_n + at.c * v.conv.y_k +
                                   (h + f) * v.conv.y_p + w * v.conv.y_q;
                Pair pair;
#pragma unroll
                for (int g = 0; g < 2; ++g) {
                    if (w + g >= v.conv.q) continue;
                    const acc_t sum =
                        slots.sum(f, g, [&](int k, int s) { return window[k][s][j]; });
                    const index_t residual_at = at.n * e.residual_n + at.c * e.residual_k +
                                                (h + f) * e.residual_p + (w + g) * e.residual_q;
                    pair.value[g] = from_acc(epilogue(sum, at.c, residual_at));
                }
                if (v.pairs && reinterpret_cast<size_t>(to) % sizeof(Pair) == 0) {
                    *reinterpret_cast<Pair*>(to) = pair;
                } else {
                    to[0] = pair.value[0];
                    if (w + 1 < v.conv.q) to[v.conv.y_q] = pair.value[1];
                }
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
depthwise_nhwc_input(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ weight,
                     const scalar_t* __restrict__ bias, const scalar_t* __restrict__ scale,
                     const scalar_t* __restrict__ shift, const scalar_t* __restrict__ residual,
                     scalar_t* __restrict__ dx, DepthwiseParams v, EpilogueParams e) {
    __shared__ acc_t filters[LANES * TAPS];
    const LanePartition at(v, 2 * PAIRS);
    load_filters(filters, weight, v, at.c - threadIdx.x);
    if (!at.exists) return;
    const Slots slots(v, [&](int i) { return filters[threadIdx.x * TAPS + i]; });

    const scalar_t* const image = dy + at.n * v.conv.x_n + at.c * v.conv.x_c;
    const Epilogue epilogue{bias, scale, shift, residual, e};
    acc_t window[WINDOW][PAIRS + WINDOW - 1] = {};
#pragma unroll 1
    for (int h = at.p - 2 * (WINDOW - 1); h < at.p_end; h += 2) {
        const int p = h / 2 + WINDOW - 1 - v.conv.top;
        const bool row_exists = inside(p, v.conv.h);
        const scalar_t* const row = image + p * v.conv.x_h;
#pragma unroll
        for (int u = 0; u < PAIRS + WINDOW - 1; ++u) {
#pragma unroll
            for (int k = 1; k < WINDOW; ++k) window[k - 1][u] = window[k][u];
            const int q = at.q / 2 + u - v.conv.left;
            const bool exists = row_exists && inside(q, v.conv.w);
            window[WINDOW - 1][u] = exists ? to_acc(row[q * v.conv.x_w]) : acc_t(0);
        }
        if (h < at.p) continue;
#pragma unroll
        for (int f = 0; f < 2; ++f) {
            if (h + f >= at.p_end) break;
            index_t to = at.n * v.conv.y_n + at.c * v.conv.y_k + (h + f) * v.conv.y_p +
                         at.q * v.conv.y_q;
            index_t residual_at = at.n * e.residual_n + at.c * e.residual_k +
                                  (h + f) * e.residual_p + at.q * e.residual_q;
#pragma unroll
            for (int j = 0; j < 2 * PAIRS; ++j) {
                if (at.q + j >= v.conv.q) break;
                const acc_t sum =
                    slots.sum(f, j % 2, [&](int k, int s) { return window[k][j / 2 + s]; });
                dx[to] = from_acc(epilogue(sum, at.c, residual_at));
                to += v.conv.y_q;
                residual_at += e.residual_q;
            }
        }
    }
}
