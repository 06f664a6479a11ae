// conv/fft.cu: convolution in the frequency domain: everything but the Fourier transforms.
//
// Computes   padded[a,b,i,j] = x[a, b, (i - top) / step_h, (j - left) / step_w] where the divisions
//            leave no rest and the element exists, what the padding mode says beyond the edges, else 0
//            c[m,n,f] (+)= sum_k a[m,k,f] conj(b[n,k,f])
//            y[n,k,p,q] = epilogue(sums[n, k, p*step_h, q*step_w])
// Layout     x, y, residual any strides; padded, sums (images, channels, rows, cols) contiguous;
//            spectra: any order of planes of contiguous frequencies, in the precision of sums
// Launch     fft_pad and fft_crop one thread an element; fft_product one thread a frequency for 4x4
//            (m, n); block 256, grid flat. No shared memory
// Traffic    fft_pad and fft_crop read and write each element once, an image whose columns are not
//            contiguous through L2; fft_product reads a ceil(N/4) times, b ceil(M/4) times, through
//            L2, each warp whole sectors, and does 8 flop for each (m, n, k, f)
// Range      any extents; 64-bit index arithmetic; any stride and dilation by `step`. The sum over k
//            has a fixed order: deterministic. The library's transforms spread a NaN or an infinity
//            over a whole image, and from there over all of it in y
// Siblings   direct and im2col, whose arithmetic grows with the filter; here it does not
// Source     M. Mathieu, M. Henaff, Y. LeCun, "Fast Training of Convolutional Networks through FFTs",
//            ICLR 2014
//
// entry fft_pad                  images or filters, padded for a Fourier transform
// entry fft_product              spectra multiplied and summed over channels or images
// entry fft_crop                 results from their padded images, with the epilogue
// variant SCALAR = floating
#include <pycnn/conv.cuh>
#include <pycnn/epilogue.cuh>

constexpr int THREADS = 256, THR_M = 4, THR_N = 4;

struct PadParams {
    index_t x_n, x_c, x_h, x_w;
    index_t planes;                // images times channels
    int channels, h, w;            // channels over all groups
    int rows, cols;                // of a padded image
    int used_rows, used_cols;      // the rest is zeros
    int top, left, step_h, step_w;  // where element 0 lies, and how far apart they are
    int mode;                      // enum PaddingMode
};

struct ProductParams {
    index_t a_m, a_k, a_group;  // strides in complex numbers
    index_t b_n, b_k, b_group;
    index_t c_m, c_n, c_group;
    index_t frequencies;
    int groups, m, n, k;
    int accumulate;
};

struct CropParams {
    index_t y_n, y_k, y_p, y_q;
    index_t images;
    int k, p, q;  // k over all groups
    int rows, cols, step_h, step_w;
    int channels_last;  // of y in memory: threads follow it
};

struct alignas(2 * sizeof(acc_t)) Complex {
    acc_t re, im;
};

// Which element lies at position `at`; -1: zero.
__device__ __forceinline__ int element_of(int at, int step, int extent, int mode) {
    if (step > 1) return at % step == 0 && inside(at / step, extent) ? at / step : -1;
    const int found = element_at(at, extent, mode);
    return inside(found, extent) ? found : -1;
}

extern "C" __global__ void __launch_bounds__(THREADS)
fft_pad(const scalar_t* __restrict__ x, acc_t* __restrict__ padded, PadParams v) {
    const index_t mine = flat_thread();
    const index_t row = mine / v.cols, plane = row / v.rows;
    if (plane >= v.planes) return;
    const int i = row % v.rows, j = mine % v.cols;
    const int h = i < v.used_rows ? element_of(i - v.top, v.step_h, v.h, v.mode) : -1;
    const int w = j < v.used_cols ? element_of(j - v.left, v.step_w, v.w, v.mode) : -1;
    const scalar_t* const from = x + plane / v.channels * v.x_n + plane % v.channels * v.x_c;
    padded[mine] = h < 0 || w < 0 ? acc_t(0) : to_acc(from[h * v.x_h + w * v.x_w]);
}

extern "C" __global__ void __launch_bounds__(THREADS)
fft_product(const Complex* __restrict__ a, const Complex* __restrict__ b, Complex* __restrict__ c,
            ProductParams v) {
    const unsigned parts = ceil_div(v.frequencies, THREADS);
    unsigned block = blockIdx.x;
    const index_t f = static_cast<index_t>(next_coordinate(block, parts)) * THREADS + threadIdx.x;
    const int n = next_tile(block, v.n, THR_N), m = next_tile(block, v.m, THR_M);
    const index_t group = block;
    if (f >= v.frequencies) return;
    a += group * v.a_group + f;
    b += group * v.b_group + f;
    c += group * v.c_group + f;

    Complex acc[THR_M][THR_N] = {};
    for (int k = 0; k < v.k; ++k) {
        Complex rA[THR_M], rB[THR_N];
        static_assert(THR_M == THR_N, "one loop for both");
#pragma unroll
        for (int i = 0; i < THR_M; ++i) {  // beyond the last one, that one again
            rA[i] = a[min(m + i, v.m - 1) * v.a_m + k * v.a_k];
            rB[i] = b[min(n + i, v.n - 1) * v.b_n + k * v.b_k];
        }
#pragma unroll
        for (int i = 0; i < THR_M; ++i)
#pragma unroll
            for (int j = 0; j < THR_N; ++j) {
                acc[i][j].re += rA[i].re * rB[j].re + rA[i].im * rB[j].im;
                acc[i][j].im += rA[i].im * rB[j].re - rA[i].re * rB[j].im;
            }
    }
#pragma unroll
    for (int i = 0; i < THR_M; ++i)
#pragma unroll
        for (int j = 0; j < THR_N; ++j) {
            if (m + i >= v.m || n + j >= v.n) continue;
            Complex* const to = c + (m + i) * v.c_m + (n + j) * v.c_n;
            if (v.accumulate) {
                const Complex before = *to;
                acc[i][j].re += before.re;
                acc[i][j].im += before.im;
            }
            *to = acc[i][j];
        }
}

extern "C" __global__ void __launch_bounds__(THREADS)
fft_crop(const acc_t* __restrict__ sums, const scalar_t* __restrict__ bias,
         const scalar_t* __restrict__ scale, const scalar_t* __restrict__ shift,
         const scalar_t* __restrict__ residual, scalar_t* __restrict__ y, CropParams v,
         EpilogueParams e) {
    const index_t mine = flat_thread();
    if (mine >= v.images * v.k * v.p * v.q) return;
    const ElementCoord at(mine, v.k, 1, v.p, v.q, v.channels_last);
    const index_t plane = static_cast<index_t>(at.n) * v.k + at.c;
    const acc_t acc = sums[(plane * v.rows + at.h * v.step_h) * v.cols + at.w * v.step_w];
    const index_t residual_at =
        at.n * e.residual_n + at.c * e.residual_k + at.h * e.residual_p + at.w * e.residual_q;
    y[at.n * v.y_n + at.c * v.y_k + at.h * v.y_p + at.w * v.y_q] =
        from_acc(Epilogue{bias, scale, shift, residual, e}(acc, at.c, residual_at));
}
