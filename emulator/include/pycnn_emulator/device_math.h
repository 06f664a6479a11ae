// The device functions of CUDA that a host compiler does not know.
//
// The correctly rounded ones are; the fast ones (__expf ...) are as exact as the host's library,
// since no error of theirs is worth imitating.
#pragma once

namespace pycnn_emu {

template <typename To, typename From>
__attribute__((always_inline)) inline To bit_cast(From from) {
    static_assert(sizeof(To) == sizeof(From), "");
    To to;
    __builtin_memcpy(&to, &from, sizeof(To));
    return to;
}

template <typename T>
constexpr bool is_float = std::is_floating_point<T>::value;

}  // namespace pycnn_emu

// CUDA's overloads take any two arithmetic types; those of two floats let NaN lose.
template <typename A, typename B,
          typename = std::enable_if_t<std::is_arithmetic<A>::value && std::is_arithmetic<B>::value>>
__attribute__((always_inline)) constexpr std::common_type_t<A, B> max(A a, B b) {
    using T = std::common_type_t<A, B>;
    T x = a, y = b;
    if (pycnn_emu::is_float<T> && x != x) return y;
    return x < y ? y : x;
}
template <typename A, typename B,
          typename = std::enable_if_t<std::is_arithmetic<A>::value && std::is_arithmetic<B>::value>>
__attribute__((always_inline)) constexpr std::common_type_t<A, B> min(A a, B b) {
    using T = std::common_type_t<A, B>;
    T x = a, y = b;
    if (pycnn_emu::is_float<T> && x != x) return y;
    return y < x ? y : x;
}

#define PYCNN_EMU_INLINE __attribute__((always_inline)) inline

// Reinterpretation.
PYCNN_EMU_INLINE int __float_as_int(float x) { return pycnn_emu::bit_cast<int>(x); }
PYCNN_EMU_INLINE unsigned __float_as_uint(float x) { return pycnn_emu::bit_cast<unsigned>(x); }
PYCNN_EMU_INLINE float __int_as_float(int x) { return pycnn_emu::bit_cast<float>(x); }
PYCNN_EMU_INLINE float __uint_as_float(unsigned x) { return pycnn_emu::bit_cast<float>(x); }
PYCNN_EMU_INLINE long long __double_as_longlong(double x) { return pycnn_emu::bit_cast<long long>(x); }
PYCNN_EMU_INLINE double __longlong_as_double(long long x) { return pycnn_emu::bit_cast<double>(x); }
PYCNN_EMU_INLINE int __double2hiint(double x) { return static_cast<int>(__double_as_longlong(x) >> 32); }
PYCNN_EMU_INLINE int __double2loint(double x) { return static_cast<int>(__double_as_longlong(x)); }
PYCNN_EMU_INLINE double __hiloint2double(int hi, int lo) {
    return __longlong_as_double(static_cast<long long>(hi) << 32 | static_cast<unsigned>(lo));
}

// Loads and stores with a cache hint.
#define PYCNN_EMU_LOAD(name) \
    template <typename T>    \
    PYCNN_EMU_INLINE T name(const T* p) { return *p; }
#define PYCNN_EMU_STORE(name) \
    template <typename T>     \
    PYCNN_EMU_INLINE void name(T* p, T value) { *p = value; }
PYCNN_EMU_LOAD(__ldg)
PYCNN_EMU_LOAD(__ldca)
PYCNN_EMU_LOAD(__ldcg)
PYCNN_EMU_LOAD(__ldcs)
PYCNN_EMU_LOAD(__ldcv)
PYCNN_EMU_LOAD(__ldlu)
PYCNN_EMU_STORE(__stwb)
PYCNN_EMU_STORE(__stcg)
PYCNN_EMU_STORE(__stcs)
PYCNN_EMU_STORE(__stwt)

