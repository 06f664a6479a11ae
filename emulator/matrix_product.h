// The arithmetic of tensor cores: D = A B + C of one instruction, wherever its elements lie.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "matrix_element.h"

namespace pycnn_emu {

struct MatrixShape {
    uint32_t rows, columns, depth;  // M, N, K
    Element a, b, c, d;
    bool saturated;      // integers: to what 32 bits hold, else modulo 2^32
    bool bitwise_and;    // single bits: and, else xor, before the population count
};

// Elements go in and come out as bits. Floating-point products are exact and are summed in float64,
// C first, k ascending; the sum is rounded once. Products of float64 are fused with the sum.
class MatrixProduct {
public:
    explicit MatrixProduct(const MatrixShape& shape);

    void a(uint32_t row, uint32_t k, uint64_t bits) { put(a_, row * shape_.depth + k, shape_.a, bits); }
    void b(uint32_t k, uint32_t column, uint64_t bits) {
        put(b_, k * shape_.columns + column, shape_.b, bits);
    }
    void c(uint32_t row, uint32_t column, uint64_t bits) {
        put(c_, row * shape_.columns + column, shape_.c, bits);
    }
    // Exchanges the sign of all of A or B.
    void negate_a();
    void negate_b();
    void run();
    uint64_t d(uint32_t row, uint32_t column) const;

private:
    struct Numbers {
        std::vector<double> floats;
        std::vector<int32_t> integers;
    };
    void make(Numbers& numbers, size_t count);
    void put(Numbers& numbers, uint32_t at, Element e, uint64_t bits) {
        if (integers_)
            numbers.integers[at] = to_integer(e, bits);
        else
            numbers.floats[at] = to_double(e, bits);
    }
    void run_floats();
    void run_integers();

    MatrixShape shape_;
    bool integers_;
    Numbers a_, b_, c_;
};

}  // namespace pycnn_emu
