// conv/depthwise_weight.cu: gradient of a depthwise convolution with respect to w, NCHW.
//
// Computes   part[i,c,r,s] = sum of dy[n,c,p,q] x[n,c, p*STRIDE - top + r, q*STRIDE - left + s] over
//            the (n,p,q) of a strip of rows; conv_add_parts of sums.cu adds the parts
// Layout     dy (N,C,P,Q), x (N,C,H,W): any strides; part (parts,C,KSIZE,KSIZE) contiguous, in the
//            type of sums
// Launch     as depthwise.cu: a group of lanes for a strip of rows of one channel of one image
// Traffic    |x| + |dy|, and KSIZE - 1 rows more of x for every strip; KSIZE^2 multiplications an
//            element of dy
// Range      as depthwise.cu. Sums of lanes, then a tree: deterministic
// Siblings   direct_backward_weight takes any filter, and loads dy and x once for every tap row
// Source     as depthwise.cu
//
// entry depthwise_weight         sums over strips of rows, by channel and tap
// variant SCALAR = floating
// variant KSIZE = 3, 5
// variant STRIDE = 1, 2
#include <pycnn/depthwise.cuh>

extern "C" __global__ void __launch_bounds__(THREADS, 1)
depthwise_weight(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ x,
                 acc_t* __restrict__ part, DepthwiseParams v) {
    const int lane = threadIdx.x & (v.lanes - 1);
    const Partition at(v, flat_thread() / v.lanes, v.lanes * v.chunks);
    const scalar_t* const image = x + at.n * v.conv.x_n + at.c * v.conv.x_c;
    const scalar_t* const above = dy + at.n * v.conv.y_n + at.c * v.conv.y_k;

    acc_t sum[TAPS] = {};
    acc_t gradient[OUT_ROWS][CHUNKS] = {};  // of the outputs k rows above the newest
    bool exists[OUT_ROWS][CHUNKS] = {};
    for (int i = 0; i < v.rows + OUT_ROWS - 1; ++i) {
        const int p = at.p + i;
#pragma unroll
        for (int j = 0; j < CHUNKS; ++j) {
#pragma unroll
            for (int k = OUT_ROWS - 1; k > 0; --k) {
                gradient[k][j] = gradient[k - 1][j];
                exists[k][j] = exists[k - 1][j];
            }
            const int q = at.q + j * v.lanes + lane;
            exists[0][j] = at.exists && j < v.chunks && p < at.p_end && q < v.conv.q;
            gradient[0][j] =
                exists[0][j] ? to_acc(above[p * v.conv.y_p + q * v.conv.y_q]) : acc_t(0);
        }
#pragma unroll
        for (int t = 0; t < STRIDE; ++t) {
            if (t > 0 && i == v.rows + OUT_ROWS - 2) break;
            const int h = p * STRIDE - v.conv.top + t;
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
                        if (t + STRIDE * k < KSIZE && exists[k][j])  // else 0 * infinity counts
                            sum[(t + STRIDE * k) * KSIZE + s] += gradient[k][j] * value;
                }
        }
    }
#pragma unroll
    for (int i = 0; i < TAPS; ++i) {
        for (int distance = v.lanes / 2; distance > 0; distance /= 2)
            sum[i] += __shfl_xor_sync(FULL_MASK, sum[i], distance);
        if (lane == 0 && at.exists)
            part[(static_cast<index_t>(at.part) * v.conv.groups + at.c) * TAPS + i] = sum[i];
    }
}
