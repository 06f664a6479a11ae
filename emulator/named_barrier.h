// The sixteen barriers of a block, of any number of its threads: some wait, some only arrive.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <string>
#include <vector>

#include "causality.h"

namespace pycnn_emu {

class NamedBarriers {
public:
    static constexpr unsigned kCount = 16;

    void clear() { all_.fill({}); }
    // The running thread arrives, and waits unless it only `arrives`. `count`: how many threads the
    // barrier is of. The votes of all of them, as of __syncthreads_count and its like.
    pycnn_emu_votes arrive(Worker& worker, unsigned number, unsigned count, bool waits,
                           int predicate, const Site& site);
    std::string describe() const;

private:
    struct Barrier {
        unsigned count = 0;
        Site site{};               // of the first that came
        std::array<Site, kMaxThreads / kWarp> sites{};  // of the first of each warp
        std::bitset<kMaxThreads> arrived;
        std::vector<uint16_t> waiting;
        Known known;               // of those that did not wait
        pycnn_emu_votes votes{0, 1, 0};
    };

    void complete(Worker& worker, Barrier& barrier);
    void check_warps(Worker& worker, const Barrier& barrier);

    std::array<Barrier, kCount> all_;
    std::array<pycnn_emu_votes, kMaxThreads> result_;
};

}  // namespace pycnn_emu
