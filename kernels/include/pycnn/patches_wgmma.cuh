// pycnn/patches_wgmma.cuh: what a convolution of 3x3 copies where three taps below each other read the
// same pixels: patches of 8x10, and filters.
//
// A tile has 8x8 pixels for every warpgroup. Under one column of taps their windows are 8 wide and 10
// high; a line of 8 pixels is the 8 rows after which the swizzle repeats, so that the window of the
// next tap begins a line further on in the same patch.
#pragma once

#define TAPS 3
#include <pycnn/conv_window.cuh>
#include <pycnn/gemm_wgmma.cuh>

constexpr int SIDE = 8;  // of the pixels of a warpgroup

struct Patches {
    const TensorMap &map_x, &map_w;
    const EpilogueParams& e;
    const ConvWindow& window;  // p and q count what warpgroups have, not pixels
    Shared& shared;
    const Own own;

    __device__ unsigned bytes() const {
        constexpr unsigned ROW = BLK_K * sizeof(element_t);
        return (A_ROWS + TAPS * own.columns.count(false)) * ROW;
    }
    __device__ Terms terms(const BlockCoord&) const { return {0, window.s * window.chunks}; }
    // The first pixel of what a warpgroup has, by the first of its rows.
    __device__ Pixel corner(int m) const {
        const Pixel at = window.pixel(m / WARPGROUP_M);
        return {at.n, at.p * SIDE, at.q * SIDE};
    }
    __device__ Row row(index_t m) const {
        const Pixel at = corner(static_cast<int>(m));
        const int p = at.p + static_cast<int>(m) % WARPGROUP_M / SIDE;
        const int q = at.q + static_cast<int>(m) % SIDE;
        return {at.n * window.y_n + p * window.y_p + q * window.y_q,
                at.n * e.residual_n + p * e.residual_p + q * e.residual_q};
    }
    // One column of taps, and 128 bytes of channels.
    __device__ void load(const BlockCoord& blk, int k_tile, bool, int stage) {
        const int s = k_tile / window.chunks, c = (k_tile - s * window.chunks) * BLK_K;
        mbarrier_t* const full = &shared.full[stage];
#pragma unroll 1
        for (int group = 0; group < CONSUMERS; ++group) {
            const Pixel at = corner(static_cast<int>(blk.m) + group * WARPGROUP_M);
            tma_load(shared.a[stage] + group * WARPGROUP_ROWS * BLK_K, map_x,
                     {c, at.q - window.left + window.first_w + s * window.step_w,
                      at.p - window.top, at.n},
                     full);
        }
        const int first = own.columns.first();
#pragma unroll 1
        for (int tap = 0; tap < TAPS; ++tap)  // steps of 1 or -1
            tma_load_all<CLUSTER>(
                shared.b[stage] + (tap * BLK_N + first) * BLK_K, map_w,
                {c, s, (tap - window.first_h) * window.step_h, static_cast<int>(blk.n) + first},
                full);
    }
};

__device__ __forceinline__ Place place_in_map(const Patches& work, const Output& out, int row,
                                              int column) {
    const int m = static_cast<int>(out.m) + row;
    const Pixel at = work.corner(m);
    return {{static_cast<int>(out.n) + column, at.q, at.p + m % WARPGROUP_M / SIDE, at.n}};
}
