#include "mbarrier.h"

namespace pycnn_emu {

namespace {

constexpr uintptr_t kBytes = 8;

}  // namespace

Mbarrier* Mbarriers::find(uintptr_t address) {
    auto at = all_.find(address);
    return at == all_.end() ? nullptr : &at->second;
}

const std::pair<const uintptr_t, Mbarrier>* Mbarriers::near(uintptr_t address) const {
    auto at = all_.lower_bound(address - kBytes + 1);
    return at == all_.end() || at->first >= address + kBytes ? nullptr : &*at;
}

bool Mbarriers::refuse(unsigned thread, uintptr_t address, uint64_t phase) {
    auto [at, fresh] = refused_.try_emplace({thread, address}, phase);
    bool first = fresh || at->second != phase;
    at->second = phase;
    return first;
}

bool complete_phase(Mbarrier& barrier) {
    if (barrier.pending != 0 || barrier.bytes != 0) return true;
    bool orderly = barrier.waited;
    barrier.waited = !barrier.waiting.empty();
    ++barrier.phase;
    barrier.pending = barrier.expected;
    barrier.completed.add(barrier.arrived);
    barrier.arrived = Known{};
    auto waiting = std::move(barrier.waiting);
    barrier.waiting.clear();
    for (auto [worker, thread] : waiting) worker->wake(thread);
    return orderly;
}

}  // namespace pycnn_emu
