// char1 ... double4 and their make_ functions.
//
// In the checked build copying one is a single access of its whole size, as on the hardware; a
// compiler would take the copy apart. Alignments are CUDA's.
#pragma once

#ifdef PYCNN_EMU_CHECKED
#define PYCNN_EMU_VECTOR_COPY(NAME)                                                       \
    __attribute__((always_inline)) NAME(const NAME& o) {                                  \
        pycnn_emu::copy_vector(this, &o, sizeof(NAME));                                   \
    }                                                                                     \
    __attribute__((always_inline)) NAME& operator=(const NAME& o) {                       \
        pycnn_emu::copy_vector(this, &o, sizeof(NAME));                                   \
        return *this;                                                                     \
    }
#define PYCNN_EMU_VECTOR_MAKE2(NAME, T) \
    NAME() = default;                   \
    NAME(T x_, T y_ = {}) : x(x_), y(y_) {}
#define PYCNN_EMU_VECTOR_MAKE4(NAME, T) \
    NAME() = default;                   \
    NAME(T x_, T y_ = {}, T z_ = {}, T w_ = {}) : x(x_), y(y_), z(z_), w(w_) {}
#else
#define PYCNN_EMU_VECTOR_COPY(NAME)
#define PYCNN_EMU_VECTOR_MAKE2(NAME, T)
#define PYCNN_EMU_VECTOR_MAKE4(NAME, T)
#endif

// Three elements have no single access: they are copied one by one.
#define PYCNN_EMU_VECTORS(T, B, A2, A4)                                          \
    struct B##1 {                                                                \
        T x;                                                                     \
    };                                                                           \
    struct alignas(A2) B##2 {                                                    \
        T x, y;                                                                  \
        PYCNN_EMU_VECTOR_MAKE2(B##2, T)                                          \
        PYCNN_EMU_VECTOR_COPY(B##2)                                              \
    };                                                                           \
    struct B##3 {                                                   \
        T x, y, z;                                                               \
    };                                                                           \
    struct alignas(A4) B##4 {                                                    \
        T x, y, z, w;                                                            \
        PYCNN_EMU_VECTOR_MAKE4(B##4, T)                                          \
        PYCNN_EMU_VECTOR_COPY(B##4)                                              \
    };                                                                           \
    inline B##1 make_##B##1(T x) { return B##1{x}; }                             \
    inline B##2 make_##B##2(T x, T y) { return B##2{x, y}; }                     \
    inline B##3 make_##B##3(T x, T y, T z) {                        \
        return B##3{x, y, z};                                       \
    }                                                                            \
    inline B##4 make_##B##4(T x, T y, T z, T w) { return B##4{x, y, z, w}; }


PYCNN_EMU_VECTORS(signed char, char, 2, 4)
PYCNN_EMU_VECTORS(unsigned char, uchar, 2, 4)
PYCNN_EMU_VECTORS(short, short, 4, 8)
PYCNN_EMU_VECTORS(unsigned short, ushort, 4, 8)
PYCNN_EMU_VECTORS(int, int, 8, 16)
PYCNN_EMU_VECTORS(long, long, 16, 16)
PYCNN_EMU_VECTORS(unsigned long, ulong, 16, 16)
PYCNN_EMU_VECTORS(long long, longlong, 16, 16)
PYCNN_EMU_VECTORS(unsigned long long, ulonglong, 16, 16)
PYCNN_EMU_VECTORS(float, float, 8, 16)
PYCNN_EMU_VECTORS(double, double, 16, 16)

// uint3 belongs to the interface (abi.h); the rest of its family stands here.
struct uint1 {
    unsigned x;
};
struct alignas(8) uint2 {
    unsigned x, y;
    PYCNN_EMU_VECTOR_MAKE2(uint2, unsigned)
    PYCNN_EMU_VECTOR_COPY(uint2)
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
    PYCNN_EMU_VECTOR_MAKE4(uint4, unsigned)
    PYCNN_EMU_VECTOR_COPY(uint4)
};
inline uint1 make_uint1(unsigned x) { return uint1{x}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return uint2{x, y}; }
inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return uint3{x, y, z}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
    return uint4{x, y, z, w};
}
