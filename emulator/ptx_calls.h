// What the functions that compiled PTX calls are written with, and the lists of them.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "mbarrier.h"
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

// The block that an address of shared memory belongs to; the launch ends if it is of none.
Worker& block_of(uint64_t address, uint32_t site);
std::string name_of(uint64_t address);
// `to` and `barrier` in each of the blocks of the cluster that `mask` names, at the same places of
// their shared memory; with 0 where they are.
std::vector<std::pair<uint64_t, uint64_t>> in_blocks(uint64_t to, uint64_t barrier, uint32_t mask,
                                                     uint32_t site);
// An mbarrier that `what` is to signal; the launch ends if there is none.
Mbarrier& find_barrier(uint64_t address, const char* what, uint32_t site);
// Bytes arrive there, and with them what is known of their coming.
void bytes_come(uint64_t address, uint32_t bytes, const Known& known, uint32_t site);

// How `ptx_access` touches memory.
enum PtxAccess : uint32_t {
    kPtxRead, kPtxWrite, kPtxAtomic, kPtxStrongRead, kPtxStrongWrite, kPtxArrive, kPtxWait
};
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

const std::vector<Function>& warp_functions();      // ptx_warp_calls.cpp
const std::vector<Function>& matrix_functions();  // ptx_matrix_calls.cpp
const std::vector<Function>& async_functions();   // ptx_async_calls.cpp
const std::vector<Function>& bulk_functions();      // ptx_bulk_calls.cpp
const std::vector<Function>& tensor_functions();    // ptx_tensor_calls.cpp
const std::vector<Function>& cluster_functions();   // ptx_cluster_calls.cpp
const std::vector<Function>& mbarrier_functions();  // ptx_mbarrier_calls.cpp
const std::vector<Function>& small_functions();   // ptx_small_calls.cpp
const std::vector<Function>& wgmma_functions();   // ptx_wgmma_calls.cpp

}  // namespace pycnn_emu
