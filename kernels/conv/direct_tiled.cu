// conv/direct_tiled.cu: convolution from tiles in shared memory, 4 pixels x 8 filters a thread.
//
// Computes   y[n,k,p,q] = epilogue(sum_{c,r,s} w[k,c,r,s] x[n,c, h(p,r), w(q,s)]),
//            h(p,r) = p*stride_h - top + r*dilation_h, w(q,s) alike; beyond the edges of x zero, or
//            the element that reflection, the nearest edge or the period leads to.
//            The gradient with respect to x is this as well: for every residue of the position
//            modulo the stride, a convolution of dy, stride 1, with the filter taps that reach it
// Layout     x (N,C,H,W), w (K,C/G,R,S), bias, y (N,K,P,Q): any strides
// Launch     block 128 as (pixel, filter) threads; a block computes 4*pixel_threads outputs of one
//            image, tile_p x tile_q, for 8*filter_threads filters; grid of all tiles, flat, filters
//            fastest. Dynamic shared memory: some channels of the input tile with its halo, and of
//            the taps, for as many filter rows as the plan lets in (at most 48 KiB)
// Traffic    x is read K/G / (8*filter_threads) times (and its halo), w once for every tile of
//            pixels; 2 N K P Q (C/G) R S flop, 32 of them pairs for every 6 shared loads
// Range      extents up to 2^31 - 2^16 with padding, 64-bit offsets; a tile with its halo must fit
//            in shared memory. Zeros beyond x are multiplied, and those beyond dy in the gradient,
//            which has no other padding
// Siblings   faster than direct: a load serves 4 or 8 multiplications; slower when a group has
//            fewer filters than a thread. im2col needs memory for the columns, this one does not
// Banks      a warp reads pixels from 32 different banks (the plan pads rows to that end, and
//            columns are sorted by their residue modulo the stride), and taps by broadcast
// Source     tiles with halo: D. Kirk, W. Hwu, Programming Massively Parallel Processors, ch. 7;
//            register blocking: V. Volkov, J. Demmel, SC 2008
//
// entry direct_tiled_forward     convolution from tiles in shared memory; also a residue of dx
// variant SCALAR = floating
#include <pycnn/conv.cuh>
#include <pycnn/epilogue.cuh>

// All in step with pycnn/plan/conv_tiled.py.
constexpr int THREADS = 128;
constexpr int PIXELS = 4, FILTERS = 8;  // outputs of a thread
constexpr int CHANNELS = 8;             // staged at a time, at most
constexpr int TAP_PADDING = 4;          // spreads a column of taps over the banks when it is stored

struct TiledParams {
    ConvParams conv;
    int tile_p, tile_q;
    int channels, filter_rows;  // staged at a time; at most CHANNELS
    int halo_rows, halo_cols;   // of the input tile
    int sub_pitch, pitch;       // from one residue of the column to the next, from row to row
};

struct alignas(16) Vec4 {
    acc_t value[4];
};

// What a block computes.
struct BlockCoord {
    int n, group, k, p, q;  // the first of each

    __device__ BlockCoord(const TiledParams& t, int filters) {
        unsigned block = blockIdx.x;
        k = next_tile(block, t.conv.k, filters);
        q = next_tile(block, t.conv.q, t.tile_q);
        p = next_tile(block, t.conv.p, t.tile_p);
        group = next_coordinate(block, t.conv.groups);
        n = block;
    }
};

// The input that the tile needs for tap rows from `tap_row` on. Positions that no output in y needs
// may lie further beyond the edges than the padding, where no element stands for them.
__device__ __forceinline__ void load_pixels(acc_t* sX, const scalar_t* x,
                                            const TiledParams& t, const BlockCoord& blk,
                                            int tap_row, int channels, int thread) {
    const ConvParams& v = t.conv;
    const int h0 = blk.p * v.stride_h - v.top + tap_row * v.dilation_h;
    const int w0 = blk.q * v.stride_w - v.left;
    const int plane = t.halo_rows * t.pitch;
    for (int i = thread; i < t.halo_rows * t.halo_cols; i += THREADS) {
        const int row = i / t.halo_cols, col = i % t.halo_cols;
        const int h = element_at(h0 + row, v.h, v.mode), w = element_at(w0 + col, v.w, v.mode);
        const bool exists = inside(h, v.h) && inside(w, v.w);
        const scalar_t* const from = x + h * v.x_h + w * v.x_w;
        acc_t* const to = sX + row * t.pitch + col % v.stride_w * t.sub_pitch + col / v.stride_w;
        for (int c = 0; c < channels; ++c)
            to[c * plane] = exists ? to_acc(from[c * v.x_c]) : acc_t(0);
    }
}

