// The variables of a kernel's library: `__device__` and `__constant__` memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace pycnn_emu {

struct Variable {
    uintptr_t base;
    size_t size;
    std::string name;
    bool constant;  // __constant__
    bool internal;  // the emulator's own
};

struct LibraryMap {
    struct Span {
        uintptr_t begin, end;
        bool holds(uintptr_t address) const { return address >= begin && address < end; }
    };
    std::vector<Span> read_only;  // code, literals, `const` data
    std::vector<Span> writable;
    std::vector<Variable> variables;  // those in `writable`

    bool is_read_only(uintptr_t address) const {
        for (const Span& span : read_only)
            if (span.holds(address)) return true;
        return false;
    }
};

// Of the library that `code` lies in; read from its file once.
const LibraryMap& library_of(const void* code);

}  // namespace pycnn_emu
