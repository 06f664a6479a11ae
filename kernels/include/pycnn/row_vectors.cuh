// pycnn/row_vectors.cuh: contiguous rows of whole vectors of 16 bytes, each of which a group of
// threads reads once and keeps in registers. The plan is in pycnn/plan/_row_vectors.py.
#pragma once

#include <pycnn/slices.cuh>
#include <pycnn/narrow.cuh>

constexpr int VECTORS = 4;  // of a thread, of each operand; as in the plan

// Which elements of a row a thread has: neighbours in the group have neighbouring vectors. All
// loops over them are unrolled: they stay in registers.
struct RowVectors {
    index_t start;         // where the row begins
    int first, step, end;  // end: 0 for no row

    template <typename Group>
    __device__ __forceinline__ RowVectors(const Group& group, index_t row, int length, bool there)
        : start(row * length),
          first(group.thread_rank * VEC_SIZE),
          step(group.size * VEC_SIZE),
          end(there ? length : 0) {}

    __device__ __forceinline__ int at(int k) const { return first + k * step; }
    __device__ __forceinline__ bool has(int k) const { return at(k) < end; }

    // All requested before any is used; `missing` where the row has no more: so that nobody has to
    // ask again. Where the address is no multiple of 16 bytes, one by one.
    __device__ __forceinline__ void load(const scalar_t* __restrict__ from, Vec (&vec)[VECTORS],
                                         acc_t missing) const {
        const bool vectors = skew(from) == 0;
        from += start;
        Vec none;
#pragma unroll
        for (int i = 0; i < VEC_SIZE; ++i) none.at[i] = from_acc(missing);
#pragma unroll
        for (int k = 0; k < VECTORS; ++k) vec[k] = none;
        if (vectors) {
#pragma unroll
            for (int k = 0; k < VECTORS; ++k)
                if (has(k)) vec[k] = *reinterpret_cast<const Vec*>(from + at(k));
        } else {
#pragma unroll
            for (int k = 0; k < VECTORS; ++k)
#pragma unroll
                for (int i = 0; i < VEC_SIZE; ++i)
                    if (has(k)) vec[k].at[i] = ldg(from + at(k) + i);
        }
    }

    // Vector k of the result, made of values by value(i).
    template <typename Value>
    __device__ __forceinline__ void store(scalar_t* to, int k, Value value) const {
        Vec vec;
#pragma unroll
        for (int i = 0; i < VEC_SIZE; ++i) vec.at[i] = from_acc(value(i));
        scalar_t* const place = to + start + at(k);
        if (skew(to) == 0)
            *reinterpret_cast<Vec*>(place) = vec;
        else
#pragma unroll
            for (int i = 0; i < VEC_SIZE; ++i) place[i] = vec.at[i];
    }
};

template <bool YES>
struct Whole {
    static constexpr bool value = YES;
};

// body(Whole) of rows in `arrays`: whether all begin where 16 bytes do. Asked once, in front of all
// that a thread does: where the answers met again, ptxas would take vectors of 16 bits apart.
template <typename Body, typename... Arrays>
__device__ __forceinline__ void by_alignment(Body body, const Arrays*... arrays) {
    if ((... && (skew(arrays) == 0)))
        body(Whole<true>());
    else
        body(Whole<false>());
}

// The same where that has been asked; WHOLE: in vectors, else one by one.
template <bool WHOLE>
struct AskedRow : RowVectors {
    using RowVectors::RowVectors;

    // All requested before any is used; `missing` where the row has no more: so that nobody has to
    // ask again.
    __device__ __forceinline__ void load(const scalar_t* __restrict__ from, Vec (&vec)[VECTORS],
                                         acc_t missing) const {
        from += start;
        Vec none;
#pragma unroll
        for (int i = 0; i < VEC_SIZE; ++i) none.at[i] = from_acc(missing);
#pragma unroll
        for (int k = 0; k < VECTORS; ++k) {
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
    each_vector(vec, [&](int, const acc_t (&value)[VEC_SIZE]) {
#pragma unroll
        for (int i = 0; i < VEC_SIZE; ++i) top = fmax(top, value[i]);
    });
    return group.reduce(top, Max());
}
