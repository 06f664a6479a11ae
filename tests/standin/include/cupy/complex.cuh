// CuPy's complex numbers are Thrust's: here the host's, as in the emulator's header of this name.
#pragma once

#include_next <cupy/complex.cuh>

namespace thrust {
using std::complex;
}
