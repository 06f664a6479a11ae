// Conversions of small formats as compiled PTX calls them.
#include "ptx_calls.h"
#include "small_float.h"

namespace pycnn_emu {

namespace {

// As pycnn/emulator/ptx/convert_small.py has them, beside the format.
constexpr uint32_t kFormat = 15, kRelu = 16, kUp = 32, kSaturated = 64;

uint32_t small_encode(uint32_t code, float value) {
    auto format = static_cast<SmallFloat>(code & kFormat);
    if (format == SmallFloat::kUe8m0)
        return encode_exponent(value, (code & kUp) != 0, (code & kSaturated) != 0);
    return encode_small(format, value, (code & kRelu) != 0);
}

float small_decode(uint32_t code, uint32_t bits) {
    float value = decode_small(static_cast<SmallFloat>(code & kFormat), bits);
    return code & kRelu && value <= 0 ? 0 : value;
}

}  // namespace

const std::vector<Function>& small_functions() {
    static const std::vector<Function> table = {
        {"small_encode", address(small_encode)},
        {"small_decode", address(small_decode)},
    };
    return table;
}

}  // namespace pycnn_emu
