// Who a thread is, how it waits for its block, and what it prints.
#pragma once

#define threadIdx (pycnn_emu_self->threadIdx)
#define blockIdx (pycnn_emu_self->blockIdx)
#define blockDim (pycnn_emu_self->blockDim)
#define gridDim (pycnn_emu_self->gridDim)
constexpr int warpSize = 32;

// The line of the call, found by the compiler at the place of the call.
#define PYCNN_EMU_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()
#define PYCNN_EMU_SITE(name) (pycnn_emu::Site{name, file, line})

inline void __syncthreads(PYCNN_EMU_HERE) { pycnn_emu_barrier(0, PYCNN_EMU_SITE("__syncthreads")); }
inline int __syncthreads_count(int predicate, PYCNN_EMU_HERE) {
    return pycnn_emu_barrier(predicate, PYCNN_EMU_SITE("__syncthreads_count")).count;
}
inline int __syncthreads_and(int predicate, PYCNN_EMU_HERE) {
    return pycnn_emu_barrier(predicate, PYCNN_EMU_SITE("__syncthreads_and")).all;
}
inline int __syncthreads_or(int predicate, PYCNN_EMU_HERE) {
    return pycnn_emu_barrier(predicate, PYCNN_EMU_SITE("__syncthreads_or")).any;
}

inline void __threadfence() { pycnn_emu_fence(); }
inline void __threadfence_system() { pycnn_emu_fence(); }
inline void __threadfence_block() {}
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
