// pycnn/gemm_mma.cuh: how the warps of a block share a tile of a product on tensor cores: tiles of
// 16-bit or float elements in shared memory, the fragments that a warp reads from them, and its sums.
//
// Floats are multiplied as TF32. With PRODUCTS = 1 each is rounded to it, to 10 bits of fraction.
// With 3 it is the sum of two of them, high + low, and a product is high high + (high low + low
// high): what is left out, low low, is below 2^-22 of it, and the low parts lose no more than 2^-23
// of an element. The products of two steps, the small ones first, are added up by the tensor cores,
// which cut off, and then to the sum as floats are, rounded to nearest. Infinity leaves a NaN in the
// small ones: a block that finds a NaN among its sums begins again, and leaves them out where they
// are no numbers.
#pragma once

#ifndef SCALAR
#define SCALAR __half
#endif
#ifndef CHUNKS_DEEP
#define CHUNKS_DEEP 4
#endif
#ifndef PRODUCTS
#define PRODUCTS 1
#endif
#include <pycnn/async_copy.cuh>
#include <pycnn/gemm_thread.cuh>
#include <pycnn/mma.cuh>

constexpr int CHUNK = 16 / sizeof(scalar_t);  // elements in 16 bytes: a copy, or a row of a matrix
constexpr int MMA_M = 16, MMA_N = 8, MMA_K = 2 * CHUNK;
constexpr int BLK_K = CHUNKS_DEEP * CHUNK;  // of a tile: rows of 64 or of 128 bytes
// Before sm_80 a product of floats goes from lane to lane: a long loop as it is.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
constexpr bool BY_LANES = true;
#else
constexpr bool BY_LANES = false;
#endif
constexpr bool IS_TF32 = sizeof(scalar_t) == 4, IS_SPLIT = IS_TF32 && PRODUCTS == 3;

// Where the elements of a tile lie in shared memory: rows of k where K_MAJOR, else of mn. Chunks are
// permuted within a row so that no bank is asked twice: not by eight threads that store a row, nor
// by the eight rows that `ldmatrix` reads of an 8x8 matrix, nor by a warp that reads 4 rows of k by
// 8 floats.
template <int BLK_MN, bool K_MAJOR>
struct MmaLayout {
    static constexpr int ROWS = K_MAJOR ? BLK_MN : BLK_K;
    static constexpr int CHUNKS = (K_MAJOR ? BLK_K : BLK_MN) / CHUNK;  // of a row
    static constexpr int SIZE = BLK_MN * BLK_K;
    static constexpr bool BY_ELEMENTS = !K_MAJOR && IS_TF32;  // ldmatrix turns pairs of bytes only
    // Rows that share the 128 bytes of all banks, and how many orders of chunks there are.
    static constexpr int TOGETHER = CHUNKS < 8 ? 8 / CHUNKS : 1, ORDERS = CHUNKS < 8 ? CHUNKS : 8;

    static __device__ __forceinline__ int at(int row, int chunk) {
        const int order = BY_ELEMENTS ? row % 4 * 2 : row / TOGETHER % ORDERS;
        return (row * CHUNKS + (chunk ^ order)) * CHUNK;
    }

