// mbarrier.* as compiled PTX calls them.
#include <algorithm>

#include "checker.h"
#include "ptx_calls.h"
#include "units.h"

namespace pycnn_emu {

namespace {

void expect(Mbarrier& b, uint64_t address, int64_t bytes, uint32_t site);

void complete(Mbarrier& b, uint64_t address, uint32_t site) {
    if (!complete_phase(b) && Worker::current()->checker())
        fail("mbarrier", format("phase %llu of the mbarrier at %s ends, and nobody has waited for the "
                                "one before: arrivals run ahead of who waits for them",
                                static_cast<unsigned long long>(b.phase - 1),
                                name_of(address).c_str()), site);
}

Mbarriers& barriers_at(uint64_t address, uint32_t site) {
    return block_of(address, site).units().mbarriers;
}

}  // namespace

Mbarrier& find_barrier(uint64_t address, const char* what, uint32_t site) {
    if (address % 8)
        fail("misaligned", format("%s on an mbarrier at an address that is %u past a multiple of 8",
                                  what, static_cast<unsigned>(address % 8)), site);
    Mbarrier* barrier = barriers_at(address, site).find(address);
    if (!barrier)
        fail("mbarrier", format("%s on %s, which holds no mbarrier that is initialised", what,
                                name_of(address).c_str()), site);
    return *barrier;
}

void bytes_come(uint64_t address, uint32_t bytes, const Known& known, uint32_t site) {
    Mbarrier& b = find_barrier(address, "bytes that come", site);
    expect(b, address, -int64_t{bytes}, site);
    b.arrived.add(known);
    complete(b, address, site);
}

namespace {

// What pycnn/emulator/ptx/barriers.py tells of an arrival or a wait.
enum How : uint32_t { kDrop = 1, kNoComplete = 2, kRelaxed = 4, kParity = 8 };

// A state, as an arrival returns it: the phase that it was in, above the arrivals then pending.
uint64_t state_of(const Mbarrier& b) { return b.phase << 20 | b.pending; }

// The barrier at an address; the checker hears of the access.
Mbarrier& barrier_at(uint64_t address, uint32_t access, const char* what, uint32_t site) {
    if (address % 8 == 0) ptx_access(pycnn_emu_self, address, 8, access, site);
    return find_barrier(address, what, site);
}

Known known_by_me(bool relaxed) {
    Checker* checker = Worker::current()->checker();
    unsigned thread = pycnn_emu_self->thread;
    if (!checker) return {};
    return relaxed ? checker->published(thread) : checker->publish(thread);
}

void expect(Mbarrier& b, uint64_t address, int64_t bytes, uint32_t site) {
    b.bytes += bytes;
    if (std::abs(b.bytes) > Mbarrier::kMost)
        fail("mbarrier", format("%lld bytes are expected of one phase of the mbarrier at %s; "
                                "allowed: %u",
                                static_cast<long long>(b.bytes), name_of(address).c_str(),
                                Mbarrier::kMost), site);
}

void init(uint64_t address, uint32_t count, uint32_t site) {
    if (count == 0 || count > Mbarrier::kMost)
        fail("mbarrier", format("mbarrier.init with %u arrivals; allowed: 1 to %u", count,
                                Mbarrier::kMost), site);
    if (address % 8)
        fail("misaligned", format("mbarrier.init at an address that is %u past a multiple of 8",
                                  static_cast<unsigned>(address % 8)), site);
    Worker* worker = Worker::current();
    ptx_access(pycnn_emu_self, address, 8, kPtxWrite, site);
    Mbarriers& all = barriers_at(address, site);
    if (const auto* there = all.near(address); there && worker->checker())
        fail("mbarrier", format("mbarrier.init of %s, where one is in use (phase %llu); it must be "
                                "invalidated first",
                                name_of(there->first).c_str(),
                                static_cast<unsigned long long>(there->second.phase)), site);
    Mbarrier& b = all.add(address);
    b.expected = b.pending = count;
    b.maker = pycnn_emu_self->thread;
    *reinterpret_cast<uint64_t*>(address) = count;
}

void invalidate(uint64_t address, uint32_t site) {
    // No race with waits that are over: libcu++ orders them by votes only. The next write to the
    // memory is one.
    Mbarrier& b = barrier_at(address, kPtxArrive, "mbarrier.inval", site);
    if (!b.waiting.empty())
        fail("mbarrier", format("mbarrier.inval of %s, which thread %u waits for",
                                name_of(address).c_str(), b.waiting.front().second), site);
    barriers_at(address, site).remove(address);
}

uint64_t arrive(uint64_t address, uint32_t count, uint32_t bytes, uint32_t how, uint32_t site) {
    Mbarrier& b = barrier_at(address, kPtxArrive, "mbarrier.arrive", site);
    if (bytes) expect(b, address, bytes, site);
    uint64_t state = state_of(b);
    if (count == 0 || count > b.pending)
        fail("mbarrier", format("%u arrivals on the mbarrier at %s, which waits for %u of %u in "
                                "phase %llu",
                                count, name_of(address).c_str(), b.pending, b.expected,
                                static_cast<unsigned long long>(b.phase)), site);
    if (how & kNoComplete && count == b.pending && b.bytes == 0)
        fail("mbarrier", format("an arrival with .noComplete completes the phase of the mbarrier at "
                                "%s", name_of(address).c_str()), site);
    b.pending -= count;
    if (how & kDrop) b.expected -= count;
    b.arrived.add(known_by_me(how & kRelaxed));
    complete(b, address, site);
    return state;
}

void expect_bytes(uint64_t address, uint32_t bytes, uint32_t site) {
    expect(barrier_at(address, kPtxArrive, "mbarrier.expect_tx", site), address, bytes, site);
}

void complete_bytes(uint64_t address, uint32_t bytes, uint32_t site) {
    Mbarrier& b = barrier_at(address, kPtxArrive, "mbarrier.complete_tx", site);
    expect(b, address, -int64_t{bytes}, site);
    complete(b, address, site);
}

// Whether the phase has ended: one whose parity or state is given.
uint32_t wait(uint64_t address, uint64_t phase, uint32_t how, uint32_t site) {
    Worker* worker = Worker::current();
    unsigned thread = worker->self().thread;
    bool asked = false;
    for (;;) {
        Mbarrier& b = barrier_at(address, kPtxWait, "a wait", site);
        uint64_t of = phase >> 20;
        if (!(how & kParity) && (of > b.phase || of + 1 < b.phase))
            fail("mbarrier", format("a wait for phase %llu of the mbarrier at %s, which is in phase "
                                    "%llu: only that and the one before can be asked for",
                                    static_cast<unsigned long long>(of), name_of(address).c_str(),
                                    static_cast<unsigned long long>(b.phase)), site);
        bool ended = how & kParity ? (b.phase & 1) != (phase & 1) : of != b.phase;
        // It may fail whenever the thread cannot know, so that one who does not ask again is seen.
        if (Checker* checker = worker->checker();
            checker && !(ended && checker->knows(thread, b.completed)) &&
            barriers_at(address, site).refuse(thread, address, ended ? b.phase - 1 : b.phase))
            return 0;
        if (ended) {
            b.waited = true;
            if (worker->checker() && !(how & kRelaxed)) worker->checker()->learn(thread, b.completed);
            return 1;
        }
        if (asked) return 0;
        b.waiting.emplace_back(worker, static_cast<uint16_t>(thread));
        asked = !worker->park(site_of(site), true);
        if (!asked) continue;
        if (Mbarrier* now = barriers_at(address, site).find(address))
            now->waiting.erase(std::remove(now->waiting.begin(), now->waiting.end(),
                                           std::pair{worker, static_cast<uint16_t>(thread)}),
                               now->waiting.end());
    }
}

// cp.async.mbarrier.arrive: when all copies that the thread has begun are there.
void copies_arrive(uint64_t address, uint32_t no_increment, uint32_t site) {
    Mbarrier& b = barrier_at(address, kPtxArrive, "cp.async.mbarrier.arrive", site);
    Worker* worker = Worker::current();
    if (no_increment ? b.pending == 0 : b.pending == Mbarrier::kMost)
        fail("mbarrier", format("an arrival on the mbarrier at %s, which has %u pending",
                                name_of(address).c_str(), b.pending), site);
    if (!no_increment) ++b.pending;
    Checker* checker = worker->checker();
    CopyGroup copies;
    if (checker) copies = checker->copies_on_way(worker->self().thread);
    Known known = known_by_me(false);
    worker->run_beside([=] {
        if (checker) checker->copies_come(copies);
        Mbarrier* now = barriers_at(address, site).find(address);
        if (!now || now->pending == 0)
            fail("mbarrier", format("copies arrive on the mbarrier at %s, which waits for none",
                                    name_of(address).c_str()), site);
        --now->pending;
        now->arrived.add(known);
        complete(*now, address, site);
    });
}

}  // namespace

const std::vector<Function>& mbarrier_functions() {
    static const std::vector<Function> table = {
        {"mbarrier_init", address(init)},
        {"mbarrier_inval", address(invalidate)},
        {"mbarrier_arrive", address(arrive)},
        {"mbarrier_expect", address(expect_bytes)},
        {"mbarrier_complete", address(complete_bytes)},
        {"mbarrier_wait", address(wait)},
        {"mbarrier_copies", address(copies_arrive)},
    };
    return table;
}

}  // namespace pycnn_emu
