// pycnn/float8.cuh: numbers of eight bits, by integer arithmetic: no instruction before sm_89 knows them.
#pragma once

#include <pycnn/kernel.cuh>

// Exponents of four bits, biased by 7, and no infinities; of five bits as those of a half, biased by 15.
enum Float8 { E4M3, E5M2 };

// The exponent is put where that of a float is, which makes it too small by the difference of the biases:
// a product makes up for it, and for subnormal numbers.
__device__ __forceinline__ float of_float8(unsigned char bits, Float8 type) {
    const unsigned size = bits & 0x7f;
    float value = type == E4M3 ? __uint_as_float(size << 20) * 0x1p120f
                               : __uint_as_float(size << 21) * 0x1p112f;
    if (type == E4M3 ? size == 0x7f : size > 0x7c) value = limits<float>::quiet_nan();
    if (type == E5M2 && size == 0x7c) value = limits<float>::infinity();
    return bits & 0x80 ? -value : value;
}
