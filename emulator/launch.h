// Launches: which worker runs which block.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "checker.h"
#include "worker.h"

namespace pycnn_emu {

struct Outcome {
    std::optional<Report> report;
    Counters counters;  // of a checked launch
    bool interrupted = false;
};

// Runs every block of `launch` on up to `workers` operating-system threads. `interrupted` is asked
// now and then on the calling thread and ends the launch when it says so.
Outcome run(const Launch& launch, unsigned workers, const std::function<bool()>& interrupted);

// The same in the checked build, block after block on the calling thread.
Outcome run_checked(const Launch& launch, Knowledge knowledge,
                    const std::function<bool()>& interrupted);

}  // namespace pycnn_emu
