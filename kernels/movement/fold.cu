// movement/fold.cu: columns as sliding windows, summed where they overlap.
//
// Computes   y[n, c, h, w] = sum over (r,s,p,q) with h = p*stride_h - top + r*dilation_h and
//            w = q*stride_w - left + s*dilation_w of x[n, (c,r,s), (p,q)]
// Layout     x (N, C R S, P Q) any strides; y (N,C,H,W) contiguous
// Launch     fold: 4 rows of y of a column a thread, block 256 as a lattice, strips of 4 rows down and
//            columns across; grid: strips / those of a block. fold_direct: one thread an element of y
// Traffic    |x| + |y| bytes, |x| = N C R S P Q elements; |x| additions
// Range      any extents, 64-bit offsets; fold: an image of x and all rows of y below 2^31;
//            deterministic: window elements (r,s) one after the other
// Siblings   fold asks for 3 elements of each of 4 windows at once, where fold_direct has one under way,
//            and takes what 32 bits do not count. conv/im2col.cu does the same for a convolution
// Source     the transposed map of unfold.cu
//
// entry fold         4 rows a thread
// entry fold_direct  one element a thread
// variant SCALAR = floating
#include <pycnn/kernel.cuh>
#include <pycnn/copy_window.cuh>
#include <pycnn/lattice.cuh>

constexpr int THREADS = LATTICE_THREADS;
constexpr int ROWS = 4;  // of y, of a thread
constexpr int TAPS = 3;  // window elements that it asks for at once

// Blocks at once: 48 registers, with which 16 bits spill on sm_120.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1200
constexpr int RESIDENT = 4;
#else
constexpr int RESIDENT = sizeof(acc_t) == 4 ? 5 : 4;
#endif

// Windows, of `many`, whose element at `offset` is at `position`: the one there is, or -1.
__device__ __forceinline__ int window_at(int position, int offset, int stride, int many) {
    const int at = position - offset;
    const int window = stride == 1 ? at : static_cast<unsigned>(at) / static_cast<unsigned>(stride);
    return at >= 0 && window < many && window * stride == at ? window : -1;
}

extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT)
fold(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Windows v) {
    const int C = static_cast<int>(v.C), H = static_cast<int>(v.H), W = static_cast<int>(v.W);
    const int P = static_cast<int>(v.P), Q = static_cast<int>(v.Q);
    const int R = static_cast<int>(v.R), S = static_cast<int>(v.S);
    const int top = static_cast<int>(v.top), left = static_cast<int>(v.left);
    const int stride_h = static_cast<int>(v.stride_h), stride_w = static_cast<int>(v.stride_w);
    const int down = static_cast<int>(v.dilation_h), across = static_cast<int>(v.dilation_w);
    const int tap = static_cast<int>(v.c), pixel = static_cast<int>(v.w);
    const Lattice at(W);
    const int planes = static_cast<int>(v.N) * C, strips = (H + ROWS - 1) / ROWS;
    const int strip = static_cast<int>(blockIdx.x) * at.down + at.row;
    const int plane = static_cast<unsigned>(strip) / static_cast<unsigned>(strips);
    if (plane >= planes) return;
    const int image = static_cast<unsigned>(plane) / static_cast<unsigned>(C);
    x += image * v.n + static_cast<index_t>(plane - image * C) * (R * S) * v.c;
    const int h = (strip - plane * strips) * ROWS;
    y += (static_cast<index_t>(plane) * H + h) * W;

#pragma unroll 1
    for (int w = at.column; w < W; w += at.across) {
        acc_t sum[ROWS] = {};
#pragma unroll 1
        for (int r = 0; r < R; ++r) {
            int line[ROWS];
#pragma unroll
            for (int k = 0; k < ROWS; ++k) line[k] = window_at(h + k + top, r * down, stride_h, P);
#pragma unroll 1
            for (int from = 0; from < S; from += TAPS) {
                acc_t value[TAPS][ROWS];
#pragma unroll
                for (int t = 0; t < TAPS; ++t) {
                    const int s = from + t;
                    const int q = s < S ? window_at(w + left, s * across, stride_w, Q) : -1;
                    const int first = (r * S + s) * tap + q * pixel;
#pragma unroll
                    for (int k = 0; k < ROWS; ++k) {
                        value[t][k] = 0;
                        if ((line[k] | q) >= 0)
                            value[t][k] = to_acc(ldg(x + (first + line[k] * (Q * pixel))));
                    }
                }
#pragma unroll
                for (int t = 0; t < TAPS; ++t)
#pragma unroll
                    for (int k = 0; k < ROWS; ++k) sum[k] += value[t][k];
            }
        }
#pragma unroll
        for (int k = 0; k < ROWS; ++k)
            if (h + k < H) y[k * W + w] = from_acc(sum[k]);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
fold_direct(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Windows v) {
    const index_t flat = flat_thread(), plane = flat / (v.H * v.W);
    if (plane >= v.N * v.C) return;
    const index_t h = flat / v.W % v.H + v.top, w = flat % v.W + v.left;
    x += plane / v.C * v.n + plane % v.C * v.R * v.S * v.c;
    acc_t sum = 0;
    for (index_t r = 0; r < v.R; ++r) {
        const index_t p = floor_div(h - r * v.dilation_h, v.stride_h);
        if (p < 0 || p >= v.P || p * v.stride_h != h - r * v.dilation_h) continue;
        for (index_t s = 0; s < v.S; ++s) {
            const index_t q = floor_div(w - s * v.dilation_w, v.stride_w);
            if (q < 0 || q >= v.Q || q * v.stride_w != w - s * v.dilation_w) continue;
            sum += to_acc(x[(r * v.S + s) * v.c + (p * v.Q + q) * v.w]);
        }
    }
    y[flat] = from_acc(sum);
}
