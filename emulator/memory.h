// The memory that a checked kernel may use: arrays, `__device__` variables, what it allocated, and
// memory of unknown extent whose address was handed in as a number.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "library.h"
#include "shadow.h"

namespace pycnn_emu {

// Blocks that kernels allocated with malloc and have not freed; they outlive the launch.
class Heap {
public:
    static void* allocate(size_t size);
    // False if `pointer` is not the start of a block.
    static bool release(void* pointer);
    // The block that holds `address`: initialised if an earlier launch made it.
    static bool find(uintptr_t address, Range& range);
    static void next_launch();
};

class Memory {
public:
    struct Piece {
        Range range;
        Cells cells;
        bool open = false;  // of unknown extent: it may go on behind its end
    };

    // `numbers`: integers among the arguments that may be addresses.
    Memory(std::vector<Range> ranges, std::vector<uintptr_t> numbers, const LibraryMap& library);

    // The piece that holds `address`, null if it is nobody's.
    Piece* find(uintptr_t address);
    // The array or variable, neither constant nor internal, that holds all of an access, if it is known.
    Piece* find_plain(uintptr_t address, size_t size) {
        Piece* piece = known(address);
        if (!piece || piece->range.constant || piece->range.internal) return nullptr;
        return size <= piece->range.base + piece->range.size - address ? piece : nullptr;
    }
    void forget(uintptr_t base);
    const std::vector<Piece>& pieces() const { return pieces_; }

private:
    Piece* insert(Range range, bool open = false);
    Piece* known(uintptr_t address);
    Piece* open_at(uintptr_t address);

    std::vector<Piece> pieces_;  // sorted by base
    size_t last_ = 0;
    std::vector<uintptr_t> numbers_;
};

}  // namespace pycnn_emu
