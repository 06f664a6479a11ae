// pycnn/copy.cuh: elements that are moved and never computed with: one type for each size.
//
// A file that includes this is compiled for BYTES, the size of an element, whatever its dtype.
#pragma once

#ifndef BYTES
#define BYTES 4
#endif

#include <pycnn/block.cuh>
#include <pycnn/strided.cuh>

using element = OfBytes<BYTES>::type;

constexpr int COPY_THREADS = 256;
