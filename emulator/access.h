// Accesses and their records: words of memory, masks of bytes, what conflicts, what to call it.
#pragma once

#include "causality.h"
#include "shadow.h"

namespace pycnn_emu {

constexpr uint8_t kVolatileRecord = 4;   // of a record's kind, for its name only

inline const char* verb(int access) {
    bool is_volatile = access & kVolatile;
    switch (access & kAccessMask) {
        case kRead: return is_volatile ? "volatile read" : "read";
        case kWrite: return is_volatile ? "volatile write" : "write";
        default: return "atomic update";
    }
}

inline const char* verb(const Record& record) {
    if (!(record.kind & kStrong) || record.kind & kVolatileRecord)
        return record.kind & kWrites ? "write" : "read";
    return "atomic update";
}

inline uint8_t byte_mask(uintptr_t word, uintptr_t first, uintptr_t end) {
    unsigned mask = (1u << kWord) - 1;
    if (first > word) mask &= mask << (first - word);
    if (end < word + kWord) mask &= (1u << (end - word)) - 1;
    return static_cast<uint8_t>(mask);
}

inline uint64_t bytes_in(unsigned mask) { return static_cast<uint64_t>(__builtin_popcount(mask)); }

inline uintptr_t word_of(uintptr_t address) { return address & ~uintptr_t{kWord - 1}; }

// One of the two must write, and not both be atomic or volatile.
inline bool conflict(const Record& a, const Record& b) {
    return ((a.kind | b.kind) & kWrites) && !(a.kind & b.kind & kStrong);
}

}  // namespace pycnn_emu
