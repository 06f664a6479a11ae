#include "reduction.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

namespace pycnn_emu {

namespace {

// A 16-bit float of so many bits of mantissa.
template <int mantissa>
struct Small {
    static constexpr int kLeast = mantissa == 10 ? -14 : -126;  // exponent of normal numbers
    uint16_t bits;

    operator double() const {
        int exponent = bits >> mantissa & ((1 << (15 - mantissa)) - 1);
        int fraction = bits & ((1 << mantissa) - 1);
        double value = exponent == 0 ? std::ldexp(fraction, kLeast - mantissa)
                       : exponent == (1 << (15 - mantissa)) - 1
                           ? (fraction ? std::numeric_limits<double>::quiet_NaN()
                                       : std::numeric_limits<double>::infinity())
                           : std::ldexp(fraction + (1 << mantissa), kLeast + exponent - 1 - mantissa);
        return bits & 0x8000 ? -value : value;
    }
    static Small of(double value) {
        constexpr int kInfinity = ((1 << (15 - mantissa)) - 1) << mantissa;
        auto sign = static_cast<uint16_t>(std::signbit(value) ? 0x8000 : 0);
        if (std::isnan(value)) return {0x7fff};
        double magnitude = std::fabs(value);
        if (std::isinf(value)) return {static_cast<uint16_t>(sign | kInfinity)};
        int exponent = magnitude == 0 ? kLeast : std::max(std::ilogb(magnitude), kLeast);
        // To nearest even; a carry out of the mantissa goes on into the exponent.
        auto steps = static_cast<int64_t>(std::nearbyint(std::ldexp(magnitude, mantissa - exponent)));
        int64_t all = (int64_t{exponent - kLeast} << mantissa) + steps;
        return {static_cast<uint16_t>(sign | std::min<int64_t>(all, kInfinity))};
    }
};

template <typename T>
T reduced(Reduce operation, T a, T b) {
    switch (operation) {
        case Reduce::kAdd:
            if constexpr (std::is_integral_v<T>) {
                using U = std::make_unsigned_t<T>;
                return static_cast<T>(static_cast<U>(a) + static_cast<U>(b));
            } else {
                return a + b;
            }
        case Reduce::kMin: return b < a || a != a ? b : a;
        case Reduce::kMax: return b > a || a != a ? b : a;
        default: break;
    }
    if constexpr (std::is_integral_v<T>) {
        switch (operation) {
            case Reduce::kInc: return a >= b ? T{0} : static_cast<T>(a + 1);
            case Reduce::kDec: return a == 0 || a > b ? b : static_cast<T>(a - 1);
            case Reduce::kAnd: return a & b;
            case Reduce::kOr: return a | b;
            case Reduce::kXor: return a ^ b;
            default: break;
        }
    }
    return b;
}

template <typename T>
void reduce_as(Reduce operation, char* to, const char* from, size_t bytes) {
    for (size_t at = 0; at < bytes; at += sizeof(T)) {
        T a, b;
        std::memcpy(&a, to + at, sizeof(T));
        std::memcpy(&b, from + at, sizeof(T));
        if constexpr (std::is_arithmetic_v<T>)
            a = reduced(operation, a, b);
        else
            a = T::of(reduced<double>(operation, a, b));
        std::memcpy(to + at, &a, sizeof(T));
    }
}

}  // namespace

size_t size_of(Number number) {
    switch (number) {
        case Number::kF16:
        case Number::kBf16: return 2;
        case Number::kU64:
        case Number::kS64:
        case Number::kF64: return 8;
        default: return 4;
    }
}

void reduce(Reduce operation, Number number, void* to, const void* from, size_t bytes) {
    auto* t = static_cast<char*>(to);
    auto* f = static_cast<const char*>(from);
    if (operation == Reduce::kCopy) {
        std::memcpy(t, f, bytes);
        return;
    }
    switch (number) {
        case Number::kU32: return reduce_as<uint32_t>(operation, t, f, bytes);
        case Number::kS32: return reduce_as<int32_t>(operation, t, f, bytes);
        case Number::kU64: return reduce_as<uint64_t>(operation, t, f, bytes);
        case Number::kS64: return reduce_as<int64_t>(operation, t, f, bytes);
        case Number::kF16: return reduce_as<Small<10>>(operation, t, f, bytes);
        case Number::kBf16: return reduce_as<Small<7>>(operation, t, f, bytes);
        case Number::kF32:
        case Number::kTf32: return reduce_as<float>(operation, t, f, bytes);
        case Number::kF64: return reduce_as<double>(operation, t, f, bytes);
    }
}

}  // namespace pycnn_emu
