// pycnn/depthwise_input.cuh: gradients with respect to x of convolutions of stride 2 whose groups
// have one channel and one filter.
//
// dx is divided into cells of 2x2 elements, which WINDOW x WINDOW elements of dy reach. The newest of
// these rows and columns is that of the next cell; counted back from there, element (d, e) meets in
// element (f, g) of the cell tap (tap_of(d, f), tap_of(e, g)). Where padding is half a filter, cells
// begin with dx; where it differs by an odd number, an element before. StripParams are those of the
// convolution itself: x stands for dx, and `rows` are of cells.
#pragma once

#include <pycnn/depthwise_strips.cuh>

constexpr int WINDOW = (KSIZE + 1) / 2;
constexpr int PHASE = KSIZE / 2 % 2;  // of the first element of a cell

// Some have none: less than 0 or KSIZE.
__device__ __forceinline__ constexpr int tap_of(int back, int element) {
    return 2 * back + element - PHASE;
}
__device__ __forceinline__ constexpr bool is_tap(int tap) { return tap >= 0 && tap < KSIZE; }

// Where cells lie along an axis.
struct Cells {
    int before;  // elements of the first one that dx does not have: 0 or 1
    int count;
    int newest;  // of dy, of the first one

    __device__ __forceinline__ Cells(int padding, int extent)
        : before((padding + PHASE) & 1),
          count((extent + before + 1) / 2),
          newest((padding + PHASE - before) / 2) {}
};

// How strips are counted: `v` with cells for outputs.
__device__ __forceinline__ StripParams in_cells(StripParams v, const Cells& down,
                                                const Cells& across) {
    v.p = down.count;
    v.q = across.count;
    return v;
}

// One element of dx, for which every element of dy is loaded.
__device__ __forceinline__ void gather_element(const scalar_t* __restrict__ dy,
                                               const scalar_t* __restrict__ weight,
                                               const Epilogue& epilogue, scalar_t* __restrict__ dx,
                                               const StripParams& v, int n, int c, int h, int w) {
    const EpilogueParams& e = epilogue.p;
    acc_t sum = 0;
#pragma unroll 1
    for (int r = (h + v.top) % 2; r < KSIZE; r += 2)
#pragma unroll 1
        for (int s = (w + v.left) % 2; s < KSIZE; s += 2) {
            const int p = (h + v.top - r) / 2, q = (w + v.left - s) / 2;
            if (h + v.top < r || w + v.left < s || p >= v.p || q >= v.q) continue;
            sum += to_acc(ldg(dy + n * v.y_n + c * v.y_c + p * v.y_p +
                              static_cast<index_t>(q) * v.y_q)) *
                   to_acc(ldg(weight + c * v.w_c + r * v.w_r + s * v.w_s));
        }
    const index_t beside =
        n * e.residual_n + c * e.residual_k + h * e.residual_p + w * e.residual_q;
    dx[n * v.x_n + c * v.x_c + h * v.x_h + static_cast<index_t>(w) * v.x_w] =
        from_acc(epilogue(sum, c, beside));
}
