// pycnn/gemm_mma.cuh: how the warps of a block share a tile of a product on tensor cores: tiles of
// 16-bit or float elements, or of bytes of X_TYPE and W_TYPE, in shared memory, the fragments that a
// warp reads from them, and its sums.
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
#ifdef X_TYPE
#include <pycnn/byte_sums.cuh>
#endif

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
constexpr bool IS_BYTES = sizeof(scalar_t) == 1;

template <bool FIRST, typename A, typename B>
struct Choose {
    using type = A;
};
template <typename A, typename B>
struct Choose<false, A, B> {
    using type = B;
};

using sum_t = Choose<IS_BYTES, int, float>::type;

// The same number, which is kept in a register: it is not made again from its parts wherever it is used,
// as the compiler believes that it may come from another lane.
__device__ __forceinline__ int kept(int number) {
    return __shfl_sync(0xffffffffu, number, threadIdx.x % 32);
}

// Copies a chunk to shared memory: asynchronously in one piece, or element by element where the
// address is not aligned. Zeros, and no reading, unless it exists.
__device__ __forceinline__ void copy_chunk(scalar_t* to, const scalar_t* from, bool exists,
                                           bool vector) {
    if (vector) {
        copy_async<16>(to, from, exists);
    } else {
        scalar_t one_by_one[CHUNK];
#pragma unroll
        for (int e = 0; e < CHUNK; ++e) one_by_one[e] = exists ? from[e] : scalar_t(0);
        store_vector(to, one_by_one);
    }
}

// The same, and four bytes all over a chunk that does not exist: with no branch, which the compiler
// would make.
__device__ __forceinline__ void copy_or_fill(scalar_t* to, const scalar_t* from, bool exists,
                                             unsigned four, bool vector) {
#if __CUDA_ARCH__ >= 800
    if (vector) {
        asm volatile(
            "{.reg .pred p; setp.ne.s32 p, %2, 0;"
            " @p cp.async.cg.shared.global [%0], [%1], 16;"
            " @!p st.shared.v4.u32 [%0], {%3, %3, %3, %3};}" ::"r"(
                static_cast<unsigned>(__cvta_generic_to_shared(to))),
            "l"(from), "r"(static_cast<int>(exists)), "r"(four)
            : "memory");
        return;
    }
#endif
    const unsigned words[] = {four, four, four, four};
    if (exists)
        copy_chunk(to, from, true, vector);
    else
        store_vector(reinterpret_cast<unsigned*>(to), words);
}

// Where the elements of a tile lie in shared memory: rows of k where K_MAJOR, else of mn. Chunks are
// permuted within a row so that no bank is asked twice: not by eight threads that store a row, nor
// by the eight rows that `ldmatrix` reads of an 8x8 matrix, nor by eight threads that read four
// floats each of 4 rows of k.
//
// `ldmatrix` turns pairs of bytes only. Floats in rows of k are read four neighbours along mn at a
// time, which then count as rows (or columns) of four products: which indices a product has is free
// as long as its sums are stored there. So value `v` of lane group `group` is of index
// v / 4 * 32 + group * 4 + v % 4 of the warp's, not v * 8 + group: see WarpTile.
template <int BLK_MN, bool K_MAJOR>
struct MmaLayout {
    static constexpr int ROWS = K_MAJOR ? BLK_MN : BLK_K;
    static constexpr int CHUNKS = (K_MAJOR ? BLK_K : BLK_MN) / CHUNK;  // of a row
    static constexpr int SIZE = BLK_MN * BLK_K;
    static constexpr bool IN_FOURS = !K_MAJOR && IS_TF32;
    // Rows that share the 128 bytes of all banks, and how many orders of chunks there are.
    static constexpr int TOGETHER = CHUNKS < 8 ? 8 / CHUNKS : 1;
    static constexpr int ORDERS = IN_FOURS ? 4 : CHUNKS < 8 ? CHUNKS : 8;

    static __device__ __forceinline__ int at(int row, int chunk) {
        const int order = IN_FOURS ? row % 4 * 2 : row / TOGETHER % ORDERS;
        return (row * CHUNKS + (chunk ^ order)) * CHUNK;
    }