    // Four matrices of 8 x 16 bytes at (mn + mn_step, k), as registers of `mma`: mn runs faster than
    // k in those of A, slower in those of B. Steps and k are constants, multiples of 16 and of MMA_K,
    // that share no bit with mn: so an address is one of few, and a constant.
    template <bool OF_A>
    static __device__ __forceinline__ void load(unsigned (&fragment)[4], const scalar_t* tile,
                                                int mn, int mn_step, int k) {
        static_assert(BY_ELEMENTS || 16 % (TOGETHER * ORDERS) == 0, "the order 16 rows further");
        const int lane = threadIdx.x % 32, first = lane / 8 % 2, second = lane / 16;
        const int of_mn = OF_A ? first : second, of_k = OF_A ? second : first;
        if constexpr (K_MAJOR) {
            const int row = mn + of_mn * 8 + lane % 8;
            ldmatrix<4>(fragment, tile + at(row, of_k ^ k / CHUNK) + mn_step * CHUNKS * CHUNK);
        } else if constexpr (!BY_ELEMENTS) {
            const int row = of_k * 8 + lane % 8, chunk = mn / CHUNK ^ of_mn;
            ldmatrix<4, true>(fragment,
                              tile + at(row, chunk ^ mn_step / CHUNK) + k * CHUNKS * CHUNK);
        } else {
            const int group = lane / 4, pair = lane % 4, chunk = mn / CHUNK ^ group / CHUNK;
#pragma unroll
            for (int r = 0; r < 4; ++r) {
                const int mn_of_r = mn_step + (OF_A ? r % 2 : r / 2) * 8;
                const int k_of_r = k + (OF_A ? r / 2 : r % 2) * 4;
                const scalar_t* const from = tile + at(pair, chunk ^ mn_of_r / CHUNK) +
                                             group % CHUNK + k_of_r * CHUNKS * CHUNK;
                fragment[r] = *reinterpret_cast<const unsigned*>(from);
            }
        }
    }
};

// Copies a chunk to shared memory: asynchronously in one piece, or element by element where the
// address is not aligned. Zeros, and no reading, unless it exists.
__device__ __forceinline__ void copy_chunk(scalar_t* to, const scalar_t* from, bool exists,
                                           bool vector) {
    if (vector) {
        copy_async<16>(to, from, exists);
    } else {
        scalar_t one_by_one[CHUNK];
#pragma unroll
        for (int e = 0; e < CHUNK; ++e) one_by_one[e] = exists ? from[e] : from_acc(0);
        store_vector(to, one_by_one);
    }
}

// D += A B on fragments.
__device__ __forceinline__ void mma(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#if PYCNN_JOIN(PYCNN_IS_, SCALAR) == 1
    mma_f16(d, a, b);
#elif PYCNN_JOIN(PYCNN_IS_, SCALAR) == 2
    mma_bf16(d, a, b);
#else
    mma_tf32(d, a, b);
#endif
}

// Rounds the floats of a fragment to TF32.
__device__ __forceinline__ void round_tf32(unsigned (&fragment)[4]) {
#pragma unroll
    for (int r = 0; r < 4; ++r) fragment[r] = to_tf32(__uint_as_float(fragment[r]));
}

// The same. What that leaves out of them has 13 bits at most, of which the product takes 11 or more:
// the last one may be lost. FINITE takes fewer instructions, and of a NaN may leave one in `low` only.
template <bool FINITE>
__device__ __forceinline__ void split_tf32(unsigned (&high)[4], unsigned (&low)[4]) {
#pragma unroll
    for (int r = 0; r < 4; ++r) {
        const float whole = __uint_as_float(high[r]);
        high[r] = FINITE ? finite_to_tf32(whole) : to_tf32(whole);
        low[r] = __float_as_uint(whole - tf32_value(high[r]));
    }
}

// Of four registers, those of one of two products: an array that can be returned.
struct Half {
    unsigned x[2];
};

// The warps of a block are 2 x 2, each with WARP_M x WARP_N outputs: the larger, the fewer elements
// are loaded, and of floats rounded, for a product. They are 2 x 4 where the parts of split floats
// would spill.
template <int BLK_M, int BLK_N>
struct WarpTile {
    static constexpr int WARPS_M = 2, WARPS_N = IS_SPLIT && BLK_M * BLK_N > 128 * 64 ? 4 : 2;
    static constexpr int THREADS = WARPS_M * WARPS_N * 32;
    static constexpr int WARP_M = BLK_M / WARPS_M, WARP_N = BLK_N / WARPS_N;
    static constexpr int COUNT_M = WARP_M / MMA_M, COUNT_N = WARP_N / MMA_N;
    static_assert(COUNT_M % 2 == 0 && COUNT_M > 0 && COUNT_N % 2 == 0 && COUNT_N > 0, "pairs");

    const int m, n;  // the first output
    float acc[COUNT_M][COUNT_N][4];

    __device__ __forceinline__ WarpTile()
        : m(threadIdx.x / 32 / WARPS_N * WARP_M), n(threadIdx.x / 32 % WARPS_N * WARP_N), acc{} {}

