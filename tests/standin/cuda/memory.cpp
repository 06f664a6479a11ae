// Device memory: allocations of this process, each of which belongs to one device.
//
// Fresh memory holds 0xFF (NaN in every floating-point type), so that a kernel that reads what
// nobody wrote is seen. A copy whose direction does not fit where its pointers lie is refused.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include <cuda_runtime_api.h>
#include <sys/mman.h>

#include "standin.h"

using namespace standin;

namespace {

// Larger blocks stay zero: to fill them would take memory of the machine for pages nobody uses.
constexpr size_t kFilled = 64u << 20;

struct Block {
    size_t size;
    int device;
};

std::mutex mutex;
std::map<const char*, Block> blocks;
std::map<const char*, size_t> pinned;  // memory of the host that kernels may use
size_t used = 0;

size_t capacity() {
    const char* bytes = std::getenv("PYCNN_STANDIN_MEMORY");
    return bytes ? std::strtoull(bytes, nullptr, 10) : size_t{8} << 30;
}

bool is_pinned(const void* p) {
    auto next = pinned.upper_bound(static_cast<const char*>(p));
    if (next == pinned.begin()) return false;
    const auto& [base, size] = *std::prev(next);
    return static_cast<const char*>(p) < base + size;
}

cudaError_t copy(void* to, const void* from, size_t size, cudaMemcpyKind kind) {
    if (!size) return cudaSuccess;
    bool to_device = device_of(to, size) >= 0, from_device = device_of(from, size) >= 0;
    if (kind == cudaMemcpyDefault)
        kind = to_device ? (from_device ? cudaMemcpyDeviceToDevice : cudaMemcpyHostToDevice)
                         : (from_device ? cudaMemcpyDeviceToHost : cudaMemcpyHostToHost);
    bool wants_to = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool wants_from = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    // An end that should lie on the host must not touch device memory with its first byte either.
    bool to_wrong = wants_to ? !to_device : device_of(to, 1) >= 0;
    bool from_wrong = wants_from ? !from_device : device_of(from, 1) >= 0;
    if (to_wrong || from_wrong) {
        std::fprintf(stderr, "stand-in: a copy of %zu bytes, kind %d, has %s elsewhere\n", size,
                     static_cast<int>(kind), to_wrong ? "its target" : "its source");
        return cudaErrorInvalidValue;
    }
    if (kind == cudaMemcpyHostToDevice) {
        ++counters.copies_to_device;
        counters.bytes_to_device += size;
    } else if (kind == cudaMemcpyDeviceToHost) {
        ++counters.copies_to_host;
        counters.bytes_to_host += size;
    } else if (kind == cudaMemcpyDeviceToDevice) {
        ++counters.copies_on_device;
    }
    std::memmove(to, from, size);
    return cudaSuccess;
}

}  // namespace

int standin::device_of(const void* p, size_t size) {
    std::lock_guard<std::mutex> lock(mutex);
    const char* begin = static_cast<const char*>(p);
    auto next = blocks.upper_bound(begin);
    if (next == blocks.begin()) return -1;
    const auto& [base, block] = *std::prev(next);
    return begin + size <= base + block.size ? block.device : -1;
}

