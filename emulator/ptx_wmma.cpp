#include "ptx_wmma.h"

#include <cstring>

namespace pycnn_emu {

namespace {

constexpr uint32_t kHalfFragment = 16;  // elements

}  // namespace

uint32_t WmmaMatrix::fragment_elements() const {
    uint32_t elements = operand == WmmaOperand::kA   ? m * k
                        : operand == WmmaOperand::kB ? n * k
                                                     : m * n;
    return elements / kMatrixLanes;
}

uint32_t WmmaMatrix::copies() const {
    bool repeated = element == Element::kF16 && operand != WmmaOperand::kC;
    return repeated ? kHalfFragment / fragment_elements() : 1;
}

uint64_t WmmaMatrix::bit_of(uint32_t lane, uint32_t i) const {
    Place at = operand == WmmaOperand::kA   ? OperandFragment(m, k, element).at(lane, i)
               : operand == WmmaOperand::kB ? OperandFragment(n, k, element).at(lane, i)
                                            : ResultFragment(m, n, element).at(lane, i);
    // B's places are those of its transpose.
    bool along_columns = by_column != (operand == WmmaOperand::kB);
    uint64_t major = along_columns ? at.column : at.row, minor = along_columns ? at.row : at.column;
    return (major * stride + minor) * bits_of(element);
}

void wmma_load(const WmmaMatrix& matrix, uint32_t lane, uint32_t* words) {
    auto* bytes = reinterpret_cast<char*>(words);
    uint32_t bits = bits_of(matrix.element), size = matrix.fragment_elements() * bits / 8;
    matrix.each_piece(lane, [&](uint32_t first, uint64_t address, uint32_t count) {
        std::memcpy(bytes + first * bits / 8, reinterpret_cast<const void*>(address), count);
    });
    for (uint32_t copy = 1; copy < matrix.copies(); ++copy)
        std::memcpy(bytes + copy * size, bytes, size);
}

void wmma_store(const WmmaMatrix& matrix, uint32_t lane, const uint32_t* words) {
    auto* bytes = reinterpret_cast<const char*>(words);
    uint32_t bits = bits_of(matrix.element);
    matrix.each_piece(lane, [&](uint32_t first, uint64_t address, uint32_t count) {
        std::memcpy(reinterpret_cast<void*>(address), bytes + first * bits / 8, count);
    });
}

}  // namespace pycnn_emu
