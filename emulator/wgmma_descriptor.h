// Matrices in shared memory as wgmma finds them by a descriptor (PTX ISA, "Matrix descriptor format"
// and "Shared memory matrix layout").
#pragma once

#include <cstdint>
#include <string>

#include "matrix_element.h"

namespace pycnn_emu {

constexpr uint32_t kWgmmaBytes = 32;  // of a row along K, whatever the type
constexpr uint32_t kPieceBytes = 16;  // what lies together in every layout

struct WgmmaDescriptor {
    explicit WgmmaDescriptor(uint64_t bits);

    uint32_t start, leading, stride;  // bytes; the start is the lower 18 bits of an address
    uint32_t base_offset;
    uint32_t swizzle;                 // bytes of a row of its pattern; 0: none
    bool reserved;                    // bits are set that mean nothing

    // Where the byte at `address` of the layout without swizzle is.
    uint32_t swizzled(uint32_t address) const {
        if (!swizzle) return address;
        return address ^ ((((address >> 7) - base_offset) & phases()) << 4);
    }
    // What is wrong with it by itself, or nothing.
    std::string fault() const;

private:
    uint32_t phases() const { return swizzle / 16 - 1; }
};

// One operand: `rows` of M, or of N, each of 32 bytes of K; or, transposed, the K lines of them.
struct WgmmaOperand {
    WgmmaDescriptor descriptor;
    uint32_t first_row, rows;
    Element element;
    bool transposed;

    // Calls f(row, k, offset) for each piece, whose elements follow one another along K, or along
    // the rows where it is transposed.
    template <typename F>
    void each_piece(F f) const {
        uint32_t per = kPieceBytes * 8 / bits_of(element), depth = kWgmmaBytes * 8 / bits_of(element);
        uint32_t along_rows = transposed ? per : 1, along_k = transposed ? 1 : per;
        for (uint32_t row = first_row; row < first_row + rows; row += along_rows)
            for (uint32_t k = 0; k < depth; k += along_k) f(row, k, place(row, k, per));
    }

private:
    uint32_t place(uint32_t row, uint32_t k, uint32_t per) const;
};

}  // namespace pycnn_emu
