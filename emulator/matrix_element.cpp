#include "matrix_element.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

namespace pycnn_emu {

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

double single(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
}

double small_float(uint32_t bits, int exponent_bits, int mantissa_bits, bool has_infinity) {
    int bias = (1 << (exponent_bits - 1)) - 1;
    int exponent = static_cast<int>(bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
    int mantissa = static_cast<int>(bits) & ((1 << mantissa_bits) - 1);
    double sign = bits >> (exponent_bits + mantissa_bits) & 1 ? -1 : 1;
    if (exponent == (1 << exponent_bits) - 1) {
        if (has_infinity) return mantissa ? kNan : sign * kInfinity;
        if (mantissa == (1 << mantissa_bits) - 1) return kNan;
    }
    if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
    return sign * std::ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
}

template <int exponent_bits, bool has_infinity>
double byte_float(uint32_t bits) {
    static const auto table = [] {
        std::array<double, 256> values;
        for (uint32_t i = 0; i < 256; ++i)
            values[i] = small_float(i, exponent_bits, 7 - exponent_bits, has_infinity);
        return values;
    }();
    return table[bits & 255];
}

// The exponent of a half as that of a float is 112 too small; a product makes up for it, and for
// the subnormal ones.
double half(uint32_t bits) {
    if ((bits & 0x7c00) == 0x7c00) return small_float(bits, 5, 10, true);
    return single((bits & 0x8000) << 16 | (bits & 0x7fff) << 13) * 0x1p112;
}

uint32_t bits_of_half(double value) {
    uint32_t sign = std::signbit(value) ? 0x8000u : 0;
    if (std::isnan(value)) return 0x7fff;
    double size = std::fabs(value);
    if (size >= 65520) return sign | 0x7c00;
    int exponent;
    std::frexp(size, &exponent);
    int unit = size == 0 ? -24 : std::max(exponent - 11, -24);
    auto steps = static_cast<uint32_t>(std::nearbyint(std::ldexp(size, -unit)));
    // As the bits of a half: a carry out of the mantissa goes on into the exponent.
    return sign | (unit == -24 ? steps : steps + (static_cast<uint32_t>(unit + 24) << 10));
}

}  // namespace

uint32_t bits_of(Element e) {
    switch (e) {
        case Element::kF16:
        case Element::kBf16: return 16;
        case Element::kTf32:
        case Element::kF32:
        case Element::kS32: return 32;
        case Element::kF64: return 64;
        case Element::kS8:
        case Element::kU8:
        case Element::kE4m3:
        case Element::kE5m2: return 8;
        case Element::kS4:
        case Element::kU4: return 4;
        default: return 1;
    }
}

bool is_integer(Element e) {
    return (e >= Element::kS8 && e <= Element::kB1) || e == Element::kS32;
}

double to_double(Element e, uint64_t bits) {
    auto word = static_cast<uint32_t>(bits);
    switch (e) {
        case Element::kF16: return half(word);
        case Element::kBf16: return single(word << 16);
        case Element::kTf32: return single(word & 0xffffe000u);  // the hardware reads no more
        case Element::kF32: return single(word);
        case Element::kE4m3: return byte_float<4, false>(word);
        case Element::kE5m2: return byte_float<5, true>(word);
        default: {
            double value;
            std::memcpy(&value, &bits, sizeof(value));
            return value;
        }
    }
}

int32_t to_integer(Element e, uint64_t bits) {
    switch (e) {
        case Element::kS8: return static_cast<int8_t>(bits);
        case Element::kS4: return static_cast<int32_t>(static_cast<uint32_t>(bits) << 28) >> 28;
        default: return static_cast<int32_t>(bits);
    }
}

uint64_t from_double(Element e, double value) {
    if (e == Element::kF16) return bits_of_half(value);
    if (e == Element::kF64) {
        uint64_t bits;
        std::memcpy(&bits, &value, sizeof(bits));
        return bits;
    }
    auto rounded = static_cast<float>(value);
    uint32_t bits;
    std::memcpy(&bits, &rounded, sizeof(bits));
    return std::isnan(rounded) ? 0x7fffffffu : bits;
}

}  // namespace pycnn_emu
