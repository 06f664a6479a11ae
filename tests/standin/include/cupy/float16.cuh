// CuPy's float16 on the emulator's __half, whose __half_raw is no struct of its own.
#pragma once

#include <cuda_fp16.h>

struct standin_half_raw {
    unsigned short x;
};

struct standin_half : __half {
    standin_half() = default;
    template <typename T, typename = std::enable_if_t<std::is_arithmetic<T>::value>>
    standin_half(T value) : __half(value) {}
    standin_half(const standin_half_raw& raw) : __half(__half::from_bits(raw.x)) {}
    operator standin_half_raw() const { return {bits}; }
};

#define half standin_half
#define __half_raw standin_half_raw
#define __ushort_as_half(bits) standin_half(standin_half_raw{bits})
#include_next <cupy/float16.cuh>
#undef half
#undef __half_raw
#undef __ushort_as_half
