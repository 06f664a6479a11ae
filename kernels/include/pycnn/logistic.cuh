// pycnn/logistic.cuh: the logistic function s(x) = 1 / (1 + exp(-x)) and its derivative.
//
// Both from e = exp(-|x|), which never overflows: s is 1 / (1 + e) or e / (1 + e), and
// s' = s (1 - s) = e / (1 + e)^2, so that neither loses digits where it is tiny.
#pragma once

#include <pycnn/kernel.cuh>

struct Logistic {
    acc_t value, slope;

    __device__ __forceinline__ explicit Logistic(acc_t x) {
        const acc_t e = exp(-fabs(x)), sum = 1 + e;
        value = (x > 0 ? acc_t(1) : e) / sum;
        slope = e / (sum * sum);
    }
};