// Bits.
PYCNN_EMU_INLINE int __popc(unsigned x) { return __builtin_popcount(x); }
PYCNN_EMU_INLINE int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
PYCNN_EMU_INLINE int __clz(int x) { return x ? __builtin_clz(static_cast<unsigned>(x)) : 32; }
PYCNN_EMU_INLINE int __clzll(long long x) {
    return x ? __builtin_clzll(static_cast<unsigned long long>(x)) : 64;
}
PYCNN_EMU_INLINE int __ffs(int x) { return __builtin_ffs(x); }
PYCNN_EMU_INLINE int __ffsll(long long x) { return __builtin_ffsll(x); }
inline unsigned __brev(unsigned x) {
    unsigned y = 0;
    for (int i = 0; i < 32; ++i) y |= (x >> i & 1u) << (31 - i);
    return y;
}
inline unsigned long long __brevll(unsigned long long x) {
    return static_cast<unsigned long long>(__brev(static_cast<unsigned>(x))) << 32 |
           __brev(static_cast<unsigned>(x >> 32));
}
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
    unsigned long long both = static_cast<unsigned long long>(b) << 32 | a;
    unsigned result = 0;
    for (int i = 0; i < 4; ++i) {
        unsigned choice = selector >> (4 * i) & 0xf;
        auto byte = static_cast<unsigned>(both >> (8 * (choice & 7)) & 0xff);
        if (choice & 8) byte = byte & 0x80 ? 0xff : 0;  // replicate the sign
        result |= byte << (8 * i);
    }
    return result;
}
PYCNN_EMU_INLINE unsigned __funnelshift_l(unsigned lo, unsigned hi, unsigned shift) {
    return static_cast<unsigned>(
        ((static_cast<unsigned long long>(hi) << 32 | lo) << (shift & 31)) >> 32);
}
PYCNN_EMU_INLINE unsigned __funnelshift_r(unsigned lo, unsigned hi, unsigned shift) {
    return static_cast<unsigned>((static_cast<unsigned long long>(hi) << 32 | lo) >> (shift & 31));
}

// Integers.
PYCNN_EMU_INLINE int __mul24(int a, int b) { return ((a << 8) >> 8) * ((b << 8) >> 8); }
PYCNN_EMU_INLINE unsigned __umul24(unsigned a, unsigned b) { return (a & 0xffffff) * (b & 0xffffff); }
PYCNN_EMU_INLINE int __mulhi(int a, int b) {
    return static_cast<int>((static_cast<long long>(a) * b) >> 32);
}
PYCNN_EMU_INLINE unsigned __umulhi(unsigned a, unsigned b) {
    return static_cast<unsigned>((static_cast<unsigned long long>(a) * b) >> 32);
}
PYCNN_EMU_INLINE long long __mul64hi(long long a, long long b) {
    return static_cast<long long>((static_cast<__int128>(a) * b) >> 64);
}
PYCNN_EMU_INLINE unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return static_cast<unsigned long long>((static_cast<unsigned __int128>(a) * b) >> 64);
}
PYCNN_EMU_INLINE unsigned __sad(int a, int b, unsigned c) {
    return c + static_cast<unsigned>(a < b ? b - a : a - b);
}
PYCNN_EMU_INLINE unsigned __usad(unsigned a, unsigned b, unsigned c) { return c + (a < b ? b - a : a - b); }
inline int __dp4a(int a, int b, int c) {
    for (int i = 0; i < 4; ++i)
        c += static_cast<signed char>(a >> (8 * i)) * static_cast<signed char>(b >> (8 * i));
    return c;
}
inline unsigned __dp4a(unsigned a, unsigned b, unsigned c) {
    for (int i = 0; i < 4; ++i) c += (a >> (8 * i) & 0xff) * (b >> (8 * i) & 0xff);
    return c;
}

// Conversions with a rounding mode.
PYCNN_EMU_INLINE int __float2int_rn(float x) { return static_cast<int>(rintf(x)); }
PYCNN_EMU_INLINE int __float2int_rz(float x) { return static_cast<int>(x); }
PYCNN_EMU_INLINE int __float2int_rd(float x) { return static_cast<int>(floorf(x)); }
PYCNN_EMU_INLINE int __float2int_ru(float x) { return static_cast<int>(ceilf(x)); }
PYCNN_EMU_INLINE unsigned __float2uint_rn(float x) { return static_cast<unsigned>(rintf(x)); }
PYCNN_EMU_INLINE unsigned __float2uint_rz(float x) { return static_cast<unsigned>(x); }
PYCNN_EMU_INLINE int __double2int_rn(double x) { return static_cast<int>(rint(x)); }
PYCNN_EMU_INLINE int __double2int_rz(double x) { return static_cast<int>(x); }
PYCNN_EMU_INLINE long long __double2ll_rn(double x) { return llrint(x); }
PYCNN_EMU_INLINE long long __float2ll_rn(float x) { return llrintf(x); }
PYCNN_EMU_INLINE float __double2float_rn(double x) { return static_cast<float>(x); }
PYCNN_EMU_INLINE float __int2float_rn(int x) { return static_cast<float>(x); }
PYCNN_EMU_INLINE float __uint2float_rn(unsigned x) { return static_cast<float>(x); }
PYCNN_EMU_INLINE double __int2double_rn(int x) { return x; }
PYCNN_EMU_INLINE float __ll2float_rn(long long x) { return static_cast<float>(x); }
PYCNN_EMU_INLINE double __ll2double_rn(long long x) { return static_cast<double>(x); }

