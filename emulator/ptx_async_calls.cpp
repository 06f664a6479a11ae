// Asynchronous units and barriers as compiled PTX calls them.
#include "checker.h"
#include "ptx_calls.h"

namespace pycnn_emu {

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
