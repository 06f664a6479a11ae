// Asynchronous units and barriers as compiled PTX calls them.
#include "checker.h"
#include "ptx_calls.h"
#include "units.h"

namespace pycnn_emu {

namespace {

void proxy_fence() {
    Worker* worker = Worker::current();
    if (worker->checker()) worker->checker()->proxy_fence(worker->self().thread);
}

// fence.mbarrier_init: a release of what the thread has done, for the barriers that it has made.
void init_fence() {
    Worker* worker = Worker::current();
    if (Checker* checker = worker->checker())
        worker->units().mbarriers.fence(checker->event(worker->self().thread));
    pycnn_emu_fence();
}

}  // namespace

const std::vector<Function>& async_functions() {
    static const std::vector<Function> table = {
        {"proxy_fence", address(proxy_fence)},
        {"init_fence", address(init_fence)},
    };
    return table;
}

}  // namespace pycnn_emu
