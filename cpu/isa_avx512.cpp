// For x86-64 processors with AVX-512; which one runs is decided in bindings.cpp.
#include "buffer.h"
#include "table.h"

#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
#endif

#define PYCNN_BYTES 64
#define PYCNN_ISA avx512
#define PYCNN_NAME "avx512"
#include "isa.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
