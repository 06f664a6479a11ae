// Elements of matrices as tensor cores know them, from bits to numbers and back.
#pragma once

#include <cstdint>

namespace pycnn_emu {

// As pycnn/emulator/ptx/matrix.py numbers them.
enum class Element : uint32_t { kF16, kBf16, kTf32, kF64, kS8, kU8, kS4, kU4, kB1, kE4m3, kE5m2,
                                kF32, kS32 };

uint32_t bits_of(Element e);
bool is_integer(Element e);

// Value of an element; of a 32-bit one the tensor core reads what its type has.
double to_double(Element e, uint64_t bits);
int32_t to_integer(Element e, uint64_t bits);
// Bits of a sum that is rounded to nearest even. NaN is 0x7fff or 0x7fffffff.
uint64_t from_double(Element e, double value);

// Element `i` of those that lie packed in registers, or memory, of 32 bits.
inline uint64_t packed_element(const uint32_t* words, uint32_t bits, uint32_t i) {
    if (bits == 64) return words[2 * i] | uint64_t{words[2 * i + 1]} << 32;
    uint32_t per = 32 / bits, mask = bits < 32 ? (1u << bits) - 1 : ~0u;
    return words[i / per] >> (i % per * bits) & mask;
}

inline void pack_element(uint32_t* words, uint32_t bits, uint32_t i, uint64_t value) {
    if (bits == 64) {
        words[2 * i] = static_cast<uint32_t>(value);
        words[2 * i + 1] = static_cast<uint32_t>(value >> 32);
        return;
    }
    uint32_t per = 32 / bits, shift = i % per * bits, mask = bits < 32 ? (1u << bits) - 1 : ~0u;
    uint32_t& word = words[i / per];
    word = (word & ~(mask << shift)) | (static_cast<uint32_t>(value) & mask) << shift;
}

}  // namespace pycnn_emu
