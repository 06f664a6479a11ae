// wmma.load and wmma.store: a matrix in memory, and a lane's fragment of it.
#pragma once

#include <cstdint>

#include "matrix_fragment.h"

namespace pycnn_emu {

enum class WmmaOperand : uint32_t { kA, kB, kC };

// One matrix of an instruction as it lies in memory.
struct WmmaMatrix {
    uint32_t m, n, k;
    WmmaOperand operand;
    bool by_column;
    Element element;
    uint64_t address;
    uint32_t stride;  // elements from one row, or column, to the next

    uint32_t fragment_elements() const;
    // float16's A and B fill eight registers in every shape, more than once if need be.
    uint32_t copies() const;
    uint32_t fragment_bytes() const { return fragment_elements() * copies() * bits_of(element) / 8; }

    // Calls f(first element, address, bytes) for each piece of memory that a lane's fragment is in.
    // Its elements follow one another in registers as they do there.
    template <typename F>
    void each_piece(uint32_t lane, F f) const {
        uint32_t bits = bits_of(element), count = fragment_elements();
        for (uint32_t i = 0; i < count;) {
            uint64_t from = bit_of(lane, i);
            uint32_t n = 1;
            while (i + n < count && bit_of(lane, i + n) == from + uint64_t{n} * bits) ++n;
            f(i, address + from / 8, n * bits / 8);
            i += n;
        }
    }

private:
    uint64_t bit_of(uint32_t lane, uint32_t i) const;
};

// A lane's registers from memory and to it.
void wmma_load(const WmmaMatrix& matrix, uint32_t lane, uint32_t* words);
void wmma_store(const WmmaMatrix& matrix, uint32_t lane, const uint32_t* words);

}  // namespace pycnn_emu
