// pycnn/row_vectors.cuh: contiguous rows of whole vectors of 16 bytes, each of which a group of
// threads reads once and keeps in registers. The plan is in pycnn/plan/_row_vectors.py.
#pragma once

#include <pycnn/slices.cuh>
#include <pycnn/narrow.cuh>

constexpr int VECTORS = 4;  // of a thread, of each operand; as in the plan

template <bool YES>
struct Whole {
    static constexpr bool value = YES;
};

// Whether all arrays begin where 16 bytes do, as null does.
template <typename... Arrays>
__device__ __forceinline__ bool all_whole(const Arrays*... arrays) {
    return (... && (reinterpret_cast<unsigned long long>(arrays) % sizeof(Vec) == 0));
}

// body(Whole) of rows in such arrays, or others. Asked once, in front of all that a thread does:
// where the answers met again, ptxas would take vectors of 16 bits apart.
template <typename Body, typename... Arrays>
__device__ __forceinline__ void by_alignment(Body body, const Arrays*... arrays) {
    if (all_whole(arrays...))
        body(Whole<true>());
    else
        body(Whole<false>());
}

// The elements of a row that a thread has: neighbours in the group have neighbouring vectors. All
// loops over them are unrolled: they stay in registers. WHOLE: they come and go in vectors, else
// one by one. COUNT of them of each operand.
template <bool WHOLE, int COUNT = VECTORS>
struct AskedRow {
    index_t start;         // where the row begins
    int first, step, end;  // end: 0 for no row

    template <typename Group>
    __device__ __forceinline__ AskedRow(const Group& group, index_t row, int length, bool there)
        : start(row * length),
          first(group.thread_rank * VEC_SIZE),
          step(group.size * VEC_SIZE),
          end(there ? length : 0) {}

    __device__ __forceinline__ int at(int k) const { return first + k * step; }
    __device__ __forceinline__ bool has(int k) const { return at(k) < end; }

    // All requested before any is used; `missing` where the row has no more: so that nobody has to
    // ask again.
    __device__ __forceinline__ void load(const scalar_t* __restrict__ from, Vec (&vec)[COUNT],
                                         acc_t missing) const {
        from += start;
        Vec none;
#pragma unroll
        for (int i = 0; i < VEC_SIZE; ++i) none.at[i] = from_acc(missing);
#pragma unroll
        for (int k = 0; k < COUNT; ++k) {
            if constexpr (WHOLE) {
                uint4 words;  // registers, not halves of them
                memcpy(&words, &none, sizeof(words));
                if (has(k)) words = __ldg(reinterpret_cast<const uint4*>(from + at(k)));
                memcpy(vec + k, &words, sizeof(words));
            } else {
                vec[k] = none;
#pragma unroll
                for (int i = 0; i < VEC_SIZE; ++i)
                    if (has(k)) vec[k].at[i] = ldg(from + at(k) + i);
            }
        }
    }

    // Those of vector k, which is there: of `vec`, which load() has filled; one by one they are read
    // again, as so many loose elements do not stay in registers.
    __device__ __forceinline__ void values(const scalar_t* __restrict__ from,
                                           const Vec (&vec)[COUNT], int k,
                                           acc_t (&value)[VEC_SIZE]) const {
        if constexpr (WHOLE) {
            const Vec own = hidden(vec[k]);
            unpack(own.at, value);
        } else {
#pragma unroll
            for (int i = 0; i < VEC_SIZE; ++i) value[i] = to_acc(ldg(from + start + at(k) + i));
        }
    }

    // body(k, those values) of every vector that is there.
    template <typename Body>
    __device__ __forceinline__ void each(const scalar_t* __restrict__ from,
                                         const Vec (&vec)[COUNT], Body body) const {
#pragma unroll(WHOLE ? COUNT : 1)
        for (int k = 0; k < COUNT; ++k) {
            if (!has(k)) continue;
            acc_t value[VEC_SIZE];
            values(from, vec, k, value);
            body(k, value);
        }
    }

    // Vector k of the result, made of values by value(i).
    template <typename Value>
    __device__ __forceinline__ void store(scalar_t* to, int k, Value value) const {
        Vec vec;
#pragma unroll
        for (int i = 0; i < VEC_SIZE; ++i) vec.at[i] = from_acc(value(i));
        scalar_t* const place = to + start + at(k);
        if constexpr (WHOLE)
            *reinterpret_cast<Vec*>(place) = vec;
        else
#pragma unroll
            for (int i = 0; i < VEC_SIZE; ++i) place[i] = vec.at[i];
    }
};

// body(k, values of vector k): every vector, there or missing.
template <typename Body>
__device__ __forceinline__ void each_vector(const Vec (&vec)[VECTORS], Body body) {
#pragma unroll
    for (int k = 0; k < VECTORS; ++k) {
        acc_t value[VEC_SIZE];
        unpack(vec[k].at, value);
        body(k, value);
    }
}

// The maximum of a row, over the group; NaN is passed over.
template <typename Group>
__device__ __forceinline__ acc_t row_maximum(const Group& group, const Vec (&vec)[VECTORS]) {
    acc_t top = Max::identity();
    const auto add = [&](const acc_t(&value)[VEC_SIZE]) {
#pragma unroll
        for (int i = 0; i < VEC_SIZE; ++i) top = fmax(top, value[i]);
    };
    if constexpr (IN_PAIRS) {
        unsigned pairs[VECTORS][4];
        memcpy(pairs, vec, sizeof(pairs));
#pragma unroll
        for (int k = 1; k < VECTORS; ++k)
#pragma unroll
            for (int i = 0; i < 4; ++i) pairs[0][i] = larger_of_pairs(pairs[0][i], pairs[k][i]);
        acc_t value[VEC_SIZE];
        unpack(*reinterpret_cast<const scalar_t(*)[VEC_SIZE]>(pairs[0]), value);
        add(value);
    } else {
        each_vector(vec, [&](int, const acc_t(&value)[VEC_SIZE]) { add(value); });
    }
    return group.reduce(top, Max());
}
