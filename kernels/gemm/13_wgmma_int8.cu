// gemm/13_wgmma_int8.cu: matrix product of 8-bit integers by the warpgroup instructions of Hopper.
//
// Computes   sum[i,j] = sum_k A[i,k] B[k,j] modulo 2^32, as it is, or with a bias, scaled, rounded and
//            saturated to 8 bits as conv/int8.cu has it, columns for filters; no zero points of A and B
// Layout     A (M,K) with stride 1 along K, B (K,N) likewise, multiples of 16 elements along all
//            others, from multiples of 16 bytes on; C (M,N) column stride 1
// Launch     block 384: a warpgroup that copies, two with 64 x TILE_N outputs each; grid of as many
//            blocks as the GPU has SMs, or tiles if these are fewer; shared memory 225 KiB
// Traffic    A is read N/TILE_N times, mostly from L2, and B M/128 times; 2 M N K operations
// Range      extents up to 2^31 - 2^16, fewer than 2^31 tiles; 64-bit index arithmetic in C
// Siblings   12_wgmma_float8 with integers, whose sums are exact; conv/int8_mma.cu takes zero points
//            (a tile of 256 columns leaves too few registers to make bytes of the sums)
// Banks      none is asked twice: the 128-byte swizzle; sums leave from registers, whole sectors
// Source     PTX ISA, "Asynchronous warpgroup level matrix instructions"; B. Jacob et al.,
//            "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
//            Inference", 2018, section 2
//
// arch sm_90a
// entry gemm_wgmma_int8          sums of products of 8-bit integers, TMA and wgmma
// entry gemm_wgmma_requantised   the same with a bias, scaled, rounded and saturated to 8 bits
// variant ELEMENT_A = s8, u8
// variant ELEMENT_B = s8, u8
// variant TILE_M = 128
// variant TILE_N = 64, 128
// variant CLUSTER = 1, 2
#include <pycnn/int8.cuh>
#include <pycnn/matrices_wgmma.cuh>

constexpr int LANES = 4;  // that have a row together, pairs of neighbours each

// Where a warp's sums go: row `i` of a lane and the one 8 below, columns from the tile's first on.
template <typename T>
struct Integers {
    T* const c;  // element (0, 0) of the tile
    const index_t step, rows, cols;
    const bool vector;
    const int i;

    __device__ Integers(T* c, const GemmParams& p, const BlockCoord& blk, const WarpOutput& own)
        : c(c + blk.m * p.c_row + blk.n),
          step(p.c_row),
          rows(p.m - blk.m),
          cols(p.n - blk.n),
          vector(vectors(p, C_VECTOR, c)),
          i(own.row + threadIdx.x % 32 / LANES) {}
};

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS, 1) __cluster_dims__(CLUSTER, 1, 1)
gemm_wgmma_int8(const __grid_constant__ TensorMap map_a, const __grid_constant__ TensorMap map_b,
                int* __restrict__ c, GemmParams p) {
    const auto store = [&](const Matrices&, const BlockCoord& blk, Sums& sums, WarpOutput& own) {
        const Integers<int> to(c, p, blk, own);
        const int j = threadIdx.x % LANES * 2;
#pragma unroll
        for (int h = 0; h < 2; ++h)
            if (to.i + 8 * h < to.rows)
                store_row(to.c + (to.i + 8 * h) * to.step + j, sums, h, to.cols - j,
                          to.vector && to.cols >= BLK_N);
    };
    multiply_matrices(map_a, map_b, p, store, false);
}

// Words by a number that is no constant: registers have no addresses.
__device__ __forceinline__ unsigned nth(const unsigned (&words)[LANES], int n) {
    return n & 2 ? (n & 1 ? words[3] : words[2]) : (n & 1 ? words[1] : words[0]);
}

