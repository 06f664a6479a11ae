// Signals: what a kernel does wrong in hardware ends its launch, not the process, and a tick takes
// the processor away from a thread that does not give it up.
#pragma once

#include <csignal>

namespace pycnn_emu {

// Sent to a thread that runs kernels. Ignored by default, so that a late one does no harm.
constexpr int kTick = SIGURG;

// On the calling thread, from now on: our handlers, and a stack for them, since the fiber's own may be
// what overflowed.
void handle_faults();

}  // namespace pycnn_emu
