// Kernels compiled from PTX: machine code in memory, and what the runtime has to know of it.
//
// The code is a function of three pointers: who the thread is (Self), the context (memory of the
// module's variables, then the functions below, by which it calls the runtime), and the block of
// parameters. It names its instructions by numbers from 1 on; a position in a report whose `pc` is
// that small is such a number.
#pragma once

#include <string>
#include <tuple>
#include <vector>

#include "launch.h"

namespace pycnn_emu {

class PtxKernel {
public:
    using Code = void (*)(Self* self, void* context, void* parameters);
    struct SiteRow {
        int what, file;  // among the words
        int line;
    };
    using SharedRow = std::tuple<std::string, std::string, int, size_t, long>;  // ... size, offset

    PtxKernel(uintptr_t code, std::string name, std::vector<std::string> words,
              const std::vector<SiteRow>& sites, std::vector<SharedRow> shared,
              std::string dynamic_name);
    PtxKernel(const PtxKernel&) = delete;
    PtxKernel& operator=(const PtxKernel&) = delete;

    // `cluster`: blocks of a cluster, all zero where the launch is of none.
    Outcome launch(dim3 grid, dim3 block, dim3 cluster, size_t dynamic_shared, void* parameters, void* globals,
                   unsigned workers, Order order, uint64_t seed, bool checked,
                   double timeout, uint64_t max_steps, Knowledge knowledge,
                   const Interrupted& interrupted);

    const std::vector<SharedVariable>& shared() const { return shared_; }
    const Site& site(unsigned number) const { return sites_.at(number - 1); }
    // Whether threads come to a barrier of the block without waiting there.
    bool some_arrive() const { return some_arrive_; }

private:
    static void invoke(void* const* arguments);

    Code code_;
    std::string name_, dynamic_name_;
    std::vector<std::string> words_;  // what the sites name
    std::vector<Site> sites_;
    std::vector<SharedRow> shared_rows_;
    std::vector<SharedVariable> shared_;
    Entry entry_;
    Argument none_{kStruct, 0};
    bool some_arrive_ = false, some_operate_ = false;
    const Checker* told_ = nullptr;  // has heard of the shared variables
};

// Names of the functions that the code may call, in the order in which the context has them.
std::vector<std::string> ptx_functions();

}  // namespace pycnn_emu
