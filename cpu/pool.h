// Max pooling's way back: every dy is added, in double, where its maximum came from.
#pragma once

#include <cstdint>

#include "buffer.h"

namespace pycnn_cpu {

template <class T>
void max_pool_backward(const T* dy, const std::int64_t* indices, long windows, T* dx, long pixels,
                       long begin, long end) {
  Buffer<double> sums(pixels);
  for (long plane = begin; plane < end; ++plane) {
    for (long i = 0; i < pixels; ++i) sums.get()[i] = 0;
    for (long i = plane * windows; i < (plane + 1) * windows; ++i)
      if (indices[i] >= 0 && indices[i] < pixels) sums.get()[indices[i]] += double(dy[i]);
    for (long i = 0; i < pixels; ++i) dx[plane * pixels + i] = T(sums.get()[i]);
  }
}

}  // namespace pycnn_cpu
