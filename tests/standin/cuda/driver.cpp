// The driver functions that CuPy uses: modules and launches, which Python carries out.

#include <array>
#include <csignal>
#include <fstream>
#include <iterator>
#include <vector>

#include <cuda.h>

#include "standin.h"

using namespace standin;

namespace {

template <typename Handle>
Handle handle(long number) {
    return reinterpret_cast<Handle>(number);
}

template <typename Handle>
long number(Handle handle) {
    return reinterpret_cast<long>(handle);
}

// A hook that Python interrupted returns this. Python takes no exception from a hook, so the signal
// is raised once more: Python sees it as soon as it is back in its own code.
constexpr long kInterrupted = -1;

template <typename Result>
Result heeded(Result result) {
    if (result == kInterrupted) std::raise(SIGINT);
    return result;
}

CUresult launch(CUfunction function, std::array<unsigned, 3> grid, std::array<unsigned, 3> block,
                unsigned shared, void** arguments, bool cooperative) {
    int result = heeded(hooks.launch(number(function), grid.data(), block.data(), shared, arguments,
                                     cooperative));
    return result == kInterrupted ? CUDA_SUCCESS : static_cast<CUresult>(result);
}

// What hooks.attribute takes for the bytes of an argument: this, less its number.
constexpr int kSize = -1;

// A launch, or where the stream captures a copy of it that a graph carries out.
CUresult ask(CUstream stream, CUfunction function, std::array<unsigned, 3> grid,
             std::array<unsigned, 3> block, unsigned shared, void** arguments, bool cooperative) {
    if (!captures(stream)) {
        ++counters.launches;
        return launch(function, grid, block, shared, arguments, cooperative);
    }
    std::vector<std::vector<char>> copies;
    while (int size = hooks.attribute(number(function), kSize - static_cast<int>(copies.size()))) {
        const char* from = static_cast<const char*>(arguments[copies.size()]);
        copies.emplace_back(from, from + size);
    }
    keep(stream, [=]() mutable {
        std::vector<void*> places;
        for (auto& copy : copies) places.push_back(copy.data());
        return static_cast<int>(launch(function, grid, block, shared, places.data(), cooperative));
    });
    return CUDA_SUCCESS;
}

}  // namespace

extern "C" {

CUresult cuDriverGetVersion(int* version) {
    *version = CUDA_VERSION;
    return CUDA_SUCCESS;
}

CUresult cuGetErrorName(CUresult error, const char** name) {
    switch (error) {
        case CUDA_ERROR_INVALID_VALUE: *name = "CUDA_ERROR_INVALID_VALUE"; break;
        case CUDA_ERROR_INVALID_IMAGE: *name = "CUDA_ERROR_INVALID_IMAGE"; break;
        case CUDA_ERROR_NOT_FOUND: *name = "CUDA_ERROR_NOT_FOUND"; break;
        case CUDA_ERROR_ILLEGAL_ADDRESS: *name = "CUDA_ERROR_ILLEGAL_ADDRESS"; break;
        case CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES: *name = "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"; break;
        case CUDA_ERROR_LAUNCH_FAILED: *name = "CUDA_ERROR_LAUNCH_FAILED"; break;
        case CUDA_ERROR_NOT_SUPPORTED: *name = "CUDA_ERROR_NOT_SUPPORTED"; break;
        default: *name = "CUDA_ERROR_UNKNOWN";
    }
    return CUDA_SUCCESS;
}

CUresult cuGetErrorString(CUresult, const char** text) {
    *text = "refused by the stand-in driver";
    return CUDA_SUCCESS;
}

CUresult cuCtxGetCurrent(CUcontext* context) {
    *context = handle<CUcontext>(current_device + 1);
    return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext) { return CUDA_SUCCESS; }

CUresult cuCtxGetDevice(CUdevice* device) {
    *device = current_device;
    return CUDA_SUCCESS;
}

CUresult cuModuleLoadData(CUmodule* module, const void* image) {
    long loaded = hooks.load(image);
    if (!loaded) return CUDA_ERROR_INVALID_IMAGE;
    ++counters.modules;
    *module = handle<CUmodule>(loaded);
    return CUDA_SUCCESS;
}

CUresult cuModuleLoad(CUmodule* module, const char* path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return CUDA_ERROR_FILE_NOT_FOUND;
    std::vector<char> image{std::istreambuf_iterator<char>(file), {}};
    image.push_back('\0');
    return cuModuleLoadData(module, image.data());
}

CUresult cuModuleUnload(CUmodule) { return CUDA_SUCCESS; }

CUresult cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
    long found = heeded(hooks.function(number(module), name));
    if (found <= 0) return CUDA_ERROR_NOT_FOUND;
    *function = handle<CUfunction>(found);
    return CUDA_SUCCESS;
}

CUresult cuFuncGetAttribute(int* value, CUfunction_attribute which, CUfunction function) {
    *value = hooks.attribute(number(function), which);
    return CUDA_SUCCESS;
}

CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute which, int value) {
    return static_cast<CUresult>(hooks.set_attribute(number(function), which, value));
}

CUresult cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                        unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared,
                        CUstream stream, void** arguments, void**) {
    return ask(stream, function, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared,
               arguments, false);
}

// As many threads as a multiprocessor holds, whatever else they take.
CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction, int block, size_t) {
    *blocks = 2048 / block;
    return CUDA_SUCCESS;
}

CUresult cuLaunchCooperativeKernel(CUfunction function, unsigned grid_x, unsigned grid_y,
                                   unsigned grid_z, unsigned block_x, unsigned block_y,
                                   unsigned block_z, unsigned shared, CUstream stream,
                                   void** arguments) {
    return ask(stream, function, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared,
               arguments, true);
}

}  // extern "C"
