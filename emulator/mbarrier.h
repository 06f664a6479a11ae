// Barriers in shared memory: phases that end when all arrivals and all bytes have come.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "causality.h"

namespace pycnn_emu {

struct Mbarrier {
    static constexpr uint32_t kMost = (1u << 20) - 1;  // arrivals, and bytes, of one phase

    uint32_t expected = 0;  // arrivals of each phase to come
    uint32_t pending = 0;   // arrivals that this one waits for
    int64_t bytes = 0;      // expected and not yet there; negative: there before they were expected
    uint64_t phase = 0;     // how many have ended
    bool waited = true;     // somebody has waited for the phase before, or does
    Known arrived;          // what those know that have arrived in this phase
    Known completed;        // what who waits for the last phase learns
    unsigned maker = 0;     // the thread that initialised it
    Record fence = {};      // its fence.mbarrier_init behind that, in the checked build; or no mask
    std::vector<std::pair<Worker*, uint16_t>> waiting;
};

// Those of one block, by address.
class Mbarriers {
public:
    void clear() { all_.clear(), refused_.clear(); }
    // Null if there is none that has been initialised.
    Mbarrier* find(uintptr_t address);
    // One whose bytes overlap those at `address`, and where it is.
    const std::pair<const uintptr_t, Mbarrier>* near(uintptr_t address) const;
    Mbarrier& add(uintptr_t address) { return all_[address] = Mbarrier{}; }
    // Behind the init of those that the thread of `fence` has made.
    void fence(const Record& fence) {
        for (auto& [address, barrier] : all_)
            if (barrier.maker == fence.thread && !barrier.fence.mask) barrier.fence = fence;
    }
    void remove(uintptr_t address) { all_.erase(address); }
    // A wait may fail although nothing is wrong: true the first time that a thread asks for a phase.
    bool refuse(unsigned thread, uintptr_t address, uint64_t phase);
    // Those that threads wait for; `name` says what an address is.
    template <typename Name>
    std::string describe(Name name) const;

private:
    std::map<uintptr_t, Mbarrier> all_;
    std::map<std::pair<unsigned, uintptr_t>, uint64_t> refused_;
};

// Ends the phase if all has come, and wakes who waits. False if nobody has waited for the one before:
// then arrivals run ahead, and who waits later cannot tell the phases apart.
bool complete_phase(Mbarrier& barrier);

template <typename Name>
std::string Mbarriers::describe(Name name) const {
    std::string text;
    for (const auto& [address, b] : all_) {
        if (b.waiting.empty()) continue;
        text += format("\n  mbarrier at %s: phase %llu, %u of %u arrivals pending",
                       name(address).c_str(), static_cast<unsigned long long>(b.phase), b.pending,
                       b.expected);
        if (b.bytes > 0) text += format(", %lld bytes have not come", static_cast<long long>(b.bytes));
        if (b.bytes < 0)
            text += format(", %lld bytes more than were expected", static_cast<long long>(-b.bytes));
    }
    return text;
}

}  // namespace pycnn_emu
