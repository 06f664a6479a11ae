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

__attribute__((noinline)) PYCNN_EMU_UNCHECKED inline void note_other(const void* p, size_t size,
                                                                    int access, void* pc) {
    if (pycnn_emu_self && p != &pycnn_emu_self) pycnn_emu_access(p, size, access, pc);
}

// A thread's own stack: most accesses by far.
__attribute__((always_inline)) inline bool is_private(const void* p) {
    const Self* self = pycnn_emu_self;
    return !self || static_cast<size_t>(static_cast<const char*>(p) - self->stacks) < self->stacks_size;
}

__attribute__((always_inline)) inline void note(const void* p, size_t size, int access, void* pc) {
    if (__builtin_expect(!is_private(p), 0)) note_other(p, size, access, pc);
}

// A vector type is copied in one access, which the compiler would take apart.
__attribute__((noinline)) PYCNN_EMU_UNCHECKED inline void copy_vector(void* to, const void* from,
                                                                     size_t size) {
    note(from, size, kRead, PYCNN_EMU_CALLER);
    note(to, size, kWrite, PYCNN_EMU_CALLER);
    char bytes[32];
    __builtin_memcpy(bytes, from, size);
    __builtin_memcpy(to, bytes, size);
}

__attribute__((noinline)) PYCNN_EMU_UNCHECKED inline void* checked_memcpy(void* to, const void* from,
                                                                         size_t size) {
    note(from, size, kRead | kUnaligned, PYCNN_EMU_CALLER);
    note(to, size, kWrite | kUnaligned, PYCNN_EMU_CALLER);
    return __builtin_memmove(to, from, size);
}

__attribute__((noinline)) PYCNN_EMU_UNCHECKED inline void* checked_memset(void* to, int value,
                                                                         size_t size) {
    note(to, size, kWrite | kUnaligned, PYCNN_EMU_CALLER);
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
#define PYCNN_EMU_HOOK_OF(name, size, access) \
    PYCNN_EMU_HOOK void __tsan_##name(void* p) { pycnn_emu::note(p, size, access, PYCNN_EMU_CALLER); }
#define PYCNN_EMU_HOOKS(size)                                                                       \
    PYCNN_EMU_HOOK_OF(read##size, size, pycnn_emu::kRead)                                           \
    PYCNN_EMU_HOOK_OF(write##size, size, pycnn_emu::kWrite)                                         \
    PYCNN_EMU_HOOK_OF(volatile_read##size, size, pycnn_emu::kRead | pycnn_emu::kVolatile)           \
    PYCNN_EMU_HOOK_OF(volatile_write##size, size, pycnn_emu::kWrite | pycnn_emu::kVolatile)         \
    PYCNN_EMU_HOOK_OF(unaligned_read##size, size, pycnn_emu::kRead | pycnn_emu::kUnaligned)         \
    PYCNN_EMU_HOOK_OF(unaligned_write##size, size, pycnn_emu::kWrite | pycnn_emu::kUnaligned)       \
    PYCNN_EMU_HOOK_OF(unaligned_volatile_read##size, size,                                          \
                      pycnn_emu::kRead | pycnn_emu::kVolatile | pycnn_emu::kUnaligned)              \
    PYCNN_EMU_HOOK_OF(unaligned_volatile_write##size, size,                                         \
                      pycnn_emu::kWrite | pycnn_emu::kVolatile | pycnn_emu::kUnaligned)

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wbuiltin-declaration-mismatch"
extern "C" {
PYCNN_EMU_HOOKS(1)
PYCNN_EMU_HOOKS(2)
PYCNN_EMU_HOOKS(4)
PYCNN_EMU_HOOKS(8)
PYCNN_EMU_HOOKS(16)
PYCNN_EMU_HOOK void __tsan_read_range(void* p, size_t size) {
    pycnn_emu::note(p, size, pycnn_emu::kRead | pycnn_emu::kUnaligned, PYCNN_EMU_CALLER);
}
PYCNN_EMU_HOOK void __tsan_write_range(void* p, size_t size) {
    pycnn_emu::note(p, size, pycnn_emu::kWrite | pycnn_emu::kUnaligned, PYCNN_EMU_CALLER);
}
PYCNN_EMU_HOOK void __tsan_vptr_update(void**, void*) {}
PYCNN_EMU_HOOK void __tsan_vptr_read(void**) {}
PYCNN_EMU_HOOK void __tsan_func_entry(void*) {}
PYCNN_EMU_HOOK void __tsan_func_exit(void) {}
PYCNN_EMU_HOOK void __tsan_init(void) {}
// What -fsanitize=bounds and -fsanitize=object-size call.
PYCNN_EMU_HOOK void __ubsan_handle_out_of_bounds(void* data, void* index) {
    auto* where = static_cast<pycnn_emu::UbsanLocation*>(data);
    pycnn_emu_index_out_of_bounds(where->file, static_cast<int>(where->line),
                                  reinterpret_cast<long long>(index));
}
PYCNN_EMU_HOOK void __ubsan_handle_type_mismatch_v1(void* data, void* address) {
    auto* where = static_cast<pycnn_emu::UbsanLocation*>(data);
    pycnn_emu_outside_object(where->file, static_cast<int>(where->line), address);
}
// Memory from the kernel's heap. Nothing outside the kernel's library sees these.
PYCNN_EMU_UNCHECKED void* malloc(size_t size) { return pycnn_emu_malloc(size); }
PYCNN_EMU_UNCHECKED void free(void* pointer) { pycnn_emu_free(pointer, PYCNN_EMU_CALLER); }
}
PYCNN_EMU_UNCHECKED void* operator new(size_t size) { return pycnn_emu_malloc(size); }
PYCNN_EMU_UNCHECKED void* operator new[](size_t size) { return pycnn_emu_malloc(size); }
PYCNN_EMU_UNCHECKED void operator delete(void* p) noexcept { pycnn_emu_free(p, PYCNN_EMU_CALLER); }
PYCNN_EMU_UNCHECKED void operator delete[](void* p) noexcept {
    pycnn_emu_free(p, PYCNN_EMU_CALLER);
}
PYCNN_EMU_UNCHECKED void operator delete(void* p, size_t) noexcept {
    pycnn_emu_free(p, PYCNN_EMU_CALLER);
}
PYCNN_EMU_UNCHECKED void operator delete[](void* p, size_t) noexcept {
    pycnn_emu_free(p, PYCNN_EMU_CALLER);
}
#pragma GCC diagnostic pop

#endif  // PYCNN_EMU_CHECKED