// Single operations that the compiler must not contract.
#define PYCNN_EMU_EXACT(name, T, op) \
    __attribute__((noinline)) inline T name(T a, T b) { return a op b; }
PYCNN_EMU_EXACT(__fadd_rn, float, +)
PYCNN_EMU_EXACT(__fsub_rn, float, -)
PYCNN_EMU_EXACT(__fmul_rn, float, *)
PYCNN_EMU_EXACT(__fdiv_rn, float, /)
PYCNN_EMU_EXACT(__dadd_rn, double, +)
PYCNN_EMU_EXACT(__dsub_rn, double, -)
PYCNN_EMU_EXACT(__dmul_rn, double, *)
PYCNN_EMU_EXACT(__ddiv_rn, double, /)
PYCNN_EMU_INLINE float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
PYCNN_EMU_INLINE double __fma_rn(double a, double b, double c) { return __builtin_fma(a, b, c); }
PYCNN_EMU_INLINE float __frcp_rn(float x) { return 1.0f / x; }
PYCNN_EMU_INLINE float __fsqrt_rn(float x) { return sqrtf(x); }
PYCNN_EMU_INLINE double __drcp_rn(double x) { return 1.0 / x; }
PYCNN_EMU_INLINE double __dsqrt_rn(double x) { return sqrt(x); }

// Functions of CUDA's mathematical library that C++ lacks.
PYCNN_EMU_INLINE float rsqrtf(float x) { return 1.0f / sqrtf(x); }
PYCNN_EMU_INLINE double rsqrt(double x) { return 1.0 / sqrt(x); }
PYCNN_EMU_INLINE float rsqrt(float x) { return rsqrtf(x); }
PYCNN_EMU_INLINE float rcbrtf(float x) { return 1.0f / cbrtf(x); }
PYCNN_EMU_INLINE double rcbrt(double x) { return 1.0 / cbrt(x); }
PYCNN_EMU_INLINE float __frsqrt_rn(float x) { return rsqrtf(x); }
PYCNN_EMU_INLINE float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }
PYCNN_EMU_INLINE float __fdividef(float a, float b) { return a / b; }
PYCNN_EMU_INLINE float fdividef(float a, float b) { return a / b; }
PYCNN_EMU_INLINE float __expf(float x) { return expf(x); }
PYCNN_EMU_INLINE float __exp10f(float x) { return powf(10.0f, x); }
PYCNN_EMU_INLINE float __logf(float x) { return logf(x); }
PYCNN_EMU_INLINE float __log2f(float x) { return log2f(x); }
PYCNN_EMU_INLINE float __log10f(float x) { return log10f(x); }
PYCNN_EMU_INLINE float __sinf(float x) { return sinf(x); }
PYCNN_EMU_INLINE float __cosf(float x) { return cosf(x); }
PYCNN_EMU_INLINE float __tanf(float x) { return tanf(x); }
PYCNN_EMU_INLINE float __powf(float x, float y) { return powf(x, y); }
PYCNN_EMU_INLINE void __sincosf(float x, float* s, float* c) { *s = sinf(x), *c = cosf(x); }
constexpr double kPycnnEmuPi = 3.14159265358979323846;
PYCNN_EMU_INLINE double sinpi(double x) { return sin(kPycnnEmuPi * fmod(x, 2.0)); }
PYCNN_EMU_INLINE double cospi(double x) { return cos(kPycnnEmuPi * fmod(x, 2.0)); }
PYCNN_EMU_INLINE float sinpif(float x) { return static_cast<float>(sinpi(x)); }
PYCNN_EMU_INLINE float cospif(float x) { return static_cast<float>(cospi(x)); }
PYCNN_EMU_INLINE double normcdf(double x) { return 0.5 * erfc(-x * 0.70710678118654752440); }
PYCNN_EMU_INLINE float normcdff(float x) { return static_cast<float>(normcdf(x)); }
#if !defined(__GLIBC__)
PYCNN_EMU_INLINE void sincosf(float x, float* s, float* c) { __sincosf(x, s, c); }
PYCNN_EMU_INLINE void sincos(double x, double* s, double* c) { *s = sin(x), *c = cos(x); }
#endif