    // A chunk of a row `step` rows further, of the same order.
    static __device__ __forceinline__ void copy(scalar_t* tile, int row, int step, int chunk,
                                                const scalar_t* from, bool exists, bool vector) {
        copy_chunk(tile + at(row, chunk) + step * CHUNKS * CHUNK, from, exists, vector);
    }

    // The fragments of N products of A, or of 2 N of B, from (mn + mn_step, k) on. Steps and k are
    // constants, multiples of 16 and of MMA_K (of 32 where IN_FOURS) that share no bit with mn: so an
    // address is one of few, and a constant.
    template <bool OF_A, int N>
    static __device__ __forceinline__ void load(unsigned (&fragment)[N][4], const scalar_t* tile,
                                                int mn, int mn_step, int k) {
        if constexpr (IN_FOURS) {
            const int group = threadIdx.x % 32 / 4, pair = threadIdx.x % 4;
            const auto from = reinterpret_cast<const unsigned*>(tile + at(pair, group) + mn);
            static_assert(N % 2 == 0, "four values of a lane");
#pragma unroll
            for (int f = 0; f < N; f += 2)
#pragma unroll
                for (int half = 0; half < 2; ++half) {
                    unsigned four[4];
                    load_vector(four,
                                from + (k + half * 4) * CHUNKS * CHUNK + mn_step + f * 16);
#pragma unroll
                    for (int v = 0; v < 4; ++v)
                        fragment[f + v / 2][OF_A ? v % 2 + 2 * half : v % 2 * 2 + half] = four[v];
                }
        } else {
#pragma unroll
            for (int f = 0; f < N; ++f) load_matrices<OF_A>(fragment[f], tile, mn, mn_step + f * 16, k);
        }
    }

    // Four matrices of 8 x 16 bytes, as registers of `mma`: mn runs faster than k in those of A,
    // slower in those of B.
    template <bool OF_A>
    static __device__ __forceinline__ void load_matrices(unsigned (&fragment)[4],
                                                         const scalar_t* tile, int mn, int mn_step,
                                                         int k) {
        static_assert(IN_FOURS || 16 % (TOGETHER * ORDERS) == 0, "the order 16 rows further");
        const int lane = threadIdx.x % 32, first = lane / 8 % 2, second = lane / 16;
        const int of_mn = OF_A ? first : second, of_k = OF_A ? second : first;
        if constexpr (K_MAJOR) {
            const int row = mn + of_mn * 8 + lane % 8;
            ldmatrix<4>(fragment, tile + at(row, of_k ^ k / CHUNK) + mn_step * CHUNKS * CHUNK);
        } else {
            const int row = of_k * 8 + lane % 8, chunk = mn / CHUNK ^ of_mn;
            ldmatrix<4, true>(fragment,
                              tile + at(row, chunk ^ mn_step / CHUNK) + k * CHUNKS * CHUNK);
        }
    }
};

