// Floating-point formats of eight bits and fewer.
#pragma once

#include <cstdint>

namespace pycnn_emu {

// As pycnn/emulator/ptx/convert_small.py numbers them.
enum class SmallFloat : uint32_t { kE4m3, kE5m2, kE3m2, kE2m3, kE2m1, kUe8m0 };

float decode_small(SmallFloat format, uint32_t bits);
// Rounded to nearest even; beyond the largest number that, and NaN where there is no NaN, too.
uint32_t encode_small(SmallFloat format, float value, bool relu);
// The exponent alone, of the size of a number, rounded up or down; saturated to a finite one or not.
uint32_t encode_exponent(float value, bool up, bool saturated);

}  // namespace pycnn_emu
