// conv/winograd_filter.cu: filters of 3x3 in Winograd's domain, G g G^T.
//
// Computes   factors[place,k,c] = (G g G^T)[place], g = weight[k,c,:,:], rotated by half a turn if
//            asked, for the gradient with respect to x
// Layout     weight (K,C/G,3,3) any strides; factors (places, K, C/G) contiguous, in the precision
//            of sums
// Launch     one thread a filter and channel; block 256; grid ceil(K C/G / 256); 2304 taps in
//            shared memory
// Traffic    |weight| read, |factors| written: 16/9 (TILE 2) or 4 (TILE 4) times the elements; 28
//            or 90 flop each
// Range      any extents; 64-bit index arithmetic. A NaN or an infinity spreads over all factors of
//            its channel, and from there over every output of the filter
// Siblings   none
// Source     A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016
//
// entry winograd_filter          filters, transformed
// variant SCALAR = floating
// variant TILE = 2, 4
#include <pycnn/winograd.cuh>

constexpr int THREADS = 256, TAPS = 9;

struct FilterParams {
    index_t w_k, w_c, w_r, w_s;  // strides in elements
    int filters, channels;   // channels of a group
    int taps_first;          // whether taps of a channel are neighbours in memory, not channels
    int rotated;
};

extern "C" __global__ void __launch_bounds__(THREADS)
winograd_filter(const scalar_t* __restrict__ weight, acc_t* __restrict__ factors, FilterParams v) {
    __shared__ acc_t taps[THREADS * TAPS];  // 9 is odd: no two threads of a warp meet in a bank
    const index_t first = static_cast<index_t>(blockIdx.x) * THREADS;
    const index_t all = static_cast<index_t>(v.filters) * v.channels;
    for (int i = threadIdx.x; i < THREADS * TAPS; i += THREADS) {
        const int pair = v.taps_first ? i / TAPS : i % THREADS;
        const int tap = v.taps_first ? i % TAPS : i / THREADS;
        const index_t k = (first + pair) / v.channels, c = (first + pair) % v.channels;
        if (first + pair < all)
            taps[pair * TAPS + tap] =
                to_acc(weight[k * v.w_k + c * v.w_c + tap / 3 * v.w_r + tap % 3 * v.w_s]);
    }
    __syncthreads();
    const index_t mine = first + threadIdx.x;
    if (mine >= all) return;
    acc_t g[3][3], u[ALPHA][ALPHA];
#pragma unroll
    for (int i = 0; i < TAPS; ++i)
        g[i / 3][i % 3] = taps[threadIdx.x * TAPS + (v.rotated ? TAPS - 1 - i : i)];
    transform_square(g, u, [](const acc_t (&from)[3], acc_t (&into)[ALPHA]) {
        transform_filter(from, into);
    });
#pragma unroll
    for (int i = 0; i < POINTS; ++i) factors[i * all + mine] = u[i / ALPHA][i % ALPHA];
}
