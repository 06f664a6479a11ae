#include "small_float.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace pycnn_emu {

namespace {

struct Layout {
    int exponent, mantissa;  // bits
    uint32_t largest, nan;   // bits of the largest number and of NaN; 0: there is none
    bool infinity;

    int bias() const { return (1 << (exponent - 1)) - 1; }
    int unit() const { return 1 - bias() - mantissa; }  // of subnormal numbers, as an exponent
    uint32_t sign() const { return 1u << (exponent + mantissa); }
};

Layout layout_of(SmallFloat format) {
    switch (format) {
        case SmallFloat::kE4m3: return {4, 3, 0x7e, 0x7f, false};
        case SmallFloat::kE5m2: return {5, 2, 0x7b, 0x7f, true};
        case SmallFloat::kE3m2: return {3, 2, 0x1f, 0, false};
        case SmallFloat::kE2m3: return {2, 3, 0x1f, 0, false};
        default: return {2, 1, 0x07, 0, false};
    }
}

constexpr uint32_t kNoExponent = 255;  // NaN of an exponent alone
constexpr int kExponentBias = 127;

}  // namespace

float decode_small(SmallFloat format, uint32_t bits) {
    constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
    if (format == SmallFloat::kUe8m0)
        return bits == kNoExponent ? kNan : std::ldexp(1.0f, static_cast<int>(bits) - kExponentBias);
    Layout f = layout_of(format);
    float sign = bits & f.sign() ? -1.0f : 1.0f;
    uint32_t size = bits & (f.sign() - 1);
    if (size > f.largest)
        return f.infinity && size == f.largest + 1 ? sign * std::numeric_limits<float>::infinity()
                                                   : kNan;
    auto steps = static_cast<int>(size & ((1u << f.mantissa) - 1));
    int exponent = static_cast<int>(size >> f.mantissa);
    if (exponent) steps += 1 << f.mantissa;
    return sign * std::ldexp(static_cast<float>(steps), f.unit() + std::max(exponent - 1, 0));
}

uint32_t encode_small(SmallFloat format, float value, bool relu) {
    Layout f = layout_of(format);
    if (std::isnan(value)) return f.nan ? f.nan : f.largest;
    if (relu && std::signbit(value)) return 0;
    uint32_t sign = std::signbit(value) ? f.sign() : 0;
    double size = std::fabs(value);
    if (std::isinf(value)) return sign | f.largest;
    int exponent;
    std::frexp(size, &exponent);
    int unit = std::max(exponent - 1 - f.mantissa, f.unit());
    if (size == 0) unit = f.unit();
    auto steps = static_cast<uint32_t>(
        std::min(std::nearbyint(std::ldexp(size, -unit)), 2.0 * (1 << f.mantissa)));
    // A carry out of the mantissa goes on into the exponent.
    uint64_t bits = steps + (static_cast<uint64_t>(unit - f.unit()) << f.mantissa);
    return sign | static_cast<uint32_t>(std::min<uint64_t>(bits, f.largest));
}

uint32_t encode_exponent(float value, bool up, bool saturated) {
    if (std::isnan(value)) return kNoExponent;
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    bits &= 0x7fffffffu;
    uint32_t exponent = bits >> 23;
    constexpr uint32_t kLeast = 0x00400000;  // 2^-127
    if (up && bits & 0x007fffffu && bits > kLeast && exponent < kNoExponent) ++exponent;
    return saturated ? std::min(exponent, kNoExponent - 1) : exponent;
}

}  // namespace pycnn_emu
