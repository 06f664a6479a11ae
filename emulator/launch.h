// Launches: which worker runs which block.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "checker.h"
#include "worker.h"

namespace pycnn_emu {

// Protects what all launches share, and is held across a fork, so that the child finds it whole.
extern std::mutex fork_lock;

using Interrupted = std::function<bool()>;

struct Outcome {
    std::optional<Report> report;
    Counters counters;  // of a checked launch
    bool interrupted = false;
};

// Runs every block of `launch` on up to `workers` operating-system threads. `interrupted` is asked
// now and then on the calling thread and ends the launch when it says so; it may itself launch.
// std::bad_alloc if there is no memory, or no thread, for all that.
Outcome run(const Launch& launch, unsigned workers, const Interrupted& interrupted);

// The same in the checked build, block after block on the calling thread.
Outcome run_checked(const Launch& launch, std::vector<Range> ranges,
                    const Interrupted& interrupted);

}  // namespace pycnn_emu
