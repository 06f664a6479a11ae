// movement/unfold.cu: sliding windows of x, each as a column.
//
// Computes   y[n, (c,r,s), (p,q)] = x[n, c, h, w], 0 in padding, h = p*stride_h - top +
//            r*dilation_h and w = q*stride_w - left + s*dilation_w
// Layout     x (N,C,H,W) any strides; y (N, C R S, P Q) contiguous
// Launch     unfold: a plane's windows of some rows p a block, block 256, grid: N C times bands;
//            shared: the rows of x below them, with their padding. unfold_direct: one thread an
//            element of y
// Traffic    |x| + |y| bytes, |y| = N C R S P Q elements; no arithmetic
// Range      any extents, 64-bit offsets
// Siblings   unfold reads x once and writes whole sectors; unfold_direct takes windows that
//            shared memory does not hold. conv/im2col.cu makes columns of other layouts, axes and padding
// Source     K. Chellapilla, S. Puri, P. Simard, "High performance convolutional neural networks
//            for document processing", 2006, section 3.1
//
// entry unfold         through shared memory
// entry unfold_direct  one element a thread
// variant BYTES = itemsizes
#include <pycnn/copy.cuh>
#include <pycnn/copy_window.cuh>
#include <pycnn/copy_stage.cuh>

constexpr int GROUP = BYTES < 8 ? 4 : 2;  // neighbours along q that a thread stores together

// Windows that come in whole groups along q: a thread takes a group of them through all taps.
__device__ __forceinline__ void store_groups(const element* sX, element* y, int rows, int width,
                                             const Windows& v) {
    using Vec = Block<element, GROUP>;
    const int columns = static_cast<int>(v.Q) / GROUP, across = static_cast<int>(v.stride_w);
    const int down = static_cast<int>(v.stride_h) * width;
    const int next_r = static_cast<int>(v.dilation_h) * width;
    const int next_s = static_cast<int>(v.dilation_w);
    const int taps_r = static_cast<int>(v.R), taps_s = static_cast<int>(v.S);
    const index_t plane = v.P * v.Q / GROUP;
    for (RowWalk<COPY_THREADS> at(threadIdx.x, columns); at.t < rows * columns; at.next()) {
        const element* from = sX + at.row * down + at.column * GROUP * across;
        Vec* to = reinterpret_cast<Vec*>(y) + at.t;
        for (int r = 0; r < taps_r; ++r, from += next_r) {
            const element* of_tap = from;
#pragma unroll 3
            for (int s = 0; s < taps_s; ++s, of_tap += next_s, to += plane) {
                Vec group;
#pragma unroll
                for (int k = 0; k < GROUP; ++k) group.at[k] = of_tap[k * across];
                *to = group;
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(COPY_THREADS)
unfold(const element* __restrict__ x, element* __restrict__ y, Windows v) {
    extern __shared__ __align__(16) unsigned char shared[];
    element* const sX = reinterpret_cast<element*>(shared);

    index_t plane = blockIdx.x;
    const index_t p0 = next_tile(plane, v.P, v.band);
    const int rows = static_cast<int>(p0 + v.band < v.P ? v.band : v.P - p0);
    const int height = static_cast<int>((rows - 1) * v.stride_h + (v.R - 1) * v.dilation_h + 1);
    const int width = static_cast<int>((v.Q - 1) * v.stride_w + (v.S - 1) * v.dilation_w + 1);
    const index_t h0 = p0 * v.stride_h - v.top;
    x += plane / v.C * v.n + plane % v.C * v.c;
#pragma unroll 4
    for (RowWalk<COPY_THREADS> at(threadIdx.x, width); at.t < height * width; at.next()) {
        const index_t h = h0 + at.row, w = at.column - v.left;
        const bool exists = h >= 0 && h < v.H && w >= 0 && w < v.W;
        sX[at.t] = exists ? x[h * v.h + w * v.w] : element(0);
    }
    __syncthreads();

    const int columns = static_cast<int>(v.Q);
    y += plane * v.R * v.S * v.P * v.Q + p0 * v.Q;
    if (columns % GROUP == 0 && aligned_to<element, GROUP>(y)) {
        store_groups(sX, y, rows, width, v);
        return;
    }
    const int down = static_cast<int>(v.stride_h) * width, across = static_cast<int>(v.stride_w);
    for (int r = 0; r < v.R; ++r)
        for (int s = 0; s < v.S; ++s, y += v.P * v.Q) {
            const element* const of_tap = sX + r * v.dilation_h * width + s * v.dilation_w;
            RowWalk<COPY_THREADS> at(static_cast<int>(threadIdx.x) - sector_skew(y), columns);
#pragma unroll 4
            for (; at.t < rows * columns; at.next())
                y[at.t] = of_tap[at.row * down + at.column * across];
        }
}

extern "C" __global__ void __launch_bounds__(COPY_THREADS)
unfold_direct(const element* __restrict__ x, element* __restrict__ y, Windows v) {
    const index_t flat = flat_thread();
    if (flat >= v.N * v.C * v.R * v.S * v.P * v.Q) return;
    const index_t q = flat % v.Q, p = flat / v.Q % v.P;
    index_t rest = flat / (v.P * v.Q);
    const index_t s = rest % v.S, r = rest / v.S % v.R;
    rest /= v.R * v.S;  // n * C + c
    const index_t h = p * v.stride_h - v.top + r * v.dilation_h;
    const index_t w = q * v.stride_w - v.left + s * v.dilation_w;
    const bool exists = h >= 0 && h < v.H && w >= 0 && w < v.W;
    const index_t from = rest / v.C * v.n + rest % v.C * v.c + h * v.h + w * v.w;
    y[flat] = exists ? x[from] : element(0);
}
