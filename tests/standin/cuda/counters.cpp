// What has been counted so far, for `pycnn_standin.counting`.

#include <initializer_list>

#include "standin.h"

namespace standin {
Counters counters;
Hooks hooks{};
}  // namespace standin

using namespace standin;

#define STANDIN_NAME(name) #name,
#define STANDIN_VALUE(name) counters.name.load(),

extern "C" {

// The names in the order of standin_counts(), ended by a null.
const char* const* standin_counter_names() {
    static const char* const names[] = {STANDIN_COUNTERS(STANDIN_NAME) nullptr};
    return names;
}

void standin_counts(uint64_t* values) {
    for (uint64_t value : {STANDIN_COUNTERS(STANDIN_VALUE)}) *values++ = value;
}

void standin_hooks(const Hooks* given) { hooks = *given; }

}  // extern "C"
