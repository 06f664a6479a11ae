// What the functions that compiled PTX calls are written with, and the lists of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "worker.h"

namespace pycnn_emu {

// A function of the runtime, by the name that pycnn/emulator/ptx calls it.
struct Function {
    const char* name;
    void* address;
};

template <typename F>
void* address(F* function) {
    return reinterpret_cast<void*>(function);
}

// Instructions are known by their numbers: as the place of a synchronising call, and as a `pc`.
const Site& site_of(uint32_t number);
inline const void* pc_of(uint32_t number) {
    return reinterpret_cast<const void*>(uintptr_t{number});
}

// Ends the launch with a report about an instruction.
[[noreturn]] void fail(const char* kind, std::string message, uint32_t site);

// How `ptx_access` touches memory.
enum PtxAccess : uint32_t { kPtxRead, kPtxWrite, kPtxAtomic, kPtxStrongRead, kPtxStrongWrite };
// An access of the checked build to memory that is not the thread's own.
void ptx_access(Self* self, uint64_t address, uint32_t size, uint32_t access, uint32_t site);

// All lanes of `mask` leave what they have, and the last to come works on all of it; absent ones
// are null.
template <typename Lane, void (*combine)(uint32_t, Lane**)>
void together(uint32_t mask, Lane& lane, uint32_t site) {
    Worker::current()->collective(
        mask, &lane,
        [](unsigned arrived, void* const* data) {
            Lane* lanes[kWarp];
            for (unsigned i = 0; i < kWarp; ++i)
                lanes[i] = arrived >> i & 1 ? static_cast<Lane*>(data[i]) : nullptr;
            combine(arrived, lanes);
        },
        site_of(site));
}

const std::vector<Function>& matrix_functions();  // ptx_matrix_calls.cpp
const std::vector<Function>& async_functions();   // ptx_async_calls.cpp
const std::vector<Function>& small_functions();   // ptx_small_calls.cpp
const std::vector<Function>& wgmma_functions();   // ptx_wgmma_calls.cpp

}  // namespace pycnn_emu
