// Shuffles, votes and their like: what the lanes of a warp do together.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "ptx_calls.h"

namespace pycnn_emu {

namespace {

void warpsync(uint32_t mask, uint32_t site) {
    Worker::current()->collective(mask, nullptr, nullptr, site_of(site));
}

// Words that a lane leaves, and those that it gets.
constexpr uint32_t kMostWords = 8;
struct Shuffled {
    uint32_t* words;
    uint32_t count;
    int source;
    uint32_t results[kMostWords];
};

void do_shuffle(uint32_t arrived, Shuffled** lanes) {
    for (unsigned i = 0; i < kWarp; ++i) {
        if (!lanes[i]) continue;
        Shuffled& mine = *lanes[i];
        if (!lanes[mine.source])
            Worker::current()->absent_lane(static_cast<int>(i), mine.source, arrived);
        const Shuffled& from = lanes[mine.source] ? *lanes[mine.source] : mine;
        for (uint32_t k = 0; k < mine.count && k < from.count; ++k) mine.results[k] = from.words[k];
    }
}

// Exchanges words in memory of the thread, at most kMostWords. Whether the source lane was in range;
// see shfl.sync in the PTX ISA.
uint32_t shuffle(uint32_t mode, uint32_t count, uint32_t* words, uint32_t b, uint32_t c,
                 uint32_t mask, uint32_t site) {
    int lane = static_cast<int>(pycnn_emu_self->thread % kWarp);
    int segment = static_cast<int>(c >> 8 & 31), clamp = static_cast<int>(c & 31);
    int by = static_cast<int>(b & 31);
    int lowest = lane & segment, highest = lowest | (clamp & ~segment);
    int source = 0;
    bool inside = false;
    switch (mode) {
        case 0: source = lane - by; inside = source >= highest; break;
        case 1: source = lane + by; inside = source <= highest; break;
        case 2: source = lane ^ by; inside = source <= highest; break;
        default: source = lowest | (by & ~segment); inside = source <= highest; break;
    }
    Shuffled mine{words, count, inside ? source : lane, {}};
    together<Shuffled, do_shuffle>(mask, mine, site);
    std::copy_n(mine.results, count, words);
    return inside;
}

struct Voted {
    uint32_t predicate, ballot, taking_part;
};

void do_vote(uint32_t arrived, Voted** lanes) {
    uint32_t ballot = 0;
    for (unsigned i = 0; i < kWarp; ++i)
        if (lanes[i] && lanes[i]->predicate) ballot |= 1u << i;
    for (unsigned i = 0; i < kWarp; ++i)
        if (lanes[i]) lanes[i]->ballot = ballot, lanes[i]->taking_part = arrived;
}

uint32_t vote(uint32_t mode, uint32_t predicate, uint32_t mask, uint32_t site) {
    Voted mine{predicate, 0, 0};
    together<Voted, do_vote>(mask, mine, site);
    bool all = mine.ballot == mine.taking_part, any = mine.ballot != 0;
    return mode == 0 ? all : mode == 1 ? any : mode == 2 ? all || !any : mine.ballot;
}

struct Matched {
    uint64_t value;
    uint32_t same, taking_part;
};

void do_match(uint32_t arrived, Matched** lanes) {
    for (unsigned i = 0; i < kWarp; ++i) {
        if (!lanes[i]) continue;
        lanes[i]->same = 0;
        lanes[i]->taking_part = arrived;
        for (unsigned j = 0; j < kWarp; ++j)
            if (lanes[j] && lanes[j]->value == lanes[i]->value) lanes[i]->same |= 1u << j;
    }
}

uint32_t match(uint32_t all, uint64_t value, uint32_t mask, uint32_t site) {
    Matched mine{value, 0, 0};
    together<Matched, do_match>(mask, mine, site);
    if (!all) return mine.same;
    return mine.same == mine.taking_part ? mine.same : 0;
}

struct Reduced {
    uint32_t code, value, result;
};

uint32_t canonical(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    return std::isnan(value) ? 0x7fffffffu : bits;
}

uint32_t float_reduction(uint32_t code, uint32_t a, uint32_t b) {
    float x, y;
    std::memcpy(&x, &a, sizeof(x));
    std::memcpy(&y, &b, sizeof(y));
    if (code & 64 && (std::isnan(x) || std::isnan(y))) return 0x7fffffffu;
    if (std::isnan(x)) return canonical(y);
    if (std::isnan(y)) return a;
    bool less = x < y || (x == y && std::signbit(x) && !std::signbit(y));
    return less == ((code >> 2 & 7) == 1) ? a : b;
}

uint32_t reduction(uint32_t code, uint32_t a, uint32_t b) {
    bool is_signed = (code & 3) == 1;
    auto less = [&] { return is_signed ? static_cast<int32_t>(a) < static_cast<int32_t>(b) : a < b; };
    if ((code & 3) == 2) return float_reduction(code, a, b);
    switch (code >> 2 & 7) {
        case 0: return a + b;
        case 1: return less() ? a : b;
        case 2: return less() ? b : a;
        case 3: return a & b;
        case 4: return a | b;
        default: return a ^ b;
    }
}

void do_reduce(uint32_t, Reduced** lanes) {
    bool first = true;
    uint32_t total = 0;
    for (unsigned i = 0; i < kWarp; ++i) {
        if (!lanes[i]) continue;
        total = first ? lanes[i]->value : reduction(lanes[i]->code, total, lanes[i]->value);
        first = false;
    }
    for (unsigned i = 0; i < kWarp; ++i)
        if (lanes[i]) lanes[i]->result = total;
}

uint32_t reduce_lanes(uint32_t code, uint32_t value, uint32_t mask, uint32_t site) {
    if (code & 32) value &= 0x7fffffffu;
    Reduced mine{code, value, 0};
    together<Reduced, do_reduce>(mask, mine, site);
    return mine.result;
}

uint32_t activemask(uint32_t site) { return Worker::current()->activemask(site_of(site)); }

}  // namespace

const std::vector<Function>& warp_functions() {
    static const std::vector<Function> table = {
        {"warpsync", address(warpsync)}, {"shuffle", address(shuffle)},
        {"vote", address(vote)},         {"match", address(match)},
        {"reduce", address(reduce_lanes)},     {"activemask", address(activemask)},
    };
    return table;
}

}  // namespace pycnn_emu
