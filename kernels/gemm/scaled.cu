// gemm/scaled.cu: matrix product of 8-bit floats, one thread an output.
//
// Computes   C[i,j] = scale_a scale_b sum_k A[i,k] B[k,j] + bias[j], sums in float32, C and the bias of
//            16 or 32 bits; the two scales are multiplied first
// Layout     A (M,K), B (K,N), bias (N): any strides; C (M,N) row-major
// Launch     one thread an output; block 256; grid ceil(M N / 256); no shared memory
// Traffic    |A| N/32 + |B| M/8 of L1 at best, from L2 what neighbours share once; 2 M N K flop
// Range      64-bit index arithmetic
// Siblings   12_wgmma_float8 is the fast one, on Hopper; this is for any GPU
// Source     P. Micikevicius et al., "FP8 Formats for Deep Learning", 2022; the definition
//
// entry scaled_mm      matrix product of 8-bit floats with scales, a thread an output
// variant SCALAR = single, halves
#include <pycnn/float8.cuh>

// `ScaledParams` of pycnn/plan/gemm_scaled.py; strides in elements.
struct ScaledParams {
    index_t m, n, k;
    index_t a_row, a_col, b_row, b_col, bias_col;
    int a_type, b_type;  // Float8
};

constexpr int THREADS = 256;

extern "C" __global__ void __launch_bounds__(THREADS)
scaled_mm(const unsigned char* __restrict__ a, const unsigned char* __restrict__ b,
          const float* __restrict__ scale_a, const float* __restrict__ scale_b,
          const scalar_t* __restrict__ bias, scalar_t* __restrict__ c, ScaledParams p) {
    index_t row = flat_thread();
    if (row >= p.m * p.n) return;
    const index_t at = row, col = next_coordinate(row, p.n);
    a += row * p.a_row;
    b += col * p.b_col;
    float sum = 0;
#pragma unroll 2
    for (index_t k = 0; k < p.k; ++k)
        sum += of_float8(a[k * p.a_col], static_cast<Float8>(p.a_type)) *
               of_float8(b[k * p.b_row], static_cast<Float8>(p.b_type));
    sum *= *scale_a * *scale_b;
    if (bias) sum += to_acc(bias[col * p.bias_col]);
    c[at] = from_acc(sum);
}