extern "C" {

// For the check of a kernel's pointers: pinned memory of the host has the same address there.
int standin_device_of(const void* p) {
    int device = device_of(p, 0);
    if (device >= 0) return device;
    std::lock_guard<std::mutex> lock(mutex);
    const char* begin = static_cast<const char*>(p);
    auto next = pinned.upper_bound(begin);
    if (next == pinned.begin()) return -1;
    const auto& [base, size] = *std::prev(next);
    return begin <= base + size ? current_device : -1;
}

cudaError_t cudaMalloc(void** p, size_t size) {
    std::lock_guard<std::mutex> lock(mutex);
    *p = nullptr;
    if (!size) return cudaSuccess;
    if (used + size > capacity()) return cudaErrorMemoryAllocation;
    // Whole pages, which cost the machine nothing before they are used.
    void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return cudaErrorMemoryAllocation;
    if (size <= kFilled) std::memset(memory, 0xFF, size);
    blocks[static_cast<char*>(memory)] = Block{size, current_device};
    used += size;
    ++counters.allocations;
    counters.bytes_allocated += size;
    *p = memory;
    return cudaSuccess;
}

cudaError_t cudaFree(void* p) {
    std::lock_guard<std::mutex> lock(mutex);
    if (!p) return cudaSuccess;
    auto found = blocks.find(static_cast<char*>(p));
    if (found == blocks.end()) return cudaErrorInvalidValue;
    munmap(p, found->second.size);
    used -= found->second.size;
    blocks.erase(found);
    ++counters.frees;
    return cudaSuccess;
}

cudaError_t cudaMallocAsync(void** p, size_t size, cudaStream_t) { return cudaMalloc(p, size); }
cudaError_t cudaFreeAsync(void* p, cudaStream_t) { return cudaFree(p); }

cudaError_t cudaHostAlloc(void** p, size_t size, unsigned) {
    *p = std::malloc(size ? size : 1);
    if (!*p) return cudaErrorMemoryAllocation;
    std::lock_guard<std::mutex> lock(mutex);
    pinned[static_cast<char*>(*p)] = size;
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void* p) {
    std::lock_guard<std::mutex> lock(mutex);
    pinned.erase(static_cast<char*>(p));
    std::free(p);
    return cudaSuccess;
}

cudaError_t cudaHostRegister(void*, size_t, unsigned) { return cudaSuccess; }
cudaError_t cudaHostUnregister(void*) { return cudaSuccess; }

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
    *total = capacity();
    *free = *total - used;
    return cudaSuccess;
}

// Blocks the host on a GPU until the copy is done.
cudaError_t cudaMemcpy(void* to, const void* from, size_t size, cudaMemcpyKind kind) {
    ++counters.synchronisations;
    return copy(to, from, size, kind);
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, cudaMemcpyKind kind,
                            cudaStream_t stream) {
    if (!captures(stream)) return copy(to, from, size, kind);
    for (const void* end : {static_cast<const void*>(to), from})
        if (size && device_of(end, 1) < 0 && !is_pinned(end)) return static_cast<cudaError_t>(spoil(stream));
    keep(stream, [=] { return static_cast<int>(copy(to, from, size, kind)); });
    return cudaSuccess;
}

cudaError_t cudaMemcpyPeerAsync(void* to, int to_device, const void* from, int from_device,
                                size_t size, cudaStream_t) {
    if (device_of(to, size) != to_device || device_of(from, size) != from_device)
        return cudaErrorInvalidValue;
    return copy(to, from, size, cudaMemcpyDeviceToDevice);
}

cudaError_t cudaMemcpyPeer(void* to, int to_device, const void* from, int from_device,
                           size_t size) {
    ++counters.synchronisations;
    return cudaMemcpyPeerAsync(to, to_device, from, from_device, size, nullptr);
}

cudaError_t cudaMemsetAsync(void* p, int value, size_t size, cudaStream_t stream) {
    if (size && device_of(p, size) < 0) return cudaErrorInvalidValue;
    auto fill = [=] {
        ++counters.fills;
        std::memset(p, value, size);
        return static_cast<int>(cudaSuccess);
    };
    if (!captures(stream)) return static_cast<cudaError_t>(fill());
    keep(stream, fill);
    return cudaSuccess;
}

cudaError_t cudaMemset(void* p, int value, size_t size) {
    return cudaMemsetAsync(p, value, size, nullptr);
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* p) {
    int device = device_of(p, 1);
    *attributes = cudaPointerAttributes{};
    attributes->type = device >= 0 ? cudaMemoryTypeDevice : cudaMemoryTypeUnregistered;
    attributes->device = device;
    attributes->devicePointer = device >= 0 ? const_cast<void*>(p) : nullptr;
    return cudaSuccess;
}

}  // extern "C"
