// The interface between a kernel compiled for the host and the emulator's runtime.
//
// Compile environments: g++ and clang++, C++17. Included by the prelude (every kernel) and by the
// runtime. A kernel is a shared library whose undefined symbols are the functions below.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__linux__)
// One pointer only: a library loaded late gets little static thread-local space.
#define PYCNN_EMU_TLS __thread __attribute__((tls_model("initial-exec")))
#else
#define PYCNN_EMU_TLS __thread
#endif
#define PYCNN_EMU_API __attribute__((visibility("default")))

struct uint3 {
    unsigned x, y, z;
};

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
    constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
    constexpr operator uint3() const { return uint3{x, y, z}; }
};

namespace pycnn_emu {

// What the running CUDA thread sees of itself. One per operating-system thread, rewritten when the
// scheduler switches between CUDA threads.
struct Self {
    uint3 threadIdx;
    uint3 blockIdx;
    dim3 blockDim;
    dim3 gridDim;
    unsigned thread;         // linear index in the block
    char* dynamic_shared;    // base of `extern __shared__`
    char* static_shared;     // base of `__shared__` variables
    const char* stacks;      // private memory of all threads: never tracked
    size_t stacks_size;
    size_t dynamic_size;
    // Set from outside when the launch wants to look around (an interrupt, a time limit, another
    // thread's turn): the running thread should call pycnn_emu_yield soon, see pycnn_emu_poll.
    volatile int poll;
    const struct Entry* kernel;
};

// One `__shared__` variable of one function; the translator makes one for each declaration.
struct SharedVariable {
    const char* name;
    const char* file;
    int line;
    size_t size;
    size_t align;
    long offset;  // from Self::static_shared; -1 until first used
    const struct Entry* kernel;  // that used it last, for which its bytes are then counted
};

enum ArgumentKind : int { kPointer, kSigned, kUnsigned, kFloat, kBool, kStruct, kConstPointer };

struct Argument {
    ArgumentKind kind;
    int size;
};

struct Entry {
    const char* name;
    void (*invoke)(void* const* args);
    int count;
    const Argument* arguments;
};

// Where in the source a synchronising call stands.
struct Site {
    const char* what;
    const char* file;
    int line;
};

enum Access : int { kRead = 0, kWrite = 1, kAtomic = 2 };

}  // namespace pycnn_emu

extern "C" {
extern PYCNN_EMU_API PYCNN_EMU_TLS pycnn_emu::Self* pycnn_emu_self;

PYCNN_EMU_API void pycnn_emu_register_shared(pycnn_emu::SharedVariable* variable);
PYCNN_EMU_API void pycnn_emu_name_dynamic(const char* name);

// Blocks until all threads of the block that have not exited arrive. `predicate` is combined into
// the three results of __syncthreads_{count,and,or}.
struct pycnn_emu_votes {
    int count, all, any;
};
PYCNN_EMU_API pycnn_emu_votes pycnn_emu_barrier(int predicate, pycnn_emu::Site site);

// Blocks until all lanes of `mask` arrive with the same `site.what`; then `combine` runs once, with
// the `data` pointer of every lane (null outside the mask).
typedef void (*pycnn_emu_combine)(unsigned mask, void* const* lanes);
PYCNN_EMU_API void pycnn_emu_collective(unsigned mask, void* data, pycnn_emu_combine combine,
                                        pycnn_emu::Site site);
PYCNN_EMU_API unsigned pycnn_emu_activemask(pycnn_emu::Site site);
PYCNN_EMU_API void pycnn_emu_fence(void);

// The other threads of the block that can run do so, and other blocks if this one gets nowhere;
// the caller is asked whether the launch is to end. Returns when it is this thread's turn again.
// Registers that a call preserves, the stack and pycnn_emu_self are as before.
PYCNN_EMU_API void pycnn_emu_yield(pycnn_emu::Site site);

PYCNN_EMU_API void pycnn_emu_assert_failed(const char* expression, const char* file, int line);
[[noreturn]] PYCNN_EMU_API void pycnn_emu_stop(const char* what, void* pc);

// Asynchronous copies (cp.async): in the checked build nothing arrives before it is waited for.
PYCNN_EMU_API void pycnn_emu_copy_async(void* shared, const void* global, size_t size,
                                        size_t source_size, void* pc);
PYCNN_EMU_API void pycnn_emu_copy_commit(void);
PYCNN_EMU_API void pycnn_emu_copy_wait(int groups_in_flight);

// Checked build only: called for every memory access that is not private to the thread.
PYCNN_EMU_API void pycnn_emu_access(const void* address, size_t size, int access, void* pc);
// The same on behalf of another lane of the running warp (ldmatrix reads rows of other lanes).
PYCNN_EMU_API void pycnn_emu_lane_access(int lane, const void* address, size_t size, int access,
                                         void* pc);
PYCNN_EMU_API void pycnn_emu_index_out_of_bounds(const char* file, int line, long long index);
}

// For the back edge of a loop, in code that no signal can stop: one load and a branch not taken.
// Compiled C++ needs none, the runtime takes the processor away from it.
static inline __attribute__((always_inline)) void pycnn_emu_poll(pycnn_emu::Site site) {
    if (__builtin_expect(pycnn_emu_self->poll, 0)) pycnn_emu_yield(site);
}
