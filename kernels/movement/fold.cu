// movement/fold.cu: columns as sliding windows, summed where they overlap.
//
// Computes   y[n, c, h, w] = sum over (r,s,p,q) with h = p*stride_h - top + r*dilation_h and
//            w = q*stride_w - left + s*dilation_w of x[n, (c,r,s), (p,q)]
// Layout     x (N, C R S, P Q) any strides; y (N,C,H,W) contiguous
// Launch     fold: some rows of a plane of y a block, block 256, grid: N C times bands; shared:
//            their sums, and `together` window elements of x. fold_direct: one thread an element
//            of y
// Traffic    |x| + |y| bytes, |x| = N C R S P Q elements; |x| additions
// Range      any extents, 64-bit offsets; deterministic: window elements (r,s) one after the
//            other. Within one, no two columns reach the same element, so nothing is added at once
// Siblings   fold reads every column once, in the order of memory; fold_direct takes rows that
//            shared memory does not hold. conv/im2col.cu does the same for a convolution
// Source     the transposed map of unfold.cu
//
// entry fold         sums in shared memory
// entry fold_direct  one element a thread
// variant SCALAR = floating
#include <pycnn/kernel.cuh>
#include <pycnn/copy_window.cuh>
#include <pycnn/copy_stage.cuh>

constexpr int THREADS = 256;

extern "C" __global__ void __launch_bounds__(THREADS, 1)
fold(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Windows v) {
    extern __shared__ __align__(16) unsigned char shared[];
    const int thread = static_cast<int>(threadIdx.x), width = static_cast<int>(v.W);
    index_t plane = blockIdx.x;
    const index_t h0 = next_tile(plane, v.H, v.band);
    const index_t h1 = h0 + v.band < v.H ? h0 + v.band : v.H;
    const int count = static_cast<int>(h1 - h0) * width;
    acc_t* const sums = reinterpret_cast<acc_t*>(shared);
    scalar_t* const sX = reinterpret_cast<scalar_t*>(sums + v.band * v.W);
    for (int t = thread; t < count; t += THREADS) sums[t] = 0;

    x += plane / v.C * v.n + plane % v.C * v.R * v.S * v.c;
    for (int r = 0; r < v.R; ++r) {
        // Rows of windows whose element r lies in [h0, h1).
        const index_t shift = v.top - r * v.dilation_h;
        const index_t from = floor_div(h0 + shift + v.stride_h - 1, v.stride_h);
        const index_t to = floor_div(h1 + shift + v.stride_h - 1, v.stride_h);
        const index_t p0 = from > 0 ? from : 0, p1 = to < v.P ? to : v.P;
        const int pixels = p1 > p0 ? static_cast<int>((p1 - p0) * v.Q) : 0;
        for (int s = 0; s < v.S; ++s, x += v.c) {
            const int k = s % v.together;
            if (k == 0) {
                const int ahead = static_cast<int>(v.S - s < v.together ? v.S - s : v.together);
                for (int a = 0; a < ahead; ++a) {
                    const scalar_t* const first = x + a * v.c + p0 * v.Q * v.w;
                    for (int t = thread - sector_skew(first); t < pixels; t += THREADS)
                        if (t >= 0) sX[a * pixels + t] = first[t * v.w];
                }
            }
            __syncthreads();  // staged; and the sums of the element before are complete
            for (int t = thread; t < pixels; t += THREADS) {
                const int p = static_cast<unsigned>(t) / static_cast<unsigned>(v.Q);
                const index_t w = (t - p * v.Q) * v.stride_w - v.left + s * v.dilation_w;
                const index_t h = (p0 + p) * v.stride_h - shift - h0;
                if (w >= 0 && w < width) sums[h * width + w] += to_acc(sX[k * pixels + t]);
            }
            if (k == v.together - 1 || s == v.S - 1) __syncthreads();  // sX has been used
        }
    }
    y += (plane * v.H + h0) * v.W;
    for (int t = thread - sector_skew(y); t < count; t += THREADS)
        if (t >= 0) y[t] = from_acc(sums[t]);
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
