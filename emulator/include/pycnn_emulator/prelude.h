// What a kernel sees when it is compiled for the host: CUDA C++ as NVRTC would offer it.
//
// Included before the kernel's own first line. `__shared__`, `__global__` and `#pragma unroll` are
// left to the translator (pycnn/emulator/translate.py); everything else of the language is here.
#pragma once

#include <cstddef>
// libstdc++ puts its special functions (Bessel, zeta ...) behind <math.h> in C++17. No kernel can
// use them, and parsing them takes a third of the time in which a small kernel compiles.
#undef _GLIBCXX_USE_STD_SPEC_FUNCS
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <type_traits>
#include <utility>

#include "abi.h"

#define PYCNN_EMULATOR 1
#define __CUDACC__ 1
#define __CUDACC_RTC__ 1
#ifndef __CUDA_ARCH__
#define __CUDA_ARCH__ 900
#endif
#define __CUDACC_VER_MAJOR__ 13
#define __CUDACC_VER_MINOR__ 0

#define __device__
#define __host__
#define __managed__
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __cluster_dims__(...)
#define __maxnreg__(...)
#define __align__(n) __attribute__((aligned(n)))

#include "memory.h"
#include "vector_types.h"
#include "thread.h"
#include "warp.h"
#include "atomic.h"
#include "device_math.h"
#include "entry.h"
