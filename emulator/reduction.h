// Reductions of memory into memory, as the bulk copies that reduce do them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pycnn_emu {

// As pycnn/emulator/ptx/bulk.py numbers them. kCopy is none.
enum class Reduce : uint32_t { kCopy, kAdd, kMin, kMax, kInc, kDec, kAnd, kOr, kXor };
enum class Number : uint32_t { kU32, kS32, kU64, kS64, kF16, kBf16, kF32, kF64, kTf32 };

size_t size_of(Number number);
// Every element of `to` becomes what the operation makes of it and of that of `from`.
void reduce(Reduce operation, Number number, void* to, const void* from, size_t bytes);

}  // namespace pycnn_emu
