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

// Of the 64 bytes of a row the four lanes have pairs, eight apart; makes them sixteen neighbours each.
// Word w is two pairs, the lane's of columns 16 w and of columns 16 w + 8 on; the lane gets its own word
// of every lane, in two exchanges.
__device__ __forceinline__ void turn(unsigned (&words)[LANES]) {
#pragma unroll
    for (int far = LANES / 2; far; far /= 2) {
        const bool upper = threadIdx.x & far;
#pragma unroll
        for (int w = 0; w < LANES; ++w) {
            if (w & far) continue;
            const unsigned given = upper ? words[w] : words[w + far];
            const unsigned got = __shfl_xor_sync(~0u, given, far);
            words[w] = upper ? got : words[w];
            words[w + far] = upper ? words[w + far] : got;
        }
    }
    const unsigned of[LANES] = {words[0], words[1], words[2], words[3]};
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        words[half] = __byte_perm(of[2 * half], of[2 * half + 1], 0x5410);
        words[2 + half] = __byte_perm(of[2 * half], of[2 * half + 1], 0x7632);
    }
}

// Finishes and stores 64 columns of a tile from column `first` on; EASY: they are all there, what there
// is of each filter lies by pairs, and 16 bytes leave together.
template <bool EASY>
__device__ __forceinline__ void store_part(const Integers<unsigned char>& out, const int (&sums)[2 * SIXTEEN],
                                           int first, const Requantisation& to_bytes,
                                           const Rounding& rounding, const int* bias) {
    const int lane = threadIdx.x % LANES;
    const auto column = [&](int n) {  // of the n-th sum of a row; negative: there is none
        const int j = first + n / 2 * 8 + 2 * lane + n % 2;
        return EASY || j < out.cols ? out.channel + j : -1;
    };
    int x[2 * SIXTEEN];
#pragma unroll
    for (int n = 0; n < 2 * SIXTEEN; ++n) x[n] = sums[n];
    const auto add = [&](int n, int more) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            int& sum = x[n / 2 * 4 + 2 * h + n % 2];
            sum = static_cast<int>(static_cast<unsigned>(sum) + more);
        }
    };
    float factor[SIXTEEN];
    if constexpr (EASY) {
#pragma unroll
        for (int n = 0; n < SIXTEEN && bias; n += 2) {
            int more[2];
            load_vector(more, bias + column(n));
            add(n, more[0]);
            add(n + 1, more[1]);
        }
        if (rounding.step) {
#pragma unroll
            for (int n = 0; n < SIXTEEN; n += 2) {
                float scale[2];
                load_vector(scale, rounding.weight_scale + column(n));
                factor[n] = rounding.of(scale[0]);
                factor[n + 1] = rounding.of(scale[1]);
            }
        } else {
            factor[0] = rounding.factor(0);
#pragma unroll
            for (int n = 1; n < SIXTEEN; ++n) factor[n] = factor[0];
        }
    } else {
#pragma unroll
        for (int n = 0; n < SIXTEEN; ++n) {
            const index_t k = column(n);
            if (bias) add(n, k < 0 ? 0 : bias[k * to_bytes.p.bias_k]);
            factor[n] = k < 0 ? 0 : rounding.factor(k);
        }
    }
#pragma unroll
    for (int h = 0; h < 2; ++h) {
        int sum[SIXTEEN];
#pragma unroll
        for (int n = 0; n < SIXTEEN; ++n) sum[n] = x[n / 2 * 4 + 2 * h + n % 2];
        unsigned bytes[LANES];
        if (!rounding(bytes, sum, factor)) {
#pragma unroll
            for (int word = 0; word < LANES; ++word) {
                bytes[word] = 0;
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    const int n = word * 4 + e;
                    const index_t k = column(n);
                    if (k >= 0)
                        bytes[word] |= unsigned{to_bytes(sum[n], to_bytes.multiplier(k))} << 8 * e;
                }
            }
        }
        turn(bytes);
        const int own = first + SIXTEEN * lane;
        unsigned char* const at = out.to[h] + own;
        if (!out.to[h]) continue;
        if (EASY || (out.vector && own + SIXTEEN <= out.cols)) {
            store_vector(reinterpret_cast<unsigned*>(at), bytes);
        } else {
#pragma unroll
            for (int n = 0; n < SIXTEEN; ++n)
                if (own + n < out.cols) at[n] = bytes[n / 4] >> n % 4 * 8;
        }
    }
}

template <typename Work>
__device__ __forceinline__ void store_bytes(const Work& work, const GemmParams& p,
                                            const Requantisation& to_bytes, const int* bias,
                                            unsigned char* c, const BlockCoord& blk,
                                            const Sums& sums, const WarpOutput& own) {
    constexpr int PART = 16 * LANES;  // columns
    const Integers<unsigned char> out(work, c, p, blk, own);
    const Rounding rounding(to_bytes);
    const auto by_pairs = [&](const auto* from, index_t step) {
        return step == 1 && reinterpret_cast<size_t>(from) % 8 == 0;
    };
    const bool easy = out.vector & (out.cols == BLK_N) & (out.channel % 2 == 0) &&
                      (!bias || by_pairs(bias, to_bytes.p.bias_k)) &&
                      (!rounding.step || by_pairs(rounding.weight_scale, rounding.step));
    if (easy) {
#pragma unroll
        for (int first = 0; first < BLK_N; first += PART) {
            auto& x = reinterpret_cast<const int (&)[PART / 2]>(sums[first / 2]);
            store_part<true>(out, x, first, to_bytes, rounding, bias);
        }
        return;
    }
#pragma unroll 1
    for (int first = 0; first < out.cols; first += PART) {
        int x[PART / 2];
        of_part(x, sums, first / PART);
        store_part<false>(out, x, first, to_bytes, rounding, bias);
    }
}
