// pycnn/logistic.cuh: the logistic function s(x) = 1 / (1 + exp(-x)) and its derivative.
//
// Both from e = exp(-|x|), which never overflows: s is 1 / (1 + e) or e / (1 + e), and
// s' = s (1 - s) = e / (1 + e)^2, so that neither loses digits where it is tiny.
#pragma once

#include <pycnn/narrow.cuh>

struct Logistic {
    acc_t value, slope;

    __device__ __forceinline__ explicit Logistic(acc_t x) {
        if constexpr (sizeof(scalar_t) == 2) {
            const acc_t e = exp2f(static_cast<float>(fabs(x)) * -1.44269504f);
            const acc_t inverse = reciprocal(1 + e);
            value = (x > 0 ? acc_t(1) : e) * inverse;
            slope = e * inverse * inverse;
        } else {
            const acc_t e = exp(-fabs(x)), sum = 1 + e;
            value = (x > 0 ? acc_t(1) : e) / sum;
            slope = e / (sum * sum);
        }
    }
};
