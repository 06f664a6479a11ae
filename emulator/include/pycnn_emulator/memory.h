// Shared memory, and the hooks through which the checked build sees every access.
#pragma once

#ifdef PYCNN_EMU_CHECKED
#define PYCNN_EMU_UNCHECKED __attribute__((no_sanitize("thread"), no_sanitize("undefined")))
#else
#define PYCNN_EMU_UNCHECKED
#endif

namespace pycnn_emu {

template <typename T>
__attribute__((always_inline)) inline T& shared(SharedVariable& variable) {
    static_assert(sizeof(T) <= 48 * 1024, "a __shared__ variable may take 48 KiB at most");
#ifdef PYCNN_EMU_CHECKED
    pycnn_emu_register_shared(&variable);  // always: the checker wants to know what is in use
#else
    if (__builtin_expect(
            __atomic_load_n(&variable.kernel, __ATOMIC_ACQUIRE) != pycnn_emu_self->kernel, 0))
        pycnn_emu_register_shared(&variable);
#endif
    return *reinterpret_cast<T*>(pycnn_emu_self->static_shared + variable.offset);
}

template <typename T>
__attribute__((always_inline)) inline T* dynamic_shared(const char* name) {
#ifdef PYCNN_EMU_CHECKED
    pycnn_emu_name_dynamic(name);
#else
    (void)name;
#endif
    return reinterpret_cast<T*>(pycnn_emu_self->dynamic_shared);
}

// `extern __shared__ T name[];` at file scope, where no thread is running yet.
template <typename T>
struct DynamicShared {
    const char* name;
    __attribute__((always_inline)) operator T*() const { return dynamic_shared<T>(name); }
};

}  // namespace pycnn_emu

#ifdef PYCNN_EMU_CHECKED

#define PYCNN_EMU_CALLER __builtin_return_address(0)

namespace pycnn_emu {

// A thread's own stack, and what it reads to know who it is: most accesses by far.
__attribute__((always_inline)) inline bool is_private(const void* p) {
    const Self* self = pycnn_emu_self;
    return !self || p == &pycnn_emu_self ||
           static_cast<size_t>(static_cast<const char*>(p) - self->stacks) < self->stacks_size;
}

// A vector type is copied in one access, which the compiler would take apart.
__attribute__((noinline)) PYCNN_EMU_UNCHECKED inline void copy_vector(void* to, const void* from,
                                                                     size_t size) {
    if (!is_private(from)) pycnn_emu_access(from, size, kRead, PYCNN_EMU_CALLER);
    if (!is_private(to)) pycnn_emu_access(to, size, kWrite, PYCNN_EMU_CALLER);
    char bytes[32];
    __builtin_memcpy(bytes, from, size);
    __builtin_memcpy(to, bytes, size);
}

__attribute__((noinline)) PYCNN_EMU_UNCHECKED inline void* checked_memcpy(void* to, const void* from,
                                                                         size_t size) {
    if (!is_private(from)) pycnn_emu_access(from, size, kRead, PYCNN_EMU_CALLER);
    if (!is_private(to)) pycnn_emu_access(to, size, kWrite, PYCNN_EMU_CALLER);
    return __builtin_memcpy(to, from, size);
}

__attribute__((noinline)) PYCNN_EMU_UNCHECKED inline void* checked_memset(void* to, int value,
                                                                         size_t size) {
    if (!is_private(to)) pycnn_emu_access(to, size, kWrite, PYCNN_EMU_CALLER);
    return __builtin_memset(to, value, size);
}

struct UbsanLocation {
    const char* file;
    uint32_t line, column;
};

}  // namespace pycnn_emu

#define memcpy pycnn_emu::checked_memcpy
#define memmove pycnn_emu::checked_memcpy
#define memset pycnn_emu::checked_memset

// What -fsanitize=thread calls. Ours replace the library's, in every kernel for itself.
#define PYCNN_EMU_HOOK __attribute__((visibility("hidden"))) PYCNN_EMU_UNCHECKED
#define PYCNN_EMU_HOOKS(size)                                                                 \
    PYCNN_EMU_HOOK void __tsan_read##size(void* p) {                                          \
        if (!pycnn_emu::is_private(p))                                                        \
            pycnn_emu_access(p, size, pycnn_emu::kRead, PYCNN_EMU_CALLER);                    \
    }                                                                                         \
    PYCNN_EMU_HOOK void __tsan_write##size(void* p) {                                         \
        if (!pycnn_emu::is_private(p))                                                        \
            pycnn_emu_access(p, size, pycnn_emu::kWrite, PYCNN_EMU_CALLER);                   \
    }                                                                                         \
    PYCNN_EMU_HOOK void __tsan_unaligned_read##size(void* p) {                                \
        if (!pycnn_emu::is_private(p))                                                        \
            pycnn_emu_access(p, size, pycnn_emu::kRead, PYCNN_EMU_CALLER);                    \
    }                                                                                         \
    PYCNN_EMU_HOOK void __tsan_unaligned_write##size(void* p) {                               \
        if (!pycnn_emu::is_private(p))                                                        \
            pycnn_emu_access(p, size, pycnn_emu::kWrite, PYCNN_EMU_CALLER);                   \
    }

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wbuiltin-declaration-mismatch"
extern "C" {
PYCNN_EMU_HOOKS(1)
PYCNN_EMU_HOOKS(2)
PYCNN_EMU_HOOKS(4)
PYCNN_EMU_HOOKS(8)
PYCNN_EMU_HOOKS(16)
PYCNN_EMU_HOOK void __tsan_read_range(void* p, size_t size) {
    if (!pycnn_emu::is_private(p)) pycnn_emu_access(p, size, pycnn_emu::kRead, PYCNN_EMU_CALLER);
}
PYCNN_EMU_HOOK void __tsan_write_range(void* p, size_t size) {
    if (!pycnn_emu::is_private(p)) pycnn_emu_access(p, size, pycnn_emu::kWrite, PYCNN_EMU_CALLER);
}
PYCNN_EMU_HOOK void __tsan_vptr_update(void**, void*) {}
PYCNN_EMU_HOOK void __tsan_vptr_read(void**) {}
PYCNN_EMU_HOOK void __tsan_func_entry(void*) {}
PYCNN_EMU_HOOK void __tsan_func_exit(void) {}
PYCNN_EMU_HOOK void __tsan_init(void) {}
// What -fsanitize=bounds calls.
PYCNN_EMU_HOOK void __ubsan_handle_out_of_bounds(void* data, void* index) {
    auto* where = static_cast<pycnn_emu::UbsanLocation*>(data);
    pycnn_emu_index_out_of_bounds(where->file, static_cast<int>(where->line),
                                  reinterpret_cast<long long>(index));
}
}
#pragma GCC diagnostic pop

#endif  // PYCNN_EMU_CHECKED
