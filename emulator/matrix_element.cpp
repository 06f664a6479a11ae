#include "matrix_element.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "small_float.h"

namespace pycnn_emu {

namespace {

double single(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
}

template <SmallFloat format>
double byte_float(uint32_t bits) {
    static const auto table = [] {
        std::array<double, 256> values;
        for (uint32_t i = 0; i < 256; ++i) values[i] = decode_small(format, i);
        return values;
    }();
    return table[bits & 255];
}

// The exponent of a half as that of a float is 112 too small; a product makes up for it, and for
// the subnormal ones.
double half(uint32_t bits) {
    if ((bits & 0x7fff) > 0x7c00) return std::numeric_limits<double>::quiet_NaN();
    if ((bits & 0x7fff) == 0x7c00) return bits & 0x8000 ? -INFINITY : INFINITY;
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
        case Element::kE4m3: return byte_float<SmallFloat::kE4m3>(word);
        case Element::kE5m2: return byte_float<SmallFloat::kE5m2>(word);
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
