// CUDA's plain complex numbers.
#pragma once

using cuFloatComplex = float2;
using cuDoubleComplex = double2;
using cuComplex = cuFloatComplex;

#define PYCNN_EMU_COMPLEX(C, T, F)                                                          \
    inline T cuCreal##F(C a) { return a.x; }                                                \
    inline T cuCimag##F(C a) { return a.y; }                                                \
    inline C cuConj##F(C a) { return C{a.x, -a.y}; }                                        \
    inline C cuCadd##F(C a, C b) { return C{a.x + b.x, a.y + b.y}; }                        \
    inline C cuCsub##F(C a, C b) { return C{a.x - b.x, a.y - b.y}; }                        \
    inline C cuCmul##F(C a, C b) {                                                          \
        return C{a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x};                             \
    }                                                                                       \
    inline C cuCdiv##F(C a, C b) {                                                          \
        T d = b.x * b.x + b.y * b.y;                                                        \
        return C{(a.x * b.x + a.y * b.y) / d, (a.y * b.x - a.x * b.y) / d};                 \
    }
PYCNN_EMU_COMPLEX(cuFloatComplex, float, f)
PYCNN_EMU_COMPLEX(cuDoubleComplex, double, )

inline cuFloatComplex make_cuFloatComplex(float x, float y) { return make_float2(x, y); }
inline cuFloatComplex make_cuComplex(float x, float y) { return make_float2(x, y); }
inline cuDoubleComplex make_cuDoubleComplex(double x, double y) { return make_double2(x, y); }
inline float cuCabsf(cuFloatComplex a) { return hypotf(a.x, a.y); }
inline double cuCabs(cuDoubleComplex a) { return hypot(a.x, a.y); }
