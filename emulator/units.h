// What a block has beside its threads.
#pragma once

#include <string>

#include "async.h"
#include "bulk.h"
#include "mbarrier.h"
#include "named_barrier.h"
#include "wgmma.h"

namespace pycnn_emu {

struct Units {
    AsyncQueue queue;
    Mbarriers mbarriers;
    NamedBarriers named;
    BulkGroups bulk;
    Wgmma wgmma;

    void begin() {  // of a block
        queue.clear();
        mbarriers.clear();
        named.clear();
        bulk.clear();
        wgmma.clear();
    }
    // For a report that nobody can go on: what is waited for, each on a line of its own.
    template <typename Name>
    std::string describe(Name name) const {
        return named.describe() + mbarriers.describe(name);
    }
};

}  // namespace pycnn_emu
