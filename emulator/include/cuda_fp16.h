// __half and __half2 on the host; see pycnn_emulator/half.h for what their arithmetic promises.
#pragma once

#include "pycnn_emulator/half.h"

using __half = pycnn_half::Half<pycnn_half::Binary16>;
using __half2 = pycnn_half::Half2<pycnn_half::Binary16>;
using half = __half;
using half2 = __half2;
using __half_raw = __half;

PYCNN_EMU_HALF_OPERATIONS(__half, __half2)

inline __half __float2half(float x) { return __half(x); }
inline __half __float2half_rn(float x) { return __half(x); }
inline __half __double2half(double x) { return __half(x); }
inline float __half2float(__half x) { return x; }
inline __half __int2half_rn(int x) { return __half(x); }
inline int __half2int_rn(__half x) { return static_cast<int>(rintf(x)); }
inline int __half2int_rz(__half x) { return static_cast<int>(float(x)); }
inline __half __ushort_as_half(unsigned short x) { return __half::from_bits(x); }
inline __half __short_as_half(short x) { return __half::from_bits(x); }
inline unsigned short __half_as_ushort(__half x) { return x.bits; }
inline short __half_as_short(__half x) { return static_cast<short>(x.bits); }
inline __half2 __halves2half2(__half x, __half y) { return __half2(x, y); }
inline __half2 make_half2(__half x, __half y) { return __half2(x, y); }
inline __half2 __half2half2(__half x) { return __half2(x, x); }
inline __half2 __float2half2_rn(float x) { return __half2(__half(x), __half(x)); }
inline __half2 __floats2half2_rn(float x, float y) { return __half2(__half(x), __half(y)); }
inline __half2 __float22half2_rn(float2 v) { return __half2(__half(v.x), __half(v.y)); }
inline float2 __half22float2(const __half2& v) { return make_float2(v.x, v.y); }
inline __half __low2half(const __half2& v) { return v.x; }
inline __half __high2half(const __half2& v) { return v.y; }
inline float __low2float(const __half2& v) { return v.x; }
inline float __high2float(const __half2& v) { return v.y; }
