// pycnn/row_parameters.cuh: weights and biases of contiguous rows of whole vectors.
#pragma once

#include <pycnn/row_vectors.cuh>

// Weights or biases of a row: neighbours, of type scalar_t or acc_t ("wide"); null: all `missing`.
template <bool WHOLE>
struct Parameters {
    const void* from;
    int wide;
    acc_t missing;

    // Those of the vector at element i.
    __device__ __forceinline__ void load(int i, acc_t (&value)[VEC_SIZE]) const {
        constexpr int PART = 16 / sizeof(acc_t);
        struct alignas(16) Wide {
            acc_t at[PART];
        };
        const auto* narrow = static_cast<const scalar_t*>(from) + i;
        const auto* its = static_cast<const acc_t*>(from) + i;
        if (!from) {
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) value[k] = missing;
        } else if constexpr (!WHOLE) {
#pragma unroll
            for (int k = 0; k < VEC_SIZE; ++k) value[k] = wide ? its[k] : to_acc(narrow[k]);
        } else if (!wide) {
            const Vec vec = *reinterpret_cast<const Vec*>(narrow);
            unpack(vec.at, value);
        } else {
#pragma unroll
            for (int k = 0; k < VEC_SIZE; k += PART) {
                const Wide part = *reinterpret_cast<const Wide*>(its + k);
#pragma unroll
                for (int j = 0; j < PART; ++j) value[k + j] = part.at[j];
            }
        }
    }
};
