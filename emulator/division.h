// Integer division that the processor refuses: by zero, and of the smallest number by -1.
#pragma once

namespace pycnn_emu {

// In a SIGFPE handler: puts what a GPU computes into the interrupted context and steps over the
// instruction. False if it is none of those.
bool finish_division(void* context);

}  // namespace pycnn_emu
