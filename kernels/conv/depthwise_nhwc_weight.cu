// conv/depthwise_nhwc_weight.cu: gradient of a depthwise convolution with respect to w, where the
// channels are neighbours in memory.
//
// Computes   part[i,c,r,s] = sum of dy[n,c,p,q] x[n,c, p*STRIDE - top + r, q*STRIDE - left + s] over
//            the (n,p,q) of a strip of rows; conv_add_parts of sums.cu adds the parts
// Layout     x (N,C,H,W), dy (N,C,P,Q): any strides; part (parts,C,KSIZE,KSIZE) contiguous, in the
//            type of sums
// Launch     block (32, 4): a lane has one channel, a warp a strip of rows, 14 or 7 columns wide, of
//            one image; grid of all strips by fours, groups of 32 channels fastest
// Traffic    |x| + |dy|; KSIZE - 1 rows more of x for every strip, and KSIZE - STRIDE columns
// Range      as depthwise_nhwc.cu. Sums in an order that depends on the shape alone: deterministic
// Siblings   depthwise_weight where pixels are neighbours in memory
// Source     as depthwise.cu
//
// entry depthwise_nhwc_weight    sums over strips of rows, by channel and tap
// variant SCALAR = floating
// variant KSIZE = 3, 5
// variant STRIDE = 1, 2
#include <pycnn/depthwise.cuh>

constexpr int WIDE = 14, NARROW = 7;  // columns of outputs; the latter where more would spill
constexpr int COLUMNS = KSIZE == 3 && sizeof(acc_t) == 4 ? WIDE : NARROW;  // `_columns` in the plan
constexpr int IN_COLUMNS = COLUMNS * STRIDE + KSIZE - STRIDE;  // of x that they need

extern "C" __global__ void __launch_bounds__(THREADS, 1)
depthwise_nhwc_weight(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
                      acc_t* __restrict__ part, DepthwiseParams v) {
    __shared__ acc_t sums[WARPS][LANES * TAPS];  // stored in the order of memory
    const LanePartition at(v, COLUMNS);
    const scalar_t* const image = x + at.n * v.conv.x_n + at.c * v.conv.x_c;
    const scalar_t* const above = dy + at.n * v.conv.y_n + at.c * v.conv.y_k;
    const int left = at.q * STRIDE - v.conv.left;
    const int columns = v.conv.q - at.q < COLUMNS ? v.conv.q - at.q : COLUMNS;

    acc_t sum[TAPS] = {};
    acc_t gradient[OUT_ROWS][COLUMNS] = {};  // of the outputs k rows above the newest
    const int end = at.exists ? at.p_end + OUT_ROWS - 1 : 0;
#pragma unroll 1
    for (int p = at.p; p < end; ++p) {
#pragma unroll
        for (int j = 0; j < COLUMNS; ++j) {
#pragma unroll
            for (int k = OUT_ROWS - 1; k > 0; --k) gradient[k][j] = gradient[k - 1][j];
            const bool exists = p < at.p_end && j < columns;
            gradient[0][j] = exists ? to_acc(above[p * v.conv.y_p + (at.q + j) * v.conv.y_q])
                                    : acc_t(0);
        }
#pragma unroll
        for (int t = 0; t < STRIDE; ++t) {
            if (t > 0 && p == end - 1) break;
            const int h = p * STRIDE - v.conv.top + t;
            const bool row_exists = inside(h, v.conv.h);
            const scalar_t* const row = image + h * v.conv.x_h;
#pragma unroll
            for (int u = 0; u < IN_COLUMNS; ++u) {
                const int w = left + u;
                const bool exists = row_exists && inside(w, v.conv.w);
                const acc_t value = exists ? to_acc(row[w * v.conv.x_w]) : acc_t(0);
#pragma unroll
                for (int s = 0; s < KSIZE; ++s) {
                    if (u < s || (u - s) % STRIDE != 0 || (u - s) / STRIDE >= COLUMNS) continue;
                    const int j = (u - s) / STRIDE;
#pragma unroll
                    for (int k = 0; k < OUT_ROWS; ++k) {
                        // An output that is not there must not count: 0 * infinity would.
                        const bool counts = p - k >= at.p && p - k < at.p_end && j < columns;
                        if (t + STRIDE * k < KSIZE && counts)
                            sum[(t + STRIDE * k) * KSIZE + s] += gradient[k][j] * value;
                    }
                }
            }
        }
    }
#pragma unroll
    for (int i = 0; i < TAPS; ++i) sums[threadIdx.y][threadIdx.x * TAPS + i] = sum[i];
    __syncwarp();
    const int first = at.c - threadIdx.x;
    const int channels = v.conv.groups - first < LANES ? v.conv.groups - first : LANES;
    if (at.n >= v.conv.n) return;
    const index_t to = (static_cast<index_t>(at.part) * v.conv.groups + first) * TAPS;
    for (int i = threadIdx.x; i < channels * TAPS; i += LANES)
        part[to + i] = sums[threadIdx.y][i];
}
