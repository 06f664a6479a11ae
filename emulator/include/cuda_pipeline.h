// CUDA's pipeline primitives: asynchronous copies from global to shared memory.
#pragma once

namespace pycnn_emu {

#ifdef PYCNN_EMU_CHECKED
__attribute__((noinline)) PYCNN_EMU_UNCHECKED inline void copy_async(void* shared, const void* global,
                                                                    size_t size, size_t source) {
    pycnn_emu_copy_async(shared, global, size, source, PYCNN_EMU_CALLER);
}
inline void copy_commit() { pycnn_emu_copy_commit(); }
inline void copy_wait(int groups) { pycnn_emu_copy_wait(groups); }
#else
// Without the checker a copy is made at once: one of the orders that the hardware may choose.
inline void copy_async(void* shared, const void* global, size_t size, size_t source) {
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
