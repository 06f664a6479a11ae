// pycnn/depthwise_channels.cuh: strips of rows of two channels that are neighbours in memory, for
// convolutions whose groups have one channel and one filter.
//
// A thread walks down its strip. It has a few columns of outputs, and a row of x under them at a
// time, as it is in memory; the next row is on its way.
#pragma once

#include <pycnn/depthwise_strips.cuh>

constexpr int VEC = sizeof(scalar_t) > 4 ? 1 : 2;  // channels of a thread

// Columns of outputs, as many as registers hold, and blocks of a multiprocessor.
constexpr int COLUMNS_OF[] = {7, 7, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4};
constexpr int BLOCKS_OF[] = {4, 4, 3, 3, 4, 4, 3, 3, 3, 3, 2, 2};
constexpr int COLUMNS = COLUMNS_OF[KIND], BLOCKS = BLOCKS_OF[KIND];
constexpr int IN_COLUMNS = COLUMNS * STRIDE + KSIZE - STRIDE;  // of x that they need

// Outputs of a thread: from row p to p_end, from column q, of `channels` channels from c on.
struct Strip {
    int n, c, p, p_end, q, channels;
    bool exists;

    __device__ __forceinline__ explicit Strip(const StripParams& v, int columns = COLUMNS) {
        unsigned number = blockIdx.x * THREADS + threadIdx.x;
        c = next_tile(number, static_cast<unsigned>(v.channels), static_cast<unsigned>(VEC));
        q = next_tile(number, static_cast<unsigned>(v.q), static_cast<unsigned>(columns));
        p = next_tile(number, static_cast<unsigned>(v.p), static_cast<unsigned>(v.rows));
        n = number;
        exists = n < v.n;
        p_end = p + v.rows < v.p ? p + v.rows : v.p;
        channels = v.channels - c < VEC ? v.channels - c : VEC;
    }
};

using Vec = Block<scalar_t, VEC>;

using Words = WordsOf<sizeof(Vec)>::type;

__device__ __forceinline__ void widen(const Words& words, acc_t (&value)[VEC]) {
    Vec vec;
    memcpy(&vec, &words, sizeof(vec));
    unpack(vec.at, value);
}

// from + COUNT * step, in one instruction at the place where it is needed: else the compiler keeps
// all such places of a loop in registers.
template <int COUNT, typename T>
__device__ __forceinline__ T* steps_on(T* from, int step) {
#ifdef PYCNN_EMULATOR
    return from + static_cast<index_t>(COUNT) * step;
#else
    size_t address = __cvta_generic_to_global(from);
    constexpr int BYTES = COUNT * sizeof(T);
    asm("mad.wide.s32 %0, %1, %2, %0;" : "+l"(address) : "r"(step), "n"(BYTES));
    return static_cast<T*>(__cvta_global_to_generic(address));
#endif
}

// A row of vectors is known by a place so many steps in front of it: ptxas makes two instructions
// of a product by a power of two, and one of these.
constexpr int AHEAD = 17;

// Columns of a row from AHEAD steps behind `row` on, those that `there` has a bit for; zeros for
// others.
template <int U = 0, int COUNT>
__device__ __forceinline__ void load_columns(Words (&to)[COUNT], const scalar_t* row,
                                             unsigned there, int step) {
    if constexpr (U < COUNT) {
        Words words = {};
        if (there >> U & 1)
            words = __ldg(reinterpret_cast<const Words*>(steps_on<AHEAD + U>(row, step)));
        to[U] = words;
        load_columns<U + 1>(to, row, there, step);
    }
}
template <int COUNT>
__device__ __forceinline__ void load_row(Words (&to)[COUNT], const scalar_t* row, unsigned there,
                                         int step) {
    constexpr unsigned ALL = (1u << COUNT) - 1;
    if (there == ALL)  // nobody asks column by column
        load_columns(to, row, ALL, step);
    else
        load_columns(to, row, there, step);
}

// Columns of a row from AHEAD steps behind `row` on, those that `there` has a bit for; of sums,
// channels counting fastest.
template <int U = 0, int COUNT>
__device__ __forceinline__ void store_columns(scalar_t* row, const acc_t (&sum)[COUNT],
                                              unsigned there, int step) {
    if constexpr (U * VEC < COUNT) {
        Vec vec;
#pragma unroll
        for (int i = 0; i < VEC; ++i) vec.at[i] = from_acc(sum[U * VEC + i]);
        if (there >> U & 1) *reinterpret_cast<Vec*>(steps_on<AHEAD + U>(row, step)) = vec;
        store_columns<U + 1>(row, sum, there, step);
    }
}

// The filters of a thread's channels.
__device__ __forceinline__ void load_taps(acc_t (&taps)[TAPS][VEC], const scalar_t* weight, int c,
                                          const StripParams& v) {
    if (v.tap_order && aligned_to<scalar_t, VEC>(weight)) {
        Vec vec[TAPS];
        const scalar_t* const from = weight + (v.tap_order < 0 ? 1 - TAPS : 0) + c * v.w_c;
#pragma unroll
        for (int i = 0; i < TAPS; ++i) {
            const Words words = __ldg(reinterpret_cast<const Words*>(from + i * VEC));
            memcpy(vec + i, &words, sizeof(words));
        }
        const auto at = [&](int i) { return vec[i / VEC].at[i % VEC]; };
#pragma unroll
        for (int i = 0; i < TAPS; ++i)
#pragma unroll
            for (int k = 0; k < VEC; ++k)
                taps[i][k] = to_acc(v.tap_order < 0 ? at(k * TAPS + TAPS - 1 - i) : at(k * TAPS + i));
        return;
    }
#pragma unroll
    for (int i = 0; i < TAPS; ++i)
#pragma unroll
        for (int k = 0; k < VEC; ++k)
            taps[i][k] = to_acc(
                ldg(weight + (c + k) * v.w_c + i / KSIZE * v.w_r + i % KSIZE * v.w_s));
}
