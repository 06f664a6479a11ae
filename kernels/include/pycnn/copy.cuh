// pycnn/copy.cuh: elements that are moved and never computed with: one type for each size.
//
// A file that includes this is compiled for BYTES, the size of an element, whatever its dtype.
#pragma once

#ifndef BYTES
#define BYTES 4
#endif

#include <pycnn/kernel.cuh>
#include <pycnn/strided.cuh>

template <int SIZE>
struct OfBytes {  // 16: several neighbouring elements, moved by one instruction
    struct alignas(SIZE) type {
        unsigned part[SIZE / 4];
    };
};
template <>
struct OfBytes<1> {
    using type = unsigned char;
};
template <>
struct OfBytes<2> {
    using type = unsigned short;
};
template <>
struct OfBytes<4> {
    using type = unsigned;
};
template <>
struct OfBytes<8> {
    using type = unsigned long long;
};

using element = OfBytes<BYTES>::type;

constexpr int COPY_THREADS = 256;
