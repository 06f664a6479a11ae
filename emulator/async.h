// Operations that run beside the threads of a block: they are issued, and complete at a time that
// the scheduler picks.
//
// In the fast build that is at once. In the checked build it is late: when no thread can go on (the
// oldest first, or the youngest with the order `reverse`), or at any time with the order `random`.
// What an operation reads and writes is told to the checker when it is issued (Checker::issue), so
// that a race is found whatever the time.
#pragma once

#include <cstdint>
#include <functional>
#include <random>
#include <utility>
#include <vector>

#include "worker.h"

namespace pycnn_emu {

class AsyncQueue {
public:
    using Run = std::function<void()>;
    using Ticket = uint64_t;

    // `run` moves the data, and wakes those who wait for it.
    Ticket submit(Run run);
    // Somebody waits for it: it completes now, if it has not.
    void finish(Ticket ticket);
    // Completes one; false if there is none.
    bool advance(Order order, std::mt19937_64& random);
    bool empty() const { return pending_.empty(); }
    void clear() { pending_.clear(); }

private:
    void run(size_t index);

    std::vector<std::pair<Ticket, Run>> pending_;  // in the order of their issue
    Ticket last_ = 0;
};

}  // namespace pycnn_emu
