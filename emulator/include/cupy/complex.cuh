// `complex<T>` as CuPy's kernels know it: the host library's, in the global namespace.
#pragma once

#include <complex>

using std::abs;
using std::arg;
using std::complex;
using std::conj;
using std::norm;
using std::polar;
using std::proj;
