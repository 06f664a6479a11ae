// conv/scaled.cu: convolution of 8-bit floats, one thread an output.
//
// Computes   y[n,k,p,q] = sum_{c,r,s} x[n,c,h(p,r),w(q,s)] w[k,c,r,s] x_scale w_scale[k] + bias[k] with
//            h(p,r) = p*stride_h - top + r*dilation_h and w alike, zeros beyond x; sums in float32, y and
//            the bias of 16 or 32 bits
// Layout     x (N,C,H,W), w (K,C/G,R,S), w_scale, bias, y (N,K,P,Q): any strides; threads follow the
//            result in memory, channels first or last
// Launch     one thread an output; block 256; grid ceil(outputs / 256); no shared memory
// Traffic    |x| + |w| + |y| at best; two loads a multiplication, from L1 where neighbours share them;
//            2 N K P Q (C/G) R S flop
// Range      extents up to 2^31 - 2^16 with padding, 64-bit offsets. Zeros beyond x are multiplied: an
//            infinite weight over them gives NaN
// Siblings   implicit_gemm_wgmma_float8 is the fast one, on Hopper; this is for any GPU
// Source     P. Micikevicius et al., "FP8 Formats for Deep Learning", 2022; the definition
//
// entry scaled_conv2d      convolution of 8-bit floats with scales, a thread an output
// variant SCALAR = single, halves
#include <pycnn/conv.cuh>
#include <pycnn/float8.cuh>

// Beside those of the convolution: `ScaledConvParams` of pycnn/plan/conv_scaled.py.
struct ScaledConvParams {
    index_t scale_k;     // of the weight's scales, in elements; 0 where one serves all filters
    int x_type, w_type;  // Float8
};

constexpr int THREADS = 256;

// Four blocks an SM: unasked the compiler spills some of 32 registers on sm_75, sm_100a and sm_120.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
scaled_conv2d(const unsigned char* __restrict__ x, const unsigned char* __restrict__ weight,
              const float* __restrict__ x_scale, const float* __restrict__ w_scale,
              const scalar_t* __restrict__ bias, scalar_t* __restrict__ y, ConvParams v,
              ScaledConvParams f) {
    const int filters = v.groups * v.k;
    const index_t i = flat_thread();
    if (i >= static_cast<index_t>(v.n) * filters * v.p * v.q) return;
    const ElementCoord at(i, filters, 1, v.p, v.q, v.channels_last);
    const int group = at.c / v.k;
    const Window rows = window_h(v, at.h), cols = window_w(v, at.w);
    x += at.n * v.x_n + static_cast<index_t>(group) * v.c * v.x_c;
    weight += group * v.w_g + at.c % v.k * v.w_k;
    const auto x_type = static_cast<Float8>(f.x_type), w_type = static_cast<Float8>(f.w_type);
    float sum = 0;
#pragma unroll 1
    for (int r = 0; r < v.r; ++r) {
        const int h = rows(r);
#pragma unroll 1
        for (int s = 0; s < v.s; ++s) {
            const int w = cols(s);
            const bool exists = (h | w) >= 0;
            const unsigned char* const from = x + h * v.x_h + w * v.x_w;
            const unsigned char* const by = weight + r * v.w_r + s * v.w_s;
            float of_tap = 0;  // short sums added up are more exact than one long one
#pragma unroll 2
            for (int c = 0; c < v.c; ++c)
                of_tap += (exists ? of_float8(from[c * v.x_c], x_type) : 0.0f) *
                          of_float8(by[c * v.w_c], w_type);
            sum += of_tap;
        }
    }
    sum = sum * *x_scale * w_scale[at.c * f.scale_k];
    if (bias) sum += to_acc(bias[at.c * v.bias_k]);
    y[at.n * v.y_n + at.c * v.y_k + at.h * v.y_p + at.w * v.y_q] = from_acc(sum);
}
