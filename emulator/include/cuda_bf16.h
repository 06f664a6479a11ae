// __nv_bfloat16 and __nv_bfloat162 on the host; see pycnn_emulator/half.h.
#pragma once

#include "pycnn_emulator/half.h"

using __nv_bfloat16 = pycnn_half::Half<pycnn_half::Brain16>;
using __nv_bfloat162 = pycnn_half::Half2<pycnn_half::Brain16>;
using nv_bfloat16 = __nv_bfloat16;
using nv_bfloat162 = __nv_bfloat162;

PYCNN_EMU_HALF_OPERATIONS(__nv_bfloat16, __nv_bfloat162)

inline __nv_bfloat16 __float2bfloat16(float x) { return __nv_bfloat16(x); }
inline __nv_bfloat16 __float2bfloat16_rn(float x) { return __nv_bfloat16(x); }
inline __nv_bfloat16 __double2bfloat16(double x) { return __nv_bfloat16(x); }
inline float __bfloat162float(__nv_bfloat16 x) { return x; }
inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short x) { return __nv_bfloat16::from_bits(x); }
inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 x) { return x.bits; }
inline __nv_bfloat162 __halves2bfloat162(__nv_bfloat16 x, __nv_bfloat16 y) {
    return __nv_bfloat162(x, y);
}
inline __nv_bfloat162 __float2bfloat162_rn(float x) {
    return __nv_bfloat162(__nv_bfloat16(x), __nv_bfloat16(x));
}
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) {
    return __nv_bfloat162(__nv_bfloat16(x), __nv_bfloat16(y));
}
inline float2 __bfloat1622float2(const __nv_bfloat162& v) { return make_float2(v.x, v.y); }
inline __nv_bfloat16 __low2bfloat16(const __nv_bfloat162& v) { return v.x; }
inline __nv_bfloat16 __high2bfloat16(const __nv_bfloat162& v) { return v.y; }
