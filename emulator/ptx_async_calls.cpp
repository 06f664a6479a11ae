// Asynchronous units and barriers as compiled PTX calls them.
#include "checker.h"
#include "ptx_calls.h"

namespace pycnn_emu {

Worker& block_of(uint64_t address, uint32_t site) {
    Worker* worker = Worker::current();
    if (address - reinterpret_cast<uintptr_t>(worker->arena()) < Worker::arena_size())
        return *worker;
    fail("out_of_bounds", format("address %#llx is not in shared memory",
                                 static_cast<unsigned long long>(address)), site);
}

std::string name_of(uint64_t address) { return Worker::current()->name_of(address); }

namespace {

void proxy_fence() {
    Worker* worker = Worker::current();
    if (worker->checker()) worker->checker()->proxy_fence(worker->self().thread);
}

}  // namespace

const std::vector<Function>& async_functions() {
    static const std::vector<Function> table = {
        {"proxy_fence", address(proxy_fence)},
    };
    return table;
}

}  // namespace pycnn_emu
