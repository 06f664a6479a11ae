// CUDA's pipeline primitives: asynchronous copies from global to shared memory.
#pragma once

namespace pycnn_emu {

inline bool is_copy(size_t size, size_t source) {
    return (size == 4 || size == 8 || size == 16) && source <= size;
}
constexpr const char* kNoCopy =
    "an asynchronous copy moves 4, 8 or 16 bytes, of which it may leave out some";

#ifdef PYCNN_EMU_CHECKED
__attribute__((noinline)) PYCNN_EMU_UNCHECKED inline void copy_async(void* shared, const void* global,
                                                                    size_t size, size_t source) {
    if (!is_copy(size, source)) pycnn_emu_stop(kNoCopy, PYCNN_EMU_CALLER);
    pycnn_emu_copy_async(shared, global, size, source, PYCNN_EMU_CALLER);
}
inline void copy_commit() { pycnn_emu_copy_commit(); }
inline void copy_wait(int groups) { pycnn_emu_copy_wait(groups); }
#else
__attribute__((noinline, cold, noreturn)) inline void refuse_copy(const char* why) {
    pycnn_emu_stop(why, __builtin_return_address(0));
}

// Without the checker a copy is made at once: one of the orders that the hardware may choose.
inline void copy_async(void* shared, const void* global, size_t size, size_t source) {
    if (!is_copy(size, source)) refuse_copy(kNoCopy);
    auto addresses = reinterpret_cast<uintptr_t>(shared);
    if (source) addresses |= reinterpret_cast<uintptr_t>(global);
    if (addresses & (size - 1))
        refuse_copy("an asynchronous copy to or from an address that is no multiple of its size");
    memcpy(shared, global, source);
    memset(static_cast<char*>(shared) + source, 0, size - source);
}
inline void copy_commit() {}
inline void copy_wait(int) {}
#endif

}  // namespace pycnn_emu

#define __pipeline_memcpy_async(shared, global, size, ...) \
    pycnn_emu::copy_async(shared, global, size, (size) - (0, ##__VA_ARGS__))
#define __pipeline_commit() pycnn_emu::copy_commit()
#define __pipeline_wait_prior(groups) pycnn_emu::copy_wait(groups)
