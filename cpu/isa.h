// The body of isa_*.cpp: all functions for PYCNN_BYTES, as the table PYCNN_ISA.

namespace {

using pycnn_cpu::Buffer;
using pycnn_cpu::Correlation;
using pycnn_cpu::Weights;

#include "simd.h"
#include "correlate.h"
#include "weight_gradient.h"
#include "elements.h"
#include "norm.h"

template <class T> constexpr pycnn_cpu::Functions<T> functions() {
  return {correlate<T>, weight_gradient<T>, moments<T>, scale_shift<T>, norm_sums<T>,
          norm_gradient<T>, relu<T>, relu_backward<T>, finite<T>};
}

}  // namespace

namespace pycnn_cpu {
extern const Table PYCNN_ISA = {PYCNN_NAME, band_count, functions<float>(), functions<double>()};
}
