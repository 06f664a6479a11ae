// conv/int8.cu: convolution of 8-bit integers, one thread an output.
//
// Computes   sum[n,k,p,q] = sum_{c,r,s} (x[n,c,h(p,r),w(q,s)] - x_zero) (w[k,c,r,s] - w_zero[k])
//            modulo 2^32, with h(p,r) = p*stride_h - top + r*dilation_h and w alike; beyond the
//            edges x holds x_zero, a term of zero. int8_forward stores the sum;
//            int8_requantised stores y = saturate(rint((sum + bias[k]) m[k]) + y_zero), with
//            m[k] = x_scale w_scale[k] / y_scale, all of it in double, left to right
// Layout     x (N,C,H,W), w (K,C/G,R,S), y (N,K,P,Q): any strides; threads follow the result in
//            memory, channels first or last. Four channels are one word where they are neighbours
//            in x and in w, the other strides and C/G multiples of 4, and both arrays begin at a
//            multiple of 4: NHWC with a weight whose channels are innermost
// Launch     one thread an output; block 256; grid ceil(outputs / 256); no shared memory
// Traffic    |x| + |w| + |y| at best; by words, two loads for four multiplications; from L1 where
//            neighbours share them; 2 N K P Q (C/G) R S operations
// Range      extents up to 2^31 - 2^16 with padding, 64-bit offsets; sums wrap around
// Siblings   direct is the same in floating point
// Source     B. Jacob et al., "Quantization and Training of Neural Networks for Efficient
//            Integer-Arithmetic-Only Inference", 2018, section 2; the definition
//
// entry int8_forward       sums as they are, 32 bits
// entry int8_requantised   sums with a bias, scaled, rounded and saturated to 8 bits
// variant X_TYPE = quantised
// variant W_TYPE = quantised
#include <pycnn/conv.cuh>
#include <pycnn/int8.cuh>

constexpr int THREADS = 256;
constexpr int WORD = 4;  // bytes that one instruction multiplies and adds

// One product of bytes serves both signs: u with its highest bit flipped, read as signed, is
// u - 128. Its zero point moves as far.
template <typename T>
struct Signed {
    static constexpr bool flipped = T(-1) > T(0);
    static constexpr int excess = flipped ? 128 : 0;
    static __device__ __forceinline__ int load(const T* four) {
        return *reinterpret_cast<const int*>(four) ^ (flipped ? 0x80808080u : 0u);
    }
};

// The elements and taps that one output sums over.
struct OperandPair {
    const x_type* x;  // first channel of the group, element 0 of the image
    const w_type* w;
    Window rows, cols;
    int x_zero, w_zero;
};

// Calls visit(x, w) with the first channel of every tap that meets an element.
template <typename Visit>
__device__ __forceinline__ void each_tap(const ConvParams& v, const OperandPair& m, Visit visit) {
#pragma unroll 1
    for (int r = 0; r < v.r; ++r) {
        const int h = m.rows(r);
        if (h < 0) continue;
#pragma unroll 1
        for (int s = 0; s < v.s; ++s) {
            const int w = m.cols(s);
            if (w >= 0) visit(m.x + h * v.x_h + w * v.x_w, m.w + r * v.w_r + s * v.w_s);
        }
    }
}

// Unsigned, as are all sums here: they may wrap around.
__device__ __forceinline__ unsigned by_elements(const ConvParams& v, const OperandPair& m) {
    unsigned sum = 0;
    each_tap(v, m, [&](const x_type* x, const w_type* w) {
#pragma unroll 4
        for (int c = 0; c < v.c; ++c)
            sum += (x[c * v.x_c] - m.x_zero) * (w[c * v.w_c] - m.w_zero);
    });
    return sum;
}

// (x - a)(w - b) has nine bits a factor, so it is multiplied out: xw - aw - bx + ab.
__device__ __forceinline__ unsigned by_words(const ConvParams& v, const OperandPair& m) {
    constexpr int ONES = 0x01010101;
    int products = 0, of_x = 0, of_w = 0, terms = 0;
    each_tap(v, m, [&](const x_type* x, const w_type* w) {
#pragma unroll 4
        for (int c = 0; c < v.c; c += WORD) {
            const int xs = Signed<x_type>::load(x + c), ws = Signed<w_type>::load(w + c);
            products = __dp4a(xs, ws, products);
            of_x = __dp4a(xs, ONES, of_x);
            of_w = __dp4a(ws, ONES, of_w);
        }
        terms += v.c;
    });
    const unsigned a = m.x_zero - Signed<x_type>::excess, b = m.w_zero - Signed<w_type>::excess;
    return products - a * of_w - b * of_x + a * b * terms;
}

__device__ __forceinline__ unsigned convolve(const x_type* x, const w_type* w,
                                             const x_type* x_zero, const w_type* w_zero,
                                             const ElementCoord& at, const ConvParams& v,
                                             const Int8Params& i) {
    const int group = at.c / v.k;
    const OperandPair m = {x + at.n * v.x_n + static_cast<index_t>(group) * v.c * v.x_c,
                           w + group * v.w_g + at.c % v.k * v.w_k,
                           window_h(v, at.h),
                           window_w(v, at.w),
                           x_zero ? *x_zero : 0,
                           w_zero ? w_zero[at.c * i.weight_zero_k] : 0};
    const auto addresses =
        reinterpret_cast<unsigned long long>(x) | reinterpret_cast<unsigned long long>(w);
    return i.words && addresses % WORD == 0 ? by_words(v, m) : by_elements(v, m);
}

__device__ __forceinline__ index_t outputs(const ConvParams& v) {
    return static_cast<index_t>(v.n) * v.groups * v.k * v.p * v.q;
}

__device__ __forceinline__ ElementCoord output(index_t i, const ConvParams& v) {
    return ElementCoord(i, v.groups * v.k, 1, v.p, v.q, v.channels_last);
}

__device__ __forceinline__ index_t offset(const ElementCoord& at, const ConvParams& v) {
    return at.n * v.y_n + at.c * v.y_k + at.h * v.y_p + at.w * v.y_q;
}

extern "C" __global__ void __launch_bounds__(THREADS, 3)
int8_forward(const x_type* __restrict__ x, const w_type* __restrict__ weight,
             const x_type* __restrict__ x_zero, const w_type* __restrict__ weight_zero,
             int* __restrict__ y, ConvParams v, Int8Params i) {
    if (flat_thread() >= outputs(v)) return;
    const ElementCoord at = output(flat_thread(), v);
    y[offset(at, v)] = convolve(x, weight, x_zero, weight_zero, at, v, i);
}

extern "C" __global__ void __launch_bounds__(THREADS, 3)
int8_requantised(const x_type* __restrict__ x, const float* __restrict__ x_scale,
                 const x_type* __restrict__ x_zero, const w_type* __restrict__ weight,
                 const float* __restrict__ weight_scale, const w_type* __restrict__ weight_zero,
                 const float* __restrict__ y_scale, const unsigned char* __restrict__ y_zero,
                 const int* __restrict__ bias, unsigned char* __restrict__ y, ConvParams v,
                 Int8Params i) {
    if (flat_thread() >= outputs(v)) return;
    const ElementCoord at = output(flat_thread(), v);
    unsigned sum = convolve(x, weight, x_zero, weight_zero, at, v, i);
    if (bias) sum += bias[at.c * i.bias_k];
    const Requantisation to_byte{x_scale, weight_scale, y_scale, y_zero, i};
    y[offset(at, v)] = to_byte(sum, to_byte.multiplier(at.c));
}
