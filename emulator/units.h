// What a block has beside its threads.
#pragma once

#include <string>

#include "async.h"
#include "wgmma.h"

namespace pycnn_emu {

struct Units {
    AsyncQueue queue;
    Wgmma wgmma;

    void begin() {  // a block begins
        queue.clear();
        wgmma.clear();
    }
    // For a report that nobody can go on: what is waited for, each on a line of its own.
    std::string describe() const { return {}; }
};

}  // namespace pycnn_emu
