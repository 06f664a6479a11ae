// Which elements of a matrix a lane holds in its registers (PTX ISA, "Matrix fragments").
#pragma once

#include <cstdint>

#include "matrix_element.h"

namespace pycnn_emu {

constexpr uint32_t kMatrixLanes = 32;

struct Place {
    uint32_t row, column;
};

// A lane's share of A, or of B as its transpose: `rows` is 8 or a multiple of 16. A register holds
// neighbours along k, four lanes a row; the rows 8 apart come first, then what is four registers
// further along k. Beyond 16 rows one such fragment follows another.
struct OperandFragment {
    uint32_t rows, bits, per, count;  // per: elements in a register; count: elements of a lane

    OperandFragment(uint32_t rows_, uint32_t depth, Element e)
        : rows(rows_), bits(bits_of(e)), per(bits < 32 ? 32 / bits : 1),
          count(rows_ * depth / kMatrixLanes) {}

    uint32_t words() const { return count * bits / 32; }

    Place at(uint32_t lane, uint32_t i) const {
        uint32_t k = lane % 4 * per + i % per, row = lane / 4, r = i / per;
        if (rows == 8) return Place{row, k + 4 * per * r};
        uint32_t registers = count * 16 / rows / per;  // of 16 rows
        row += 16 * (r / registers) + 8 * (r & 1);
        return Place{row, k + 4 * per * (r % registers / 2)};
    }
};

// A lane's share of C or D: pairs along a row, in tiles of 16 (or 8) rows and 8 columns, which
// follow one another along a row of tiles.
struct ResultFragment {
    uint32_t columns, bits, tile, count;

    ResultFragment(uint32_t rows, uint32_t columns_, Element e)
        : columns(columns_), bits(bits_of(e)), tile(rows == 8 ? 2 : 4),
          count(rows * columns_ / kMatrixLanes) {}

    uint32_t words() const { return count * bits / 32; }

    Place at(uint32_t lane, uint32_t i) const {
        uint32_t t = i / tile, across = columns / 8;
        return Place{t / across * 16 + lane / 4 + 8 * (i % tile >> 1),
                     t % across * 8 + lane % 4 * 2 + (i & 1)};
    }
};

}  // namespace pycnn_emu
