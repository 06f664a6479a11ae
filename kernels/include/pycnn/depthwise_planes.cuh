// pycnn/depthwise_planes.cuh: strips of rows of one channel whose columns are neighbours in memory,
// for convolutions whose groups have one channel and one filter.
//
// A thread has a vector of columns and walks down its strip. It asks for the vector and, one by one,
// for what its windows need beside it, which its neighbours have asked for and L1 has.
#pragma once

#include <pycnn/depthwise_strips.cuh>

#ifndef BYTES
#define BYTES 0  // of a vector, of the longer rows; 0: elements one by one
#endif

// Outputs of a thread in a row. Whole vectors want outputs padded by BEFORE columns.
constexpr int COLUMNS = BYTES ? BYTES / sizeof(scalar_t) / STRIDE : 1;
constexpr int BEFORE = KSIZE / 2, AFTER = KSIZE - BEFORE - STRIDE;
constexpr int IN_COLUMNS = COLUMNS * STRIDE + KSIZE - STRIDE;  // of x that they need

// Outputs of a thread: from row p to p_end, COLUMNS from column q on.
struct Strip {
    int n, c, p, p_end, q;
    bool exists;

    // Of all strips of so many channels, columns counting fastest.
    __device__ __forceinline__ Strip(unsigned number, const StripParams& v, int channels) {
        q = next_tile(number, static_cast<unsigned>(v.q), static_cast<unsigned>(COLUMNS));
        p = next_tile(number, static_cast<unsigned>(v.p), static_cast<unsigned>(v.rows));
        c = next_coordinate(number, static_cast<unsigned>(channels));
        n = number;
        exists = n < v.n;
        p_end = p + v.rows < v.p ? p + v.rows : v.p;
    }
};

template <int COUNT>
using Words = typename WordsOf<(COUNT > 0 ? COUNT : 1) * sizeof(scalar_t)>::type;

template <int COUNT>
__device__ __forceinline__ void ask(Words<COUNT>& to, const scalar_t* from, bool there) {
    Words<COUNT> words = {};
    if (COUNT > 0 && there) words = __ldg(reinterpret_cast<const Words<COUNT>*>(from));
    to = words;
}
template <int COUNT>
__device__ __forceinline__ void widen(const Words<COUNT>& words, acc_t* to) {
    scalar_t element[COUNT > 0 ? COUNT : 1];
    memcpy(element, &words, sizeof(element));
    acc_t value[COUNT > 0 ? COUNT : 1];
    if constexpr (COUNT > 1)
        unpack(element, value);
    else
        value[0] = to_acc(element[0]);
#pragma unroll
    for (int i = 0; i < COUNT; ++i) to[i] = value[i];
}

// Neighbours in a row, as they are in memory: a vector, of which those in front and behind are each
// all there or not.
template <bool WHOLE, int FRONT, int OWN, int BACK>
struct Row {
    static constexpr int COUNT = FRONT + OWN + BACK;
    Words<FRONT> front;
    Words<OWN> own;
    Words<BACK> back;

    // From `first` on, those that `there` has a bit for; zeros for others.
    __device__ __forceinline__ void load(const scalar_t* first, unsigned there, int) {
        ask<FRONT>(front, first, there & 1);
        ask<OWN>(own, first + FRONT, there >> FRONT & 1);
        ask<BACK>(back, first + FRONT + OWN, there >> (COUNT - 1) & 1);
    }
    __device__ __forceinline__ void take(acc_t (&to)[COUNT]) const {
        widen<FRONT>(front, to);
        widen<OWN>(own, to + FRONT);
        widen<BACK>(back, to + FRONT + OWN);
    }
};
// One by one.
template <int FRONT, int OWN, int BACK>
struct Row<false, FRONT, OWN, BACK> {
    static constexpr int COUNT = FRONT + OWN + BACK;
    Words<1> at[COUNT];

    __device__ __forceinline__ void load(const scalar_t* first, unsigned there, int step) {
#pragma unroll
        for (int u = 0; u < COUNT; ++u)
            ask<1>(at[u], first + static_cast<index_t>(u) * step, there >> u & 1);
    }
    __device__ __forceinline__ void take(acc_t (&to)[COUNT]) const {
#pragma unroll
        for (int u = 0; u < COUNT; ++u) widen<1>(at[u], to + u);
    }
};

__device__ __forceinline__ void load_taps(acc_t (&taps)[TAPS], const scalar_t* weight, int c,
                                          const StripParams& v) {
#pragma unroll
    for (int i = 0; i < TAPS; ++i)
        taps[i] = to_acc(ldg(weight + c * v.w_c + i / KSIZE * v.w_r + i % KSIZE * v.w_s));
}

// Of a row, those that `there` has a bit for: of a vector all or none.
template <int COUNT>
__device__ __forceinline__ void store(scalar_t* to, const acc_t (&sum)[COUNT], unsigned there,
                                      int step) {
    Block<scalar_t, COUNT> block;
#pragma unroll
    for (int j = 0; j < COUNT; ++j) block.at[j] = from_acc(sum[j]);
    if constexpr (BYTES != 0)
        *reinterpret_cast<Block<scalar_t, COUNT>*>(to) = block;
    else
#pragma unroll
        for (int j = 0; j < COUNT; ++j)
            if (there >> j & 1) to[static_cast<index_t>(j) * step] = block.at[j];
}
