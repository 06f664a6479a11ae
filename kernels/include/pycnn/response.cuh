// pycnn/response.cuh: what both kernels of local response normalisation share, norm/response.cu and
// response_vectors.cu.
#pragma once

#include <pycnn/norm.cuh>

template <int OPERANDS>
struct Response {
    index_t pixels, channels;
    int size, tile, rows;        // rows: pixels of a block (response_rows)
    int before, after;           // channels of a window beside its own
    index_t channel[OPERANDS];   // elements from channel to channel
    double share, beta, k;       // share: alpha / size
    Strided<OPERANDS> pixel;
};

__device__ __forceinline__ acc_t power(acc_t d, acc_t beta) {  // d^-beta
    if (beta == acc_t(0.75) && d >= 0) {  // a root of -infinity is none, its power is
        const acc_t root = sqrt(d);
        return acc_t(1) / (root * sqrt(root));
    }
    return pow(d, -beta);
}

// d of a window, as d * unit^2: unit is 1 unless the squares of its values, squares(1), overflow.
struct Denominator {
    acc_t scaled, unit, beta;

    template <typename Squares>
    __device__ __forceinline__ Denominator(acc_t k, acc_t share, acc_t its_beta, Squares squares) {
        unit = 1;
        beta = its_beta;
        scaled = share == 0 ? k : k + share * squares(unit);
        if (fabs(scaled) < limits<acc_t>::infinity()) return;  // below zero where alpha is
        unit = far_unit<acc_t>();
        scaled = k * unit * unit + share * squares(unit);
    }
    // value * d^-beta
    __device__ __forceinline__ acc_t of(acc_t value) const {
        const acc_t found = value * power(scaled, beta);
        if (unit == 1) return found;
        const acc_t half = pow(unit, beta);  // the square of it may be no number of this type
        return found * half * half;
    }
    // value * own / d
    __device__ __forceinline__ acc_t behind(acc_t value, acc_t own) const {
        return value * (own * unit) / scaled * unit;
    }
};
