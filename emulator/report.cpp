#include "report.h"

#include <cstdio>
#include <vector>

namespace pycnn_emu {

std::string format(const char* pattern, ...) {
    va_list arguments, again;
    va_start(arguments, pattern);
    va_copy(again, arguments);
    int length = std::vsnprintf(nullptr, 0, pattern, arguments);
    va_end(arguments);
    std::vector<char> text(static_cast<size_t>(length) + 1);
    std::vsnprintf(text.data(), text.size(), pattern, again);
    va_end(again);
    return std::string(text.data(), static_cast<size_t>(length));
}

}  // namespace pycnn_emu
