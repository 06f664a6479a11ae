// Devices: PYCNN_STANDIN_DEVICES of them (1 if not set), which call themselves what they are.

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <cuda_runtime_api.h>

#include "standin.h"

using namespace standin;

namespace {

// Compute capability 9.0 and the limits that go with it; what is not here is 0.
int attribute(cudaDeviceAttr which) {
    switch (which) {
        case cudaDevAttrComputeCapabilityMajor: return 9;
        case cudaDevAttrComputeCapabilityMinor: return 0;
        case cudaDevAttrMultiProcessorCount: return 132;
        case cudaDevAttrWarpSize: return 32;
        case cudaDevAttrMaxThreadsPerBlock: return 1024;
        case cudaDevAttrMaxBlockDimX: return 1024;
        case cudaDevAttrMaxBlockDimY: return 1024;
        case cudaDevAttrMaxBlockDimZ: return 64;
        case cudaDevAttrMaxGridDimX: return 2147483647;
        case cudaDevAttrMaxGridDimY: return 65535;
        case cudaDevAttrMaxGridDimZ: return 65535;
        case cudaDevAttrMaxThreadsPerMultiProcessor: return 2048;
        case cudaDevAttrMaxSharedMemoryPerBlock: return 48 * 1024;
        case cudaDevAttrMaxSharedMemoryPerBlockOptin: return 227 * 1024;
        case cudaDevAttrMaxSharedMemoryPerMultiprocessor: return 228 * 1024;
        case cudaDevAttrMaxRegistersPerBlock: return 65536;
        case cudaDevAttrL2CacheSize: return 50 << 20;
        default: return 0;
    }
}

bool exists(int device) { return 0 <= device && device < device_count(); }

}  // namespace

thread_local int standin::current_device = 0;

int standin::device_count() {
    const char* count = std::getenv("PYCNN_STANDIN_DEVICES");
    return count ? std::atoi(count) : 1;
}

extern "C" {

cudaError_t cudaDriverGetVersion(int* version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) { return cudaDriverGetVersion(version); }

cudaError_t cudaGetDeviceCount(int* count) {
    *count = device_count();
    return *count ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t cudaGetDevice(int* device) {
    *device = current_device;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
    if (!exists(device)) return cudaErrorInvalidDevice;
    current_device = device;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int device) {
    if (!exists(device)) return cudaErrorInvalidDevice;
    *value = attribute(which);
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
    if (!exists(device)) return cudaErrorInvalidDevice;
    cudaDeviceProp& p = *properties;
    p = cudaDeviceProp{};
    std::strcpy(p.name, "pycnn stand-in (no GPU)");
    p.major = 9;
    p.minor = 0;
    p.multiProcessorCount = attribute(cudaDevAttrMultiProcessorCount);
    p.warpSize = attribute(cudaDevAttrWarpSize);
    p.maxThreadsPerBlock = attribute(cudaDevAttrMaxThreadsPerBlock);
    p.maxThreadsPerMultiProcessor = attribute(cudaDevAttrMaxThreadsPerMultiProcessor);
    p.sharedMemPerBlock = attribute(cudaDevAttrMaxSharedMemoryPerBlock);
    p.sharedMemPerBlockOptin = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
    p.sharedMemPerMultiprocessor = attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor);
    p.regsPerBlock = attribute(cudaDevAttrMaxRegistersPerBlock);
    p.regsPerMultiprocessor = p.regsPerBlock;
    p.l2CacheSize = attribute(cudaDevAttrL2CacheSize);
    p.pciBusID = device;
    size_t free;
    return cudaMemGetInfo(&free, &p.totalGlobalMem);
}

cudaError_t cudaDeviceGetPCIBusId(char* text, int length, int device) {
    if (!exists(device)) return cudaErrorInvalidDevice;
    std::snprintf(text, length, "0000:%02x:00.0", device);
    return cudaSuccess;
}

// No device reaches another's memory: what goes between them is copied.
cudaError_t cudaDeviceCanAccessPeer(int* can, int, int) {
    *can = 0;
    return cudaSuccess;
}

const char* cudaGetErrorName(cudaError_t error) {
    switch (error) {
        case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
        case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
        case cudaErrorInvalidDevice: return "cudaErrorInvalidDevice";
        case cudaErrorNoDevice: return "cudaErrorNoDevice";
        case cudaErrorInvalidResourceHandle: return "cudaErrorInvalidResourceHandle";
        case cudaErrorNotSupported: return "cudaErrorNotSupported";
        case cudaErrorStreamCaptureUnsupported: return "cudaErrorStreamCaptureUnsupported";
        case cudaErrorStreamCaptureInvalidated: return "cudaErrorStreamCaptureInvalidated";
        default: return "cudaErrorUnknown";
    }
}

const char* cudaGetErrorString(cudaError_t error) {
    return error == cudaErrorMemoryAllocation ? "out of memory"
           : error == cudaErrorNotSupported   ? "the stand-in driver does not have this"
           : error == cudaErrorNoDevice       ? "no CUDA-capable device is detected"
                                              : "refused by the stand-in driver";
}

// CuPy raises on the status itself; this only clears a driver's memory of it.
cudaError_t cudaGetLastError() { return cudaSuccess; }

}  // extern "C"
