// Who a thread is, how it waits for its block, and what it prints.
#pragma once

#define threadIdx (pycnn_emu_self->threadIdx)
#define blockIdx (pycnn_emu_self->blockIdx)
#define blockDim (pycnn_emu_self->blockDim)
#define gridDim (pycnn_emu_self->gridDim)
constexpr int warpSize = 32;

// The line of the call, found by the compiler at the place of the call.
#define PYCNN_EMU_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()
#define PYCNN_EMU_SITE(name) (pycnn_emu::Site{name, file, line, 0})

// Two calls may stand on one line: macros of the functions' names tell them apart.
namespace pycnn_emu {

struct Place {
    int number;
};

inline void syncthreads(Place place, PYCNN_EMU_HERE) {
    pycnn_emu_barrier(0, Site{"__syncthreads", file, line, place.number});
}
inline int syncthreads_count(Place place, int predicate, PYCNN_EMU_HERE) {
    return pycnn_emu_barrier(predicate, Site{"__syncthreads_count", file, line, place.number}).count;
}
inline int syncthreads_and(Place place, int predicate, PYCNN_EMU_HERE) {
    return pycnn_emu_barrier(predicate, Site{"__syncthreads_and", file, line, place.number}).all;
}
inline int syncthreads_or(Place place, int predicate, PYCNN_EMU_HERE) {
    return pycnn_emu_barrier(predicate, Site{"__syncthreads_or", file, line, place.number}).any;
}

}  // namespace pycnn_emu

#define PYCNN_EMU_PLACE (pycnn_emu::Place{__COUNTER__ + 1})
#define __syncthreads() pycnn_emu::syncthreads(PYCNN_EMU_PLACE)
#define __syncthreads_count(...) pycnn_emu::syncthreads_count(PYCNN_EMU_PLACE, __VA_ARGS__)
#define __syncthreads_and(...) pycnn_emu::syncthreads_and(PYCNN_EMU_PLACE, __VA_ARGS__)
#define __syncthreads_or(...) pycnn_emu::syncthreads_or(PYCNN_EMU_PLACE, __VA_ARGS__)

inline void __threadfence() { pycnn_emu_fence(); }
inline void __threadfence_system() { pycnn_emu_fence(); }
inline void __threadfence_block() { pycnn_emu_fence_block(); }
inline void __nanosleep(unsigned, PYCNN_EMU_HERE) {
    pycnn_emu_yield(PYCNN_EMU_SITE("__nanosleep"));
}

[[noreturn]] inline void __trap(PYCNN_EMU_HERE) {
    pycnn_emu_assert_failed("__trap()", file, line);
    __builtin_unreachable();
}

// Functions of the host's libraries that would end the process end the launch. Not visible outside,
// so that they take the place of the libraries' own in this kernel only.
#define PYCNN_EMU_ENDS(name, parameters, what)                                          \
    __attribute__((visibility("hidden"), cold, noinline, noreturn)) void name parameters { \
        pycnn_emu_stop("the kernel calls " what, __builtin_return_address(0));          \
    }
extern "C" {
PYCNN_EMU_ENDS(abort, (void) noexcept, "abort")
PYCNN_EMU_ENDS(exit, (int) noexcept, "exit")
PYCNN_EMU_ENDS(_exit, (int), "_exit")
PYCNN_EMU_ENDS(_Exit, (int) noexcept, "_Exit")
PYCNN_EMU_ENDS(quick_exit, (int) noexcept, "quick_exit")
PYCNN_EMU_ENDS(__cxa_pure_virtual, (void), "a pure virtual function")
// What <assert.h> calls, should the kernel include it.
__attribute__((visibility("hidden"), noreturn)) inline void __assert_fail(
    const char* expression, const char* file, unsigned line, const char*) noexcept {
    pycnn_emu_assert_failed(expression, file, static_cast<int>(line));
    __builtin_unreachable();
}
}

#undef assert
#define assert(condition) \
    ((condition) ? (void)0 : pycnn_emu_assert_failed(#condition, __FILE__, __LINE__))

inline long long clock64() {
#if defined(__x86_64__)
    return static_cast<long long>(__builtin_ia32_rdtsc());
#elif defined(__aarch64__)
    long long ticks;
    asm volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    static thread_local long long ticks = 0;
    return ++ticks;
#endif
}
