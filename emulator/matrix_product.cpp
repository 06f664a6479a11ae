#include "matrix_product.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace pycnn_emu {

MatrixProduct::MatrixProduct(const MatrixShape& shape) : shape_(shape), integers_(is_integer(shape.a)) {
    make(a_, size_t{shape.rows} * shape.depth);
    make(b_, size_t{shape.depth} * shape.columns);
    make(c_, size_t{shape.rows} * shape.columns);
}

void MatrixProduct::make(Numbers& numbers, size_t count) {
    if (integers_)
        numbers.integers.resize(count);
    else
        numbers.floats.resize(count);
}

void MatrixProduct::negate_a() {
    for (double& x : a_.floats) x = -x;
}

void MatrixProduct::negate_b() {
    for (double& x : b_.floats) x = -x;
}

void MatrixProduct::run() {
    if (integers_)
        run_integers();
    else
        run_floats();
}

// A row of D at a time, all columns side by side: the order of each sum is that of k.
void MatrixProduct::run_floats() {
    const bool fused = shape_.d == Element::kF64;
    for (uint32_t row = 0; row < shape_.rows; ++row) {
        double* sum = &c_.floats[row * shape_.columns];
        for (uint32_t k = 0; k < shape_.depth; ++k) {
            const double x = a_.floats[row * shape_.depth + k];
            const double* y = &b_.floats[k * shape_.columns];
            if (fused)
                for (uint32_t j = 0; j < shape_.columns; ++j) sum[j] = std::fma(x, y[j], sum[j]);
            else
                for (uint32_t j = 0; j < shape_.columns; ++j) sum[j] += x * y[j];
        }
    }
}

void MatrixProduct::run_integers() {
    constexpr int64_t kMost = std::numeric_limits<int32_t>::max(),
                      kLeast = std::numeric_limits<int32_t>::min();
    std::vector<int32_t> sum(shape_.columns);
    for (uint32_t row = 0; row < shape_.rows; ++row) {
        std::fill(sum.begin(), sum.end(), 0);
        for (uint32_t k = 0; k < shape_.depth; ++k) {
            const int32_t x = a_.integers[row * shape_.depth + k];
            const int32_t* y = &b_.integers[k * shape_.columns];
            if (shape_.a != Element::kB1)
                for (uint32_t j = 0; j < shape_.columns; ++j) sum[j] += x * y[j];
            else if (shape_.bitwise_and)
                for (uint32_t j = 0; j < shape_.columns; ++j) sum[j] += x & y[j];
            else
                for (uint32_t j = 0; j < shape_.columns; ++j) sum[j] += x ^ y[j];
        }
        for (uint32_t j = 0; j < shape_.columns; ++j) {
            int32_t& c = c_.integers[row * shape_.columns + j];
            int64_t exact = int64_t{c} + sum[j];
            if (shape_.saturated) exact = std::min(std::max(exact, kLeast), kMost);
            c = static_cast<int32_t>(static_cast<uint32_t>(exact));
        }
    }
}

uint64_t MatrixProduct::d(uint32_t row, uint32_t column) const {
    uint32_t at = row * shape_.columns + column;
    if (integers_) return static_cast<uint32_t>(c_.integers[at]);
    return from_double(shape_.d, c_.floats[at]);
}

}  // namespace pycnn_emu