// Taps [row][s][channel][filter]; zero beyond the last filter.
__device__ __forceinline__ void load_taps(acc_t* sW, const scalar_t* weight,
                                          const TiledParams& t, int first_k, int filters,
                                          int rows, int channels, int thread) {
    const ConvParams& v = t.conv;
    const int c = thread % CHANNELS, pitch = filters + TAP_PADDING;
    if (c >= channels) return;
    for (int k = thread / CHANNELS; k < filters; k += THREADS / CHANNELS) {
        const bool exists = first_k + k < v.k;
        const scalar_t* const from = weight + (first_k + k) * v.w_k + c * v.w_c;
        acc_t* to = sW + c * pitch + k;
        for (int r = 0; r < rows; ++r)
            for (int s = 0; s < v.s; ++s, to += t.channels * pitch)
                *to = exists ? to_acc(from[r * v.w_r + s * v.w_s]) : acc_t(0);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 3)
direct_tiled_forward(const scalar_t* __restrict__ x, const scalar_t* __restrict__ weight,
                     const scalar_t* __restrict__ bias, const scalar_t* __restrict__ scale,
                     const scalar_t* __restrict__ shift, const scalar_t* __restrict__ residual,
                     scalar_t* __restrict__ y, TiledParams t, EpilogueParams e) {
    extern __shared__ __align__(16) acc_t sW[];
    const ConvParams& v = t.conv;
    const int filters = FILTERS * blockDim.y, tap_pitch = filters + TAP_PADDING;
    acc_t* const sX = sW + t.filter_rows * v.s * t.channels * tap_pitch;
    const int thread = threadIdx.y * blockDim.x + threadIdx.x;

    const BlockCoord blk(t, filters);
    x += blk.n * v.x_n + static_cast<index_t>(blk.group) * v.c * v.x_c;
    weight += blk.group * v.w_g;
    // A thread's pixels lie below each other, `row_step` rows apart.
    const int row = threadIdx.x / t.tile_q, col = threadIdx.x % t.tile_q;
    const int row_step = blockDim.x / t.tile_q, plane = t.halo_rows * t.pitch;
    const int pixel_step = row_step * v.stride_h * t.pitch;
    const acc_t* const thr_sX = sX + row * v.stride_h * t.pitch + col;
    const acc_t* const thr_sW = sW + threadIdx.y * FILTERS;

    acc_t acc[FILTERS][PIXELS] = {};
    for (int c0 = 0; c0 < v.c; c0 += t.channels) {
        const int channels = v.c - c0 < t.channels ? v.c - c0 : t.channels;
        for (int r0 = 0; r0 < v.r; r0 += t.filter_rows) {
            const int rows = v.r - r0 < t.filter_rows ? v.r - r0 : t.filter_rows;
            __syncthreads();  // the previous stage has been used
            load_pixels(sX, x + c0 * v.x_c, t, blk, r0, channels, thread);
            load_taps(sW, weight + c0 * v.w_c + r0 * v.w_r, t, blk.k, filters, rows, channels,
                      thread);
            __syncthreads();
            for (int s = 0; s < v.s; ++s) {
                const int shift = s * v.dilation_w;
                const int column = shift % v.stride_w * t.sub_pitch + shift / v.stride_w;
                for (int r = 0; r < rows; ++r) {
                    const acc_t* pixel = thr_sX + r * v.dilation_h * t.pitch + column;
                    const acc_t* tap = thr_sW + (r * v.s + s) * t.channels * tap_pitch;
#pragma unroll 2
                    for (int c = 0; c < channels; ++c, pixel += plane, tap += tap_pitch) {
                        acc_t rX[PIXELS];
                        Vec4 rW[FILTERS / 4];
#pragma unroll
                        for (int i = 0; i < PIXELS; ++i) rX[i] = pixel[i * pixel_step];
#pragma unroll
                        for (int j = 0; j < FILTERS / 4; ++j)
                            rW[j] = reinterpret_cast<const Vec4*>(tap)[j];
#pragma unroll
                        for (int j = 0; j < FILTERS; ++j)
#pragma unroll
                            for (int i = 0; i < PIXELS; ++i)
                                acc[j][i] += rX[i] * rW[j / 4].value[j % 4];
                    }
                }
            }
        }
    }
    const Epilogue epilogue{bias, scale, shift, residual, e};
    const int q = blk.q + col;
#pragma unroll
    for (int j = 0; j < FILTERS; ++j) {
        const int k = blk.k + threadIdx.y * FILTERS + j;
        const index_t filter = static_cast<index_t>(blk.group) * v.k + k;
#pragma unroll
        for (int i = 0; i < PIXELS; ++i) {
            const int p = blk.p + row + i * row_step;
            if (k >= v.k || p >= v.p || q >= v.q) continue;
            const index_t residual_at = blk.n * e.residual_n + filter * e.residual_k +
                                        p * e.residual_p + q * e.residual_q;
            y[blk.n * v.y_n + filter * v.y_k + p * v.y_p + q * v.y_q] =
                from_acc(epilogue(acc[j][i], filter, residual_at));
        }
    }
}