// Of the 64 bytes of a row the four lanes have pairs, eight apart; makes them sixteen neighbours each.
// Word w is two pairs, the lane's of columns 16 w and of columns 16 w + 8 on.
__device__ __forceinline__ void turn(unsigned (&words)[LANES]) {
    const int lane = threadIdx.x % LANES;
    unsigned by_distance[LANES], of[LANES];
#pragma unroll
    for (int far = 0; far < LANES; ++far)
        by_distance[far] = __shfl_xor_sync(~0u, nth(words, lane ^ far), far);
#pragma unroll
    for (int other = 0; other < LANES; ++other) of[other] = nth(by_distance, lane ^ other);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        words[half] = __byte_perm(of[2 * half], of[2 * half + 1], 0x5410);
        words[2 + half] = __byte_perm(of[2 * half], of[2 * half + 1], 0x7632);
    }
}

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS, 1) __cluster_dims__(CLUSTER, 1, 1)
gemm_wgmma_requantised(const __grid_constant__ TensorMap map_a,
                       const __grid_constant__ TensorMap map_b, const float* __restrict__ a_scale,
                       const float* __restrict__ b_scale, const float* __restrict__ c_scale,
                       const unsigned char* __restrict__ c_zero, const int* __restrict__ bias,
                       unsigned char* __restrict__ c, GemmParams p, Int8Params i8) {
    constexpr int PART = 16 * LANES;  // columns
    const Requantisation to_bytes{a_scale, b_scale, c_scale, c_zero, i8};
    const auto store = [&](const Matrices&, const BlockCoord& blk, Sums& sums, WarpOutput& own) {
        const Integers<unsigned char> to(c, p, blk, own);
        const int lane = threadIdx.x % LANES;
#pragma unroll 1
        for (int part = 0; part < BLK_N / PART && part * PART < to.cols; ++part) {
            int x[PART / 2];
            of_part(x, sums, part);
            const auto column = [&](int n) {  // of the n-th sum of a row; negative: there is none
                const int j = part * PART + n / 2 * 8 + 2 * lane + n % 2;
                return j < to.cols ? blk.n + j : -1;
            };
            if (bias) {
#pragma unroll
                for (int n = 0; n < SIXTEEN; ++n) {
                    const index_t k = column(n);
                    const int more = k < 0 ? 0 : bias[k * i8.bias_k];
#pragma unroll
                    for (int h = 0; h < 2; ++h) {
                        int& sum = x[n / 2 * 4 + 2 * h + n % 2];
                        sum = static_cast<int>(static_cast<unsigned>(sum) + more);
                    }
                }
            }
            const Rounding rounding(to_bytes, column);
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                int sum[SIXTEEN];
#pragma unroll
                for (int n = 0; n < SIXTEEN; ++n) sum[n] = x[n / 2 * 4 + 2 * h + n % 2];
                unsigned bytes[LANES];
                if (!rounding(bytes, sum)) {
#pragma unroll
                    for (int word = 0; word < LANES; ++word) {
                        bytes[word] = 0;
#pragma unroll
                        for (int e = 0; e < 4; ++e) {
                            const int n = word * 4 + e;
                            const index_t k = column(n);
                            if (k >= 0)
                                bytes[word] |= unsigned{to_bytes(sum[n], to_bytes.multiplier(k))}
                                               << 8 * e;
                        }
                    }
                }
                turn(bytes);
                const int row = to.i + 8 * h, first = part * PART + SIXTEEN * lane;
                unsigned char* const at = to.c + row * to.step + first;
                if (row >= to.rows) continue;
                if (to.vector && first + SIXTEEN <= to.cols) {
                    store_vector(reinterpret_cast<unsigned*>(at), bytes);
                } else {
#pragma unroll
                    for (int n = 0; n < SIXTEEN; ++n)
                        if (first + n < to.cols) at[n] = bytes[n / 4] >> n % 4 * 8;
                }
            }
        }
    };
    multiply_matrices(map_a, map_b, p, store, false);
}
