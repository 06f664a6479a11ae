// pycnn/integers_wgmma.cuh: what becomes of the sums of 8-bit integers on Hopper: they leave from
// registers, as they are, or with a bias, scaled, rounded and saturated to 8 bits. A tile of 256 columns
// leaves too few registers for that.
#pragma once

#include <pycnn/gemm_wgmma.cuh>
#include <pycnn/int8.cuh>

constexpr int LANES = 4;  // that have a row together, pairs of neighbours each

// Where a warp's sums go: row `i` of a lane and the one 8 below, columns from the tile's first on. Their
// number is of 32 bits: of 64, registers spill where a tile has 128x128.
template <typename T>
struct Integers {
    T* to[2];
    const index_t channel;  // of the tile's first column
    const int cols;         // of the tile, that there are
    const bool vector;

    template <typename Work>
    __device__ Integers(const Work& work, T* c, const GemmParams& p, const BlockCoord& blk,
                        const WarpOutput& own)
        : channel(blk.offset(p, 0, p.channel_inner) + blk.n),
          cols(static_cast<int>(min(p.n - blk.n, index_t(BLK_N)))),
          vector(vectors(p, C_VECTOR, c)) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const index_t m = blk.m + own.row + threadIdx.x % 32 / LANES + 8 * h;
            const index_t first = blk.offset(p, p.c_outer, p.c_inner) + blk.n;
            to[h] = m < p.m ? c + first + work.row(m).c : nullptr;
        }
    }
};

template <typename Work>
__device__ __forceinline__ void store_integers(const Work& work, const GemmParams& p, int* c,
                                               const BlockCoord& blk, const Sums& sums,
                                               const WarpOutput& own) {
    const Integers<int> out(work, c, p, blk, own);
    const int j = threadIdx.x % LANES * 2;
#pragma unroll
    for (int h = 0; h < 2; ++h)
        if (out.to[h])
            store_row(out.to[h] + j, sums, h, out.cols - j, out.vector && out.cols >= BLK_N);
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

template <typename Work>
__device__ __forceinline__ void store_bytes(const Work& work, const GemmParams& p,
                                            const Requantisation& to_bytes, const int* bias,
                                            unsigned char* c, const BlockCoord& blk,
                                            const Sums& sums, const WarpOutput& own) {
    constexpr int PART = 16 * LANES;  // columns
    const Integers<unsigned char> out(work, c, p, blk, own);
    const int lane = threadIdx.x % LANES;
#pragma unroll 1
    for (int part = 0; part < BLK_N / PART && part * PART < out.cols; ++part) {
        int x[PART / 2];
        of_part(x, sums, part);
        const auto column = [&](int n) {  // of the n-th sum of a row; negative: there is none
            const int j = part * PART + n / 2 * 8 + 2 * lane + n % 2;
            return j < out.cols ? out.channel + j : -1;
        };
        if (bias) {
#pragma unroll
            for (int n = 0; n < SIXTEEN; ++n) {
                const index_t k = column(n);
                const int more = k < 0 ? 0 : bias[k * to_bytes.p.bias_k];
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
            const int first = part * PART + SIXTEEN * lane;
            unsigned char* const at = out.to[h] + first;
            if (!out.to[h]) continue;
            if (out.vector && first + SIXTEEN <= out.cols) {
                store_vector(reinterpret_cast<unsigned*>(at), bytes);
            } else {
#pragma unroll
                for (int n = 0; n < SIXTEEN; ++n)
                    if (first + n < out.cols) at[n] = bytes[n / 4] >> n % 4 * 8;
            }
        }
    }
}
