// pycnn/depthwise_channels.cuh: strips of rows of two channels that are neighbours in memory, for
// convolutions whose groups have one channel and one filter.
//
// A thread walks down its strip. It has a few columns of outputs, and a row of x under them at a
// time, as it is in memory; the next row is on its way.
#pragma once

#include <pycnn/block.cuh>
#include <pycnn/epilogue.cuh>
#include <pycnn/narrow.cuh>

#ifndef KSIZE
#define KSIZE 3  // R and S
#endif
#ifndef STRIDE
#define STRIDE 1  // along both axes
#endif

constexpr int THREADS = 128;
constexpr int TAPS = KSIZE * KSIZE;
constexpr int OUT_ROWS = ceil_div(KSIZE, STRIDE);  // rows of outputs that a row of x reaches
constexpr int VEC = sizeof(scalar_t) > 4 ? 1 : 2;  // channels of a thread
// Of 2, 4 and 8 bytes, filters of 3x3 and 5x5 and strides 1 and 2: the last counts fastest.
constexpr int KIND = sizeof(scalar_t) / 4 * 4 + (KSIZE > 3) * 2 + (STRIDE > 1);

// Columns of outputs, as many as registers hold, and blocks of a multiprocessor.
constexpr int COLUMNS_OF[] = {7, 7, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4};
constexpr int BLOCKS_OF[] = {4, 4, 3, 3, 4, 4, 3, 3, 3, 3, 2, 2};
constexpr int COLUMNS = COLUMNS_OF[KIND], BLOCKS = BLOCKS_OF[KIND];
constexpr int IN_COLUMNS = COLUMNS * STRIDE + KSIZE - STRIDE;  // of x that they need

// Strides in elements.
struct StripParams {
    index_t x_n, x_c, x_h, y_n, y_c, y_p, w_c, w_r, w_s;
    int x_w, y_q;
    int n, channels, h, w, p, q;
    int top, left;
    int rows;       // of outputs of a strip
    int vectors;    // whether channels are whole vectors in memory, of x, y and the residual
    int tap_order;  // of w, if contiguous: 1; last tap first: -1; else 0
};

// Outputs of a thread: from row p to p_end, from column q, of `channels` channels from c on.
struct Strip {
    int n, c, p, p_end, q, channels;
    bool exists;

    __device__ __forceinline__ explicit Strip(const StripParams& v) {
        unsigned number = blockIdx.x * THREADS + threadIdx.x;
        c = next_tile(number, static_cast<unsigned>(v.channels), static_cast<unsigned>(VEC));
        q = next_tile(number, static_cast<unsigned>(v.q), static_cast<unsigned>(COLUMNS));
        p = next_tile(number, static_cast<unsigned>(v.p), static_cast<unsigned>(v.rows));
        n = number;
        exists = n < v.n;
        p_end = p + v.rows < v.p ? p + v.rows : v.p;
        channels = v.channels - c < VEC ? v.channels - c : VEC;
    }
};

using Vec = Block<scalar_t, VEC>;

// A vector as a register: else those of 16 bits are taken apart where a condition ends.
template <int BYTES>
struct WordsOf {
    using type = uint2;
};
template <>
struct WordsOf<4> {
    using type = unsigned;
};
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

// Of columns from `first` on, a bit for each that is inside a row.
template <int COUNT>
__device__ __forceinline__ unsigned columns_inside(int first, int width) {
    unsigned there = 0;
#pragma unroll
    for (int u = 0; u < COUNT; ++u) there |= inside(first + u, width) << u;
    return there;
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

template <int N>
struct Number {
    static constexpr int value = N;
};

// step(Number<0>) to step(Number<COUNT - 1>), as long as they are true.
template <int COUNT, int TURN = 0, typename Step>
__device__ __forceinline__ bool in_turn(Step& step) {
    if (!step(Number<TURN>())) return false;
    if constexpr (TURN + 1 < COUNT)
        return in_turn<COUNT, TURN + 1>(step);
    else
        return true;
}
