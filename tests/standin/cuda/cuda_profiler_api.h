// What CuPy's runtime module takes from the CUDA header of this name, which no wheel of it needs.
#pragma once

#include <cuda_runtime_api.h>

extern "C" cudaError_t cudaProfilerStart();
extern "C" cudaError_t cudaProfilerStop();