    // Whether a sum is none: of the block, as all of its threads ask.
    __device__ __forceinline__ bool any_nan() const {
        bool found = false;
#pragma unroll
        for (int i = 0; i < COUNT_M; ++i)
#pragma unroll
            for (int j = 0; j < COUNT_N; ++j)
#pragma unroll
                for (int e = 0; e < 4; ++e) found |= acc[i][j][e] != acc[i][j][e];
        return __syncthreads_or(found);
    }

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int i = 0; i < COUNT_M; ++i)
#pragma unroll
            for (int j = 0; j < COUNT_N; ++j)
#pragma unroll
                for (int e = 0; e < 4; ++e) acc[i][j][e] = 0;
    }

    // Adds the product of two tiles; FINITE as long as no infinity has been met.
    template <bool A_K_MAJOR, bool B_K_MAJOR, bool FINITE>
    __device__ __forceinline__ void multiply(const scalar_t* sA, const scalar_t* sB) {
        if constexpr (IS_SPLIT)
            multiply_split<A_K_MAJOR, B_K_MAJOR, FINITE>(sA, sB);
        else
            multiply_whole<A_K_MAJOR, B_K_MAJOR>(sA, sB);
    }

    template <bool A_K_MAJOR, bool B_K_MAJOR>
    __device__ __forceinline__ void multiply_whole(const scalar_t* sA, const scalar_t* sB) {
#pragma unroll(BY_LANES ? 1 : BLK_K / MMA_K)
        for (int k = 0; k < BLK_K; k += MMA_K) {
            unsigned rA[COUNT_M][4];
#pragma unroll
            for (int i = 0; i < COUNT_M; ++i) {
                MmaLayout<BLK_M, A_K_MAJOR>::template load<true>(rA[i], sA, m, i * MMA_M, k);
                if constexpr (IS_TF32) round_tf32(rA[i]);
            }
#pragma unroll
            for (int j = 0; j < COUNT_N; j += 2) {
                unsigned rB[4];
                MmaLayout<BLK_N, B_K_MAJOR>::template load<false>(rB, sB, n, j * MMA_N, k);
                if constexpr (IS_TF32) round_tf32(rB);
#pragma unroll
                for (int i = 0; i < COUNT_M; ++i)
#pragma unroll
                    for (int of_two = 0; of_two < 2; ++of_two)
                        mma(acc[i][j + of_two], rA[i], {rB[2 * of_two], rB[2 * of_two + 1]});
            }
        }
    }

    static constexpr int STEPS = BY_LANES ? 1 : 2;

    template <bool A_K_MAJOR, bool B_K_MAJOR, bool FINITE>
    __device__ __forceinline__ void multiply_split(const scalar_t* sA, const scalar_t* sB) {
#pragma unroll(BY_LANES ? 1 : BLK_K / (STEPS * MMA_K))
        for (int k = 0; k < BLK_K; k += STEPS * MMA_K)
            add_terms<A_K_MAJOR, B_K_MAJOR, FINITE>(sA, sB, k);
    }

    template <bool A_K_MAJOR, bool B_K_MAJOR, bool FINITE>
    __device__ __forceinline__ void add_terms(const scalar_t* sA, const scalar_t* sB, int first_k) {
        unsigned rA[STEPS][COUNT_M][4], lowA[STEPS][COUNT_M][4];
#pragma unroll
        for (int k = 0; k < STEPS; ++k)
#pragma unroll
            for (int i = 0; i < COUNT_M; ++i) {
                MmaLayout<BLK_M, A_K_MAJOR>::template load<true>(rA[k][i], sA, m, i * MMA_M,
                                                                 first_k + k * MMA_K);
                split_tf32<FINITE>(rA[k][i], lowA[k][i]);
            }
#pragma unroll
        for (int j = 0; j < COUNT_N; j += 2) {
            unsigned rB[STEPS][4], lowB[STEPS][4];
#pragma unroll
            for (int k = 0; k < STEPS; ++k) {
                MmaLayout<BLK_N, B_K_MAJOR>::template load<false>(rB[k], sB, n, j * MMA_N,
                                                                  first_k + k * MMA_K);
                split_tf32<FINITE>(rB[k], lowB[k]);
            }
            const auto of = [](const unsigned(&four)[4], int second) {
                return Half{four[2 * second], four[2 * second + 1]};
            };
#pragma unroll
            for (int i = 0; i < COUNT_M; ++i) {
                // Two chains of products, which do not wait for each other.
                float terms[2][4] = {};
#pragma unroll
                for (int k = 0; k < STEPS; ++k) {
#pragma unroll
                    for (int h = 0; h < 2; ++h) mma(terms[h], rA[k][i], of(lowB[k], h).x);
#pragma unroll
                    for (int h = 0; h < 2; ++h) mma(terms[h], lowA[k][i], of(rB[k], h).x);
                }
#pragma unroll
                for (int h = 0; h < 2; ++h)
#pragma unroll
                    for (int e = 0; e < 4 && !FINITE; ++e)
                        if (!(fabsf(terms[h][e]) < limits<float>::infinity())) terms[h][e] = 0;
#pragma unroll
                for (int k = 0; k < STEPS; ++k)
#pragma unroll
                    for (int h = 0; h < 2; ++h) mma(terms[h], rA[k][i], of(rB[k], h).x);
#pragma unroll
                for (int h = 0; h < 2; ++h)
#pragma unroll
                    for (int e = 0; e < 4; ++e) acc[i][j + h][e] += terms[h][e];
            }
        }
    }

    // Hands over the sums in the order of memory: ROWS of the tile at a time pass through sC in
    // shared memory; then write(pass) finds row `tile_row(r, pass)` of the tile in row r of sC, and
    // column n of it at `column(n)`: of chunks of eight the second halves lie behind the first ones, so
    // that threads that read chunks side by side ask no bank twice.
    static constexpr int ROWS = WARPS_M * MMA_M, PITCH = BLK_N + 8, SECOND = BLK_N / 2 + 4;

    static __device__ __forceinline__ int tile_row(unsigned r, int pass) {
        return r / MMA_M * WARP_M + pass * MMA_M + r % MMA_M;
    }
    static __device__ __forceinline__ int column(int n) {
        return CHUNK == 4 ? n : n / 8 * 4 + n / 4 % 2 * SECOND + n % 4;
    }

    // The sums of a chunk of a row of sC, from where its first one is.
    static __device__ __forceinline__ void load_sums(float (&sum)[CHUNK], const float* from) {
#pragma unroll
        for (int first = 0; first < CHUNK; first += 4) {
            float four[4];
            load_vector(four, from + first / 4 * SECOND);
#pragma unroll
            for (int e = 0; e < 4; ++e) sum[first + e] = four[e];
        }
    }

    template <typename Write>
    __device__ __forceinline__ void store_through_shared(float* sC, Write write) const {
        const int lane = threadIdx.x % 32, group = lane / 4, pair = lane % 4;
        // Indexed in pairs: NVRTC splits a store at the address of an element.
        using Pair = Vec<8>::type;
        constexpr int STEP = (CHUNK == 4 ? MMA_N : MMA_N / 2) / 2;  // to the next 8 columns
        Pair* const own = reinterpret_cast<Pair*>(sC) +
                          ((m / WARP_M * MMA_M + group) * PITCH + column(n + 2 * pair)) / 2;
#pragma unroll 1
        for (int pass = 0; pass < COUNT_M; ++pass) {
            __syncthreads();  // nobody needs what sC has held so far
#pragma unroll
            for (int i = 0; i < COUNT_M; ++i) {
                if (i != pass) continue;  // registers have no addresses
#pragma unroll
                for (int j = 0; j < COUNT_N; ++j) {
                    const float upper[2] = {acc[i][j][0], acc[i][j][1]};
                    const float lower[2] = {acc[i][j][2], acc[i][j][3]};
                    store_vector(reinterpret_cast<float*>(own + j * STEP), upper);
                    store_vector(reinterpret_cast<float*>(own + 8 * PITCH / 2 + j * STEP), lower);
                }
            }
            __syncthreads();
            write(pass);
        }
    }
};
