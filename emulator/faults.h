// Signals: what a kernel does wrong in hardware ends its launch, not the process, and a tick takes
// the processor away from a thread that does not give it up.
#pragma once

#include <csignal>
#include <cstddef>
#include <memory>

namespace pycnn_emu {

// Sent to a thread that runs kernels. Ignored by default, so that a late one does no harm.
constexpr int kTick = SIGURG;

// In force while it lives, on the thread that made it: our handlers, and a stack for them, since
// the fiber's own may be what overflowed.
class FaultHandling {
public:
    FaultHandling();
    ~FaultHandling();
    FaultHandling(const FaultHandling&) = delete;
    FaultHandling& operator=(const FaultHandling&) = delete;

private:
    stack_t old_{};
    std::unique_ptr<char[]> memory_;
};

}  // namespace pycnn_emu
