// What a kernel's code calls, see include/pycnn_emulator/abi.h.

#include <algorithm>
#include <mutex>
#include <new>
#include <unordered_map>

#include <dlfcn.h>

#include "checker.h"
#include "launch.h"
#include "worker.h"

using namespace pycnn_emu;

namespace {

// A kernel's `__shared__` variables that its threads have come to, and how many bytes they take.
struct SharedUse {
    std::vector<const SharedVariable*> variables;
    size_t bytes = 0;
};

// Both under fork_lock.
std::unordered_map<const void*, long> arena_end;  // of each library
std::unordered_map<const Entry*, SharedUse> shared_use;

// Places the variable in the arena, once, and counts it for the kernel that runs. What is wrong
// with it, or nothing.
std::string place(SharedVariable& variable, const Launch& launch) {
    constexpr long kGap = 64;  // so that one array does not run into the next
    std::lock_guard<std::mutex> lock(fork_lock);
    if (variable.offset < 0) {
        Dl_info info;
        dladdr(&variable, &info);
        long& end = arena_end[info.dli_fbase];
        auto align = static_cast<long>(std::max<size_t>(variable.align, 16));
        long offset = (end + align - 1) / align * align;
        long after = offset + static_cast<long>(variable.size) + kGap;
        if (static_cast<size_t>(after) > kStaticSpan)
            return format("the __shared__ variables of one module take more than %zu bytes",
                          kStaticSpan);
        end = after;
        variable.offset = offset;
    }
    SharedUse& use = shared_use[launch.entry];
    auto& known = use.variables;
    if (std::find(known.begin(), known.end(), &variable) == known.end()) {
        known.push_back(&variable);
        use.bytes += variable.size;
    }
    if (use.bytes > kStaticLimit)
        return format("the kernel's __shared__ variables take %zu bytes; allowed: %zu, and more "
                      "only as dynamic shared memory",
                      use.bytes, kStaticLimit);
    if (use.bytes + launch.dynamic_shared > kSharedLimit)
        return format("%zu bytes of static and %zu of dynamic shared memory; allowed: %zu together",
                      use.bytes, launch.dynamic_shared, kSharedLimit);
    __atomic_store_n(&variable.kernel, launch.entry, __ATOMIC_RELEASE);
    return {};
}

[[noreturn]] void stop(const char* kind, std::string message, Position where) {
    Report report;
    report.kind = kind;
    report.message = std::move(message);
    report.where = std::move(where);
    Worker::current()->fail(std::move(report));
}

}  // namespace

extern "C" {

// Where memory runs out std::bad_alloc goes through the kernel's frames to Worker::fiber_main.

void pycnn_emu_register_shared(SharedVariable* variable) {
    Worker* worker = Worker::current();
    std::string wrong = place(*variable, worker->launch());
    if (!wrong.empty())
        stop("shared", std::move(wrong), Position{variable->file, variable->line, nullptr});
    if (Checker* checker = worker->checker()) checker->register_shared(*variable);
}

void pycnn_emu_name_dynamic(const char* name) {
    if (Checker* checker = Worker::current()->checker()) checker->name_dynamic(name);
}

void pycnn_emu_fence() {
    Worker* worker = Worker::current();
    if (worker->checker())
        worker->checker()->fence(worker->self().thread);
    else
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void pycnn_emu_assert_failed(const char* expression, const char* file, int line) {
    stop("assertion", format("assertion failed: %s", expression), Position{file, line, nullptr});
}

void pycnn_emu_stop(const char* what, void* pc) { stop("assertion", what, at(pc)); }

void pycnn_emu_copy_async(void* shared, const void* global, size_t size, size_t source_size,
                          void* pc) {
    Worker* worker = Worker::current();
    worker->checker()->copy_async(worker->self().thread, shared, global, size, source_size, pc);
}

void pycnn_emu_copy_commit() {
    Worker* worker = Worker::current();
    worker->checker()->copy_commit(worker->self().thread);
}

void pycnn_emu_copy_wait(int groups_in_flight) {
    Worker* worker = Worker::current();
    worker->checker()->copy_wait(worker->self().thread, static_cast<size_t>(groups_in_flight));
}

void pycnn_emu_access(const void* address, size_t size, int access, void* pc) {
    Worker* worker = Worker::current();
    if (!worker || !worker->checker()) return;
    worker->step(pc);
    worker->checker()->access(worker->self().thread, address, size, static_cast<Access>(access),
                              pc);
}

void pycnn_emu_lane_access(int lane, const void* address, size_t size, int access, void* pc) {
    Worker* worker = Worker::current();
    unsigned thread = worker->self().thread / kWarp * kWarp + static_cast<unsigned>(lane);
    if (worker->checker())
        worker->checker()->access(thread, address, size, static_cast<Access>(access), pc);
}

void pycnn_emu_index_out_of_bounds(const char* file, int line, long long index) {
    stop("out_of_bounds", format("index %lld is outside the extent of an array", index),
         Position{file, line, nullptr});
}
}
