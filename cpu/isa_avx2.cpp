// For x86-64 processors with AVX2; which one runs is decided in bindings.cpp.
#include "buffer.h"
#include "table.h"

#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#define PYCNN_BYTES 32
#define PYCNN_ISA avx2
#define PYCNN_NAME "avx2"
#include "isa.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