// D += A B on fragments.
__device__ __forceinline__ void mma(sum_t (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#ifdef X_TYPE
    mma_int8<X_TYPE, W_TYPE>(d, a, b);
#elif PYCNN_JOIN(PYCNN_IS_, SCALAR) == 1
    mma_f16(d, a, b);
#elif PYCNN_JOIN(PYCNN_IS_, SCALAR) == 2
    mma_bf16(d, a, b);
#else
    mma_tf32(d, a, b);
#endif
}

// Rounds the floats of fragments to TF32. Where they came IN_FOURS, what sm_90 has for it leaves the
// compiler moving registers: a product takes some of every four.
template <bool IN_FOURS, int N>
__device__ __forceinline__ void round_tf32(unsigned (&fragment)[N][4]) {
#pragma unroll
    for (int i = 0; i < N; ++i)
#pragma unroll
        for (int r = 0; r < 4; ++r) {
            const float x = __uint_as_float(fragment[i][r]);
            fragment[i][r] = IN_FOURS ? scaled_to_tf32(x) : near_tf32(x);
        }
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
// would spill, and 4 x 1 where loads of A take no more than those of B.
template <int BLK_M, int BLK_N, bool A_K_MAJOR, bool B_K_MAJOR, int ABOVE = 2>
struct WarpTile {
    using LayoutA = MmaLayout<BLK_M, A_K_MAJOR>;
    using LayoutB = MmaLayout<BLK_N, B_K_MAJOR>;
    static constexpr int WARPS_M = ABOVE;
    static constexpr int WARPS_N = ABOVE == 4 ? 1 : IS_SPLIT && BLK_M * BLK_N > 128 * 64 ? 4 : 2;
    static constexpr int THREADS = WARPS_M * WARPS_N * 32;
    static constexpr int WARP_M = BLK_M / WARPS_M, WARP_N = BLK_N / WARPS_N;
    static constexpr int COUNT_M = WARP_M / MMA_M, COUNT_N = WARP_N / MMA_N;
    static_assert(COUNT_M % 2 == 0 && COUNT_M > 0 && COUNT_N % 2 == 0 && COUNT_N > 0, "pairs");

    const int m, n;  // the first output
    sum_t acc[COUNT_M][COUNT_N][4];
#ifdef X_TYPE
    ByteSums<COUNT_M, COUNT_N> bytes;
#endif

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
    template <bool FINITE>
    __device__ __forceinline__ void multiply(const scalar_t* sA, const scalar_t* sB) {
        constexpr int STEP = IS_SPLIT ? STEPS * MMA_K : MMA_K;
#pragma unroll(BY_LANES ? 1 : BLK_K / STEP)
        for (int k = 0; k < BLK_K; k += STEP) {
            if constexpr (IS_SPLIT)
                add_terms<FINITE>(sA, sB, k);
            else
                add_products(sA, sB, k);
        }
    }

    // Fragments of B that are loaded at a time: few, as registers are.
    static constexpr int PAIRS = LayoutB::IN_FOURS ? 2 : 1;

    __device__ __forceinline__ void add_products(const scalar_t* sA, const scalar_t* sB, int k) {
        unsigned rA[COUNT_M][4];
        LayoutA::template load<true>(rA, sA, m, 0, k);
        if constexpr (IS_TF32) round_tf32<LayoutA::IN_FOURS>(rA);
#ifdef X_TYPE
        bytes.add_a(rA);
#endif
#pragma unroll
        for (int j = 0; j < COUNT_N; j += 2 * PAIRS) {
            unsigned rB[PAIRS][4];
            LayoutB::template load<false>(rB, sB, n, j * MMA_N, k);
            if constexpr (IS_TF32) round_tf32<LayoutB::IN_FOURS>(rB);
#ifdef X_TYPE
            bytes.add_b(rB[0], j);
#endif
#pragma unroll
            for (int i = 0; i < COUNT_M; ++i)
#pragma unroll
                for (int of = 0; of < 2 * PAIRS; ++of)
                    mma(acc[i][j + of], rA[i], {rB[of / 2][of % 2 * 2], rB[of / 2][of % 2 * 2 + 1]});
        }
    }

    static constexpr int STEPS = BY_LANES ? 1 : 2;

    template <bool FINITE>
    __device__ __forceinline__ void add_terms(const scalar_t* sA, const scalar_t* sB, int first_k) {
        unsigned rA[STEPS][COUNT_M][4], lowA[STEPS][COUNT_M][4];
#pragma unroll
        for (int k = 0; k < STEPS; ++k) {
            LayoutA::template load<true>(rA[k], sA, m, 0, first_k + k * MMA_K);
#pragma unroll
            for (int i = 0; i < COUNT_M; ++i) split_tf32<FINITE>(rA[k][i], lowA[k][i]);
        }
        unsigned wholeB[STEPS][PAIRS][4];
#pragma unroll
        for (int j = 0; j < COUNT_N; j += 2) {
            const int of_pair = j / 2 % PAIRS;
            unsigned rB[STEPS][4], lowB[STEPS][4];
#pragma unroll
            for (int k = 0; k < STEPS; ++k) {
                if (of_pair == 0)
                    LayoutB::template load<false>(wholeB[k], sB, n, j * MMA_N, first_k + k * MMA_K);
#pragma unroll
                for (int r = 0; r < 4; ++r) rB[k][r] = wholeB[k][of_pair][r];
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
    // column n of it at `column(n)`: of chunks of eight or sixteen every four lie behind those of all
    // chunks before, so that threads that read chunks side by side ask no bank twice. Nor do those that
    // read columns side by side, as they do of partial sums, where halves of chunks are 16 banks apart.
    static constexpr bool OWN_ROWS = WARPS_N == 1;  // a warp needs no other: sC is for sums alone
    static constexpr bool BY_COLUMNS = CHUNK == 8 && !OWN_ROWS;
    static constexpr int ROWS = WARPS_M * MMA_M, FOURS = CHUNK / 4;
    static constexpr int APART = BLK_N / FOURS + (BY_COLUMNS ? 16 : 4);
    static constexpr int PITCH =
        BLK_N + (LayoutB::IN_FOURS ? 4 : IS_BYTES ? 24 : BY_COLUMNS ? 36 : 8);

    static __device__ __forceinline__ int tile_row(unsigned r, int pass) {
        const int of_warp = r % MMA_M, v = 2 * pass + of_warp / 8;
        return r / MMA_M * WARP_M +
               (LayoutA::IN_FOURS ? v / 4 * 32 + of_warp % 8 * 4 + v % 4 : pass * MMA_M + of_warp);
    }
    static __device__ __forceinline__ int column(int n) {
        return CHUNK == 4 ? n : n / CHUNK * 4 + n / 4 % FOURS * APART + n % 4;
    }

    // The sums of a chunk of a row of sC, from where its first one is.
    static __device__ __forceinline__ void load_sums(sum_t (&sum)[CHUNK], const sum_t* from) {
#pragma unroll
        for (int first = 0; first < CHUNK; first += 4) {
            sum_t four[4];
            load_vector(four, from + first / 4 * APART);
#pragma unroll
            for (int e = 0; e < 4; ++e) sum[first + e] = four[e];
        }
    }

    // A lane's sums of a row of a product, of which the tensor cores leave two columns in each of them.
    __device__ __forceinline__ void store_row(sum_t* sC, int row, const sum_t (&sums)[COUNT_N][4],
                                              int half) const {
        const int pair = threadIdx.x % 4, first = row * PITCH;
        if constexpr (LayoutB::IN_FOURS) {
#pragma unroll
            for (int j = 0; j < COUNT_N; j += 4)
#pragma unroll
                for (int e = 0; e < 2; ++e) {
                    sum_t four[4];
#pragma unroll
                    for (int v = 0; v < 4; ++v) four[v] = sums[j + v][2 * half + e];
                    store_vector(nth_vector<4>(sC, (first + n + 8 * pair) / 4 + j * 2 + e), four);
                }
        } else {
#pragma unroll
            for (int j = 0; j < COUNT_N; ++j) {
                const sum_t two[2] = {sums[j][2 * half], sums[j][2 * half + 1]};
                const int at = (first + column(n + 2 * pair)) / 2 + column(j * MMA_N) / 2;
                store_vector(nth_vector<2>(sC, at), two);
            }
        }
    }

    static __device__ __forceinline__ void wait_for_rows() {
        if constexpr (OWN_ROWS)
            __syncwarp();
        else
            __syncthreads();
    }

    template <typename Write>
    __device__ __forceinline__ void store_through_shared(sum_t* sC, Write write) const {
        const int row = m / WARP_M * MMA_M + threadIdx.x % 32 / 4;
#pragma unroll 1
        for (int pass = 0; pass < COUNT_M; ++pass) {
            wait_for_rows();  // nobody needs what sC has held so far
#pragma unroll
            for (int i = 0; i < COUNT_M; ++i) {
                if (i != pass) continue;  // registers have no addresses
#pragma unroll
                for (int half = 0; half < 2; ++half)
                    store_row(sC, row + half * 8, acc[i], half);
            }
            wait_for_rows();  // all sums of these rows are there
            write(pass);
        }
    }
};
