#include "ptx_matrix.h"

#include <cstring>

#include "matrix_fragment.h"

namespace pycnn_emu {

void multiply_matrices(Product* const* lanes) {
    const Product& p = *lanes[0];
    const MatrixShape& s = p.shape;
    MatrixProduct product(s);
    OperandFragment a(s.rows, s.depth, s.a), b(s.columns, s.depth, s.b);
    ResultFragment c(s.rows, s.columns, s.c), d(s.rows, s.columns, s.d);
    for (uint32_t lane = 0; lane < kMatrixLanes; ++lane) {
        const uint32_t* words = lanes[lane]->words;
        for (uint32_t i = 0; i < a.count; ++i) {
            Place at = a.at(lane, i);
            product.a(at.row, at.column, packed_element(words, a.bits, i));
        }
        words += a.words() * p.copies_a;
        for (uint32_t i = 0; i < b.count; ++i) {
            Place at = b.at(lane, i);
            product.b(at.column, at.row, packed_element(words, b.bits, i));
        }
        words += b.words() * p.copies_b;
        for (uint32_t i = 0; i < c.count; ++i) {
            Place at = c.at(lane, i);
            product.c(at.row, at.column, packed_element(words, c.bits, i));
        }
    }
    product.run();
    for (uint32_t lane = 0; lane < kMatrixLanes; ++lane)
        for (uint32_t i = 0; i < d.count; ++i) {
            Place at = d.at(lane, i);
            pack_element(lanes[lane]->words, d.bits, i, product.d(at.row, at.column));
        }
}

namespace {

// The i-th of the eight elements of C that a lane holds: of a float16 matrix a row, else as the ISA
// has it for m8n8k4.
Place quad_result(Element e, uint32_t lane, uint32_t i) {
    uint32_t upper = lane < 16 ? 0 : 4;
    if (e == Element::kF16) return Place{lane % 4 + upper, i};
    return Place{(lane & 1) + (i & 2) + upper, (i & 4) + (lane & 2) + (i & 1)};
}

}  // namespace

void multiply_quads(QuadProduct* const* lanes) {
    const QuadProduct& q = *lanes[0];
    MatrixShape shape{8, 8, 4, Element::kF16, Element::kF16, q.c, q.d, false, false};
    for (uint32_t quad = 0; quad < 4; ++quad) {
        MatrixProduct product(shape);
        auto each_lane = [&](auto visit) {
            for (uint32_t i = 0; i < 8; ++i) visit(4 * quad + i % 4 + 16 * (i / 4));
        };
        each_lane([&](uint32_t lane) {
            const uint32_t* words = lanes[lane]->words;
            uint32_t mine = lane % 4, upper = lane < 16 ? 0 : 4;
            for (uint32_t i = 0; i < 4; ++i) {
                uint64_t a = packed_element(words, 16, i), b = packed_element(words + 2, 16, i);
                q.a_by_column ? product.a(i + upper, mine, a) : product.a(mine + upper, i, a);
                q.b_by_column ? product.b(i, mine + upper, b) : product.b(mine, i + upper, b);
            }
            for (uint32_t i = 0; i < 8; ++i) {
                Place at = quad_result(q.c, lane, i);
                product.c(at.row, at.column, packed_element(words + 4, bits_of(q.c), i));
            }
        });
        product.run();
        each_lane([&](uint32_t lane) {
            for (uint32_t i = 0; i < 8; ++i) {
                Place at = quad_result(q.d, lane, i);
                pack_element(lanes[lane]->words, bits_of(q.d), i, product.d(at.row, at.column));
            }
        });
    }
}

void load_tiles(TileRow* const* lanes) {
    const TileRow& first = *lanes[0];
    for (uint32_t tile = 0; tile < first.tiles; ++tile) {
        uint16_t elements[8][8];
        for (uint32_t row = 0; row < 8; ++row)
            std::memcpy(elements[row], lanes[tile * 8 + row]->row, 16);
        for (uint32_t lane = 0; lane < kMatrixLanes; ++lane) {
            uint32_t row = lane / 4, column = lane % 4 * 2;
            uint16_t low = first.transposed ? elements[column][row] : elements[row][column];
            uint16_t high = first.transposed ? elements[column + 1][row] : elements[row][column + 1];
            lanes[lane]->words[tile] = low | static_cast<uint32_t>(high) << 16;
        }
    }
}

void store_tiles(TileRow* const* lanes) {
    const TileRow& first = *lanes[0];
    for (uint32_t tile = 0; tile < first.tiles; ++tile) {
        uint16_t elements[8][8];
        for (uint32_t lane = 0; lane < kMatrixLanes; ++lane) {
            uint32_t row = lane / 4, column = lane % 4 * 2, word = lanes[lane]->words[tile];
            auto low = static_cast<uint16_t>(word), high = static_cast<uint16_t>(word >> 16);
            (first.transposed ? elements[column][row] : elements[row][column]) = low;
            (first.transposed ? elements[column + 1][row] : elements[row][column + 1]) = high;
        }
        for (uint32_t row = 0; row < 8; ++row)
            std::memcpy(lanes[tile * 8 + row]->row, elements[row], 16);
    }
}

}  // namespace pycnn_emu
