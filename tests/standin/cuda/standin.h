// What the parts of the stand-in share: the counters, the memory of the "devices" and the hooks.
//
// The stand-in takes the place of NVIDIA's driver and runtime libraries: device memory is memory of
// this process, a kernel runs in pycnn's emulator, and whatever is asked for is done at once, in the
// order of the calls. The declarations of what it implements are NVIDIA's own headers, so that a
// function with other parameters does not compile.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>


namespace standin {

// Everything that is counted, by name; `pycnn_standin.counting` reads the same list.
#define STANDIN_COUNTERS(X)                                                                       \
    X(launches)                                                                                   \
    X(transforms)                                                                                 \
    X(products)                                                                                   \
    X(copies_to_device)                                                                           \
    X(bytes_to_device)                                                                            \
    X(copies_to_host)                                                                             \
    X(bytes_to_host)                                                                              \
    X(copies_on_device)                                                                           \
    X(fills)                                                                                      \
    X(allocations)                                                                                \
    X(bytes_allocated)                                                                            \
    X(frees)                                                                                      \
    X(synchronisations)                                                                           \
    X(events)                                                                                     \
    X(graphs)                                                                                     \
    X(modules)

struct Counters {
#define STANDIN_FIELD(name) std::atomic<uint64_t> name{0};
    STANDIN_COUNTERS(STANDIN_FIELD)
#undef STANDIN_FIELD
};
extern Counters counters;

// Device that calls of this thread go to, and how many there are.
extern thread_local int current_device;
int device_count();

// Device whose memory holds all of [p, p + size); -1 if none does. A pointer just past the end of
// an allocation is inside it for size 0, as the address of an empty array may be.
int device_of(const void* p, size_t size);

// What a stream was given while it captured, to be done by the graph; what it returns is an error.
using Work = std::function<int()>;
bool captures_any();
bool captures(const void* stream);
void keep(const void* stream, Work work);
int spoil(const void* stream);  // what cannot be captured: the error

// A plan of cuFFT: shapes and strides of both sides, in elements; null pointers written out.
struct Transform {
    int type, rank, batch;
    int n[3];
    int from_embed[3], from_stride, from_distance;
    int to_embed[3], to_stride, to_distance;
};

// A call of cublasGemmEx: C = alpha op(A) op(B) + beta C, all column-major.
struct Product {
    int transpose_a, transpose_b, m, n, k;
    int type_a, lda, type_b, ldb, type_c, ldc, compute;
    const void *alpha, *a, *b, *beta;
    void* c;
};

// What Python does for the libraries (`pycnn_standin.driver`), set by standin_hooks(). The results
// that are no handles and no attributes are a CUresult.
struct Hooks {
    long (*load)(const void* image);                     // a module, or 0
    long (*function)(long module, const char* name);     // a function of it, or 0
    int (*attribute)(long function, int which);          // CUfunction_attribute
    int (*set_attribute)(long function, int which, int value);
    int (*launch)(long function, const unsigned* grid, const unsigned* block, unsigned shared,
                  void** arguments, int cooperative);
    int (*transform)(const Transform* plan, void* from, void* to, int direction);
    int (*product)(const Product* product);
};
extern Hooks hooks;

}  // namespace standin
