// pycnn/windows_wgmma.cuh: what convolutions on Hopper copy: pixels under the taps, by im2col maps,
// and filters.
#pragma once

#include <pycnn/conv_window.cuh>
#include <pycnn/gemm_wgmma.cuh>

// What a block multiplies: pixels under the taps, and filters.
struct Windows {
    const TensorMap &map_x, &map_w;
    const GemmParams& p;
    const EpilogueParams& e;
    const ConvWindow& window;
    Shared& shared;
    const Own own;
    // Of the next copy: its first pixel in the window's corner, and the tap and channels.
    int n, row_x, col_x, r, s, chunk;

    __device__ unsigned bytes() const { return own.bytes(false, false); }
    __device__ Terms terms(const BlockCoord& blk) const {
        const int all = static_cast<int>(ceil_div(p.k, BLK_K));
        const int part = ALONG > 1 ? cluster_rank() : blk.batch / p.inner;
        const int first = part * window.per_split;
        return {first, min(first + window.per_split, all)};
    }
    __device__ Row row(index_t m) const {
        if (p.flags & EVEN_ROWS) return {m * p.c_row, m * p.residual_row};
        const Pixel at = window.pixel(static_cast<int>(m));
        return {at.n * window.y_n + at.p * window.y_p + at.q * window.y_q,
                at.n * e.residual_n + at.p * e.residual_p + at.q * e.residual_q};
    }
    __device__ index_t part(index_t m) const { return m * p.c_row; }
    __device__ void load(const BlockCoord& blk, int k_tile, bool first, int stage) {
        if (first) {
            const Pixel at = window.pixel(static_cast<int>(blk.m) + own.rows.first());
            n = at.n;
            row_x = at.p * window.stride_h - window.top;
            col_x = at.q * window.stride_w - window.left;
            const int tap = k_tile / window.chunks;
            chunk = k_tile % window.chunks;
            r = tap / window.s;
            s = tap % window.s;
        }
        const int group = blk.batch % p.inner, c = chunk * BLK_K;
        const auto offset = [](int by) { return static_cast<unsigned short>(by); };
        const int filter = own.columns.first();
        tma_load_im2col_all<ACROSS>(shared.a[stage] + own.rows.first() * BLK_K, map_x,
                                    {group * window.x_group + c, col_x, row_x, n},
                                    {offset(window.first_w + s * window.step_w),
                                     offset(window.first_h + r * window.step_h)},
                                    &shared.full[stage]);
        tma_load_all<CLUSTER>(shared.b[stage] + filter * BLK_K, map_w,
                              {group * window.w_group + c, s, r,
                               group * window.w_row + static_cast<int>(blk.n) + filter},
                              &shared.full[stage]);
        if (++chunk < window.chunks) return;
        chunk = 0;
        if (++s < window.s) return;
        s = 0;
        ++r;
    }
};
