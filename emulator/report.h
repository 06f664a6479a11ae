// What is wrong with a kernel: one report ends a launch and becomes a Python exception.
#pragma once

#include <cstdarg>
#include <cstdint>
#include <string>

#include "include/pycnn_emulator/abi.h"

namespace pycnn_emu {

struct Position {  // a place in the source: known by name, or by an address in the kernel's library
    std::string file;
    int line = 0;
    const void* pc = nullptr;
};

struct Report {
    std::string kind;  // names the exception class, see pycnn/emulator/errors.py
    std::string message;
    std::string array;
    Position where;
    Position other;  // the earlier access or the other barrier, if one is involved
    int thread = -1;
    int other_thread = -1;
    uint3 block{0, 0, 0};
    uint3 other_block{0, 0, 0};
    const void* address = nullptr;
};

inline Position at(const Site& site) { return Position{site.file, site.line, nullptr}; }
inline Position at(const void* pc) { return Position{{}, 0, pc}; }

std::string format(const char* pattern, ...) __attribute__((format(printf, 1, 2)));

}  // namespace pycnn_emu
