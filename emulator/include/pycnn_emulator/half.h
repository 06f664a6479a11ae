// The two 16-bit floating types, as a template over their format.
//
// Arithmetic is done in float and rounded once, which for +, -, *, / and sqrt of a 16-bit type is
// the correctly rounded result (float has more than 2p+2 bits; Figueroa 1995).
#pragma once

// A namespace of their own: functions found through an argument of these types must be CUDA's.
namespace pycnn_half {

using pycnn_emu::bit_cast;

// IEEE binary16: 5 exponent bits, 10 fraction bits.
struct Binary16 {
    static uint16_t round(float x) {
        auto bits = bit_cast<uint32_t>(x);
        auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
        bits &= 0x7fffffff;
        if (bits > 0x7f800000) return 0x7fff;                              // NaN, as CUDA has it
        if (bits >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);  // rounds to infinity
        if (bits < 0x38800000) {  // subnormal: let float addition do the rounding
            auto scaled = bit_cast<uint32_t>(bit_cast<float>(bits) + 0.5f);
            return static_cast<uint16_t>(sign | (scaled - 0x3f000000));
        }
        bits += 0xfff + (bits >> 13 & 1);  // to nearest, ties to even
        return static_cast<uint16_t>(sign | ((bits - 0x38000000) >> 13));
    }
    static float widen(uint16_t half) {
        uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
        uint32_t rest = half & 0x7fff;
        if (rest >= 0x7c00) return bit_cast<float>(sign | 0x7f800000 | rest << 13);
        if (rest >= 0x0400) return bit_cast<float>(sign | ((rest << 13) + 0x38000000));
        float magnitude = static_cast<float>(rest) * 5.9604644775390625e-8f;  // times 2^-24
        return bit_cast<float>(sign | bit_cast<uint32_t>(magnitude));
    }
};

// bfloat16: the upper half of a float.
struct Brain16 {
    static uint16_t round(float x) {
        auto bits = bit_cast<uint32_t>(x);
        if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fff;
        return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    }
    static float widen(uint16_t half) { return bit_cast<float>(static_cast<uint32_t>(half) << 16); }
};

template <typename Format>
struct Half {
    uint16_t bits;

    Half() = default;
    template <typename T, typename = std::enable_if_t<std::is_arithmetic<T>::value>>
    Half(T value) : bits(Format::round(static_cast<float>(value))) {}
    operator float() const { return Format::widen(bits); }

    Half& operator+=(Half b) { return *this = Half(float(*this) + float(b)); }
    Half& operator-=(Half b) { return *this = Half(float(*this) - float(b)); }
    Half& operator*=(Half b) { return *this = Half(float(*this) * float(b)); }
    Half& operator/=(Half b) { return *this = Half(float(*this) / float(b)); }
    friend Half operator+(Half a, Half b) { return a += b; }
    friend Half operator-(Half a, Half b) { return a -= b; }
    friend Half operator*(Half a, Half b) { return a *= b; }
    friend Half operator/(Half a, Half b) { return a /= b; }
    friend Half operator-(Half a) { return from_bits(a.bits ^ 0x8000); }
    friend bool operator==(Half a, Half b) { return float(a) == float(b); }
    friend bool operator!=(Half a, Half b) { return float(a) != float(b); }
    friend bool operator<(Half a, Half b) { return float(a) < float(b); }
    friend bool operator>(Half a, Half b) { return float(a) > float(b); }
    friend bool operator<=(Half a, Half b) { return float(a) <= float(b); }
    friend bool operator>=(Half a, Half b) { return float(a) >= float(b); }

    static Half from_bits(int bits) {
        Half half;
        half.bits = static_cast<uint16_t>(bits);
        return half;
    }
};

template <typename Format>
struct alignas(4) Half2 {
    Half<Format> x, y;

    Half2() = default;
    Half2(Half<Format> x_, Half<Format> y_) : x(x_), y(y_) {}
    PYCNN_EMU_VECTOR_COPY(Half2)

    friend Half2 operator+(const Half2& a, const Half2& b) { return {a.x + b.x, a.y + b.y}; }
    friend Half2 operator-(const Half2& a, const Half2& b) { return {a.x - b.x, a.y - b.y}; }
    friend Half2 operator*(const Half2& a, const Half2& b) { return {a.x * b.x, a.y * b.y}; }
    friend Half2 operator/(const Half2& a, const Half2& b) { return {a.x / b.x, a.y / b.y}; }
};

}  // namespace pycnn_half

// Functions that both types have under one name.
#define PYCNN_EMU_HALF_OPERATIONS(H, H2)                                                       \
    inline H __hadd(H a, H b) { return a + b; }                                                \
    inline H __hsub(H a, H b) { return a - b; }                                                \
    inline H __hmul(H a, H b) { return a * b; }                                                \
    inline H __hdiv(H a, H b) { return a / b; }                                                \
    inline H __hneg(H a) { return -a; }                                                        \
    inline H __habs(H a) { return H::from_bits(a.bits & 0x7fff); }                             \
    /* In double: the product is exact and the sum is rounded twice at worst beyond 2p bits. */ \
    inline H __hfma(H a, H b, H c) {                                                           \
        return H(static_cast<float>(double(float(a)) * double(float(b)) + double(float(c))));  \
    }                                                                                          \
    inline bool __heq(H a, H b) { return a == b; }                                             \
    inline bool __hne(H a, H b) { return a != b; }                                             \
    inline bool __hlt(H a, H b) { return a < b; }                                              \
    inline bool __hle(H a, H b) { return a <= b; }                                             \
    inline bool __hgt(H a, H b) { return a > b; }                                              \
    inline bool __hge(H a, H b) { return a >= b; }                                             \
    inline bool __hisnan(H a) { return float(a) != float(a); }                                 \
    inline int __hisinf(H a) { return (float(a) == INFINITY) - (float(a) == -INFINITY); }      \
    inline H __hmax(H a, H b) { return __hisnan(a) || a < b ? b : a; }                         \
    inline H __hmin(H a, H b) { return __hisnan(a) || b < a ? b : a; }                         \
    inline H hsqrt(H a) { return H(sqrtf(a)); }                                                \
    inline H hrsqrt(H a) { return H(1.0f / sqrtf(a)); }                                        \
    inline H hexp(H a) { return H(expf(a)); }                                                  \
    inline H hlog(H a) { return H(logf(a)); }                                                  \
    inline H htanh(H a) { return H(tanhf(a)); }                                                \
    inline H hfloor(H a) { return H(floorf(a)); }                                              \
    inline H hceil(H a) { return H(ceilf(a)); }                                                \
    inline H2 __hadd2(const H2& a, const H2& b) { return a + b; }                              \
    inline H2 __hsub2(const H2& a, const H2& b) { return a - b; }                              \
    inline H2 __hmul2(const H2& a, const H2& b) { return a * b; }                              \
    inline H2 __hfma2(const H2& a, const H2& b, const H2& c) {                                 \
        return H2(__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y));                               \
    }
