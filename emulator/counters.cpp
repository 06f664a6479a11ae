#include "counters.h"

#include <algorithm>
#include <array>
#include <utility>

namespace pycnn_emu {

namespace {

constexpr unsigned kBanks = 32;

constexpr uint32_t group_mask(unsigned lanes) { return lanes < 32 ? (1u << lanes) - 1 : ~0u; }

template <typename F>
void each_lane(uint32_t lanes, F f) {
    if (lanes == ~0u)
        for (unsigned l = 0; l < 32; ++l) f(l);
    else
        for (; lanes; lanes &= lanes - 1) f(static_cast<unsigned>(__builtin_ctz(lanes)));
}

}  // namespace

void WarpLog::begin(unsigned threads) {
    lanes_.resize(threads);
    for (auto& lane : lanes_) lane.clear();
    complete_.assign((threads + kLanes - 1) / kLanes, 0);
}

void WarpLog::grow(std::vector<Event>& events) {
    if (!events.capacity() && !spare_.empty()) {
        events.swap(spare_.back());
        spare_.pop_back();
    } else {
        events.reserve(std::max<size_t>(64, 2 * events.capacity()));
    }
}

void WarpLog::flush(Counters& counters) {
    for (size_t first = 0; first < lanes_.size(); first += kLanes)
        flush_warp(first, std::min(lanes_.size(), first + kLanes), counters);
    std::fill(complete_.begin(), complete_.end(), 0u);
}

void WarpLog::flush_warp(size_t first, size_t end, Counters& counters) {
    Rest rest{};
    for (size_t t = first; t < end; ++t) {
        rest.next[t - first] = lanes_[t].data();
        rest.end[t - first] = lanes_[t].data() + lanes_[t].size();
    }
    if (!flush_in_step(counters, rest)) flush_apart(counters, rest);
    for (size_t t = first; t < end; ++t) {
        lanes_[t].clear();
        if (lanes_[t].capacity()) spare_.push_back(std::exchange(lanes_[t], {}));
    }
}

// What lanes that did anything all did in the same order. False if they then went different ways.
bool WarpLog::flush_in_step(Counters& counters, Rest& rest) {
    Request request;
    size_t most = 0, least = SIZE_MAX;
    for (unsigned l = 0; l < kLanes; ++l) {
        auto count = static_cast<size_t>(rest.end[l] - rest.next[l]);
        if (!count) continue;
        request.lanes |= 1u << l;
        most = std::max(most, count);
        least = std::min(least, count);
    }
    if (!request.lanes) return true;
    const auto leader = static_cast<unsigned>(__builtin_ctz(request.lanes));
    for (size_t i = 0; i < least; ++i) {
        const uint64_t what = rest.next[leader]->what();
        uint64_t others = 0;
        each_lane(request.lanes, [&](unsigned l) {
            others |= rest.next[l]->what() ^ what;
            request.events[l] = rest.next[l];
        });
        if (others) return false;
        each_lane(request.lanes, [&](unsigned l) { ++rest.next[l]; });
        count(counters, request);
    }
    return least == most;
}

// The n-th execution of an instruction by one lane goes with the n-th by another.
void WarpLog::flush_apart(Counters& counters, const Rest& rest) {
    most_.assign(numbers_.size(), 0);
    for (unsigned l = 0; l < kLanes; ++l) {
        next_.assign(numbers_.size(), 0);
        for (Event* event = rest.next[l]; event < rest.end[l]; ++event) {
            uint32_t number = number_of(*event);
            event->set_number(number);
            most_[number] = std::max(most_[number], ++next_[number]);
        }
    }
    begin_.assign(numbers_.size() + 1, 0);
    for (size_t i = 0; i < numbers_.size(); ++i) begin_[i + 1] = begin_[i] + most_[i];
    if (requests_.size() < begin_.back()) requests_.resize(begin_.back());
    for (size_t i = 0; i < begin_.back(); ++i) requests_[i].lanes = 0;
    for (unsigned l = 0; l < kLanes; ++l) {
        next_ = begin_;
        for (const Event* event = rest.next[l]; event < rest.end[l]; ++event) {
            Request& request = requests_[next_[event->number()]++];
            request.lanes |= 1u << l;
            request.events[l] = event;
        }
    }
    for (size_t i = 0; i < begin_.back(); ++i) count(counters, requests_[i]);
}

uint32_t WarpLog::find_number(uint64_t what) {
    auto [at, made] = numbers_.try_emplace(what, static_cast<uint32_t>(numbers_.size()));
    if (made) {
        whats_.push_back(what);
        most_.push_back(0);
        next_.push_back(0);
    }
    return at->second;
}

void WarpLog::count_shared(Counters& counters, const Request& request) {
    const Event& first = *request.events[__builtin_ctz(request.lanes)];
    (first.access() == 0   ? counters.shared_load_requests
     : first.access() == 1 ? counters.shared_store_requests
                         : counters.shared_atomic_requests)++;
    Passes passes = passes_of(request);
    counters.shared_wavefronts += passes.needed;
    counters.bank_conflicts += passes.needed - passes.least;
}

// Lanes are served in groups whose words fill the banks once at best. Of accesses of 8 and 16 bytes
// two neighbouring groups are served as one where their lanes want the same in pairs; a group of
// rows that a matrix instruction names is a matrix and stays alone.
WarpLog::Passes WarpLog::passes_of(const Request& request) {
    const Event& first = *request.events[__builtin_ctz(request.lanes)];
    const unsigned group = std::min(kLanes, kBanks * 4 / std::max(first.size(), 4u));
    const bool wide = !first.matrix() && (first.size() == 8 || first.size() == 16);
    const unsigned step = wide ? 2 * group : group;
    Passes found;
    for (unsigned lane = 0; lane < kLanes; lane += step) {
        uint32_t lanes = request.lanes & (group_mask(step) << lane);
        if (!lanes) continue;
        if (wide && !paired(request, lanes)) {
            add(found, request, lanes & (group_mask(group) << lane));
            add(found, request, lanes & (group_mask(group) << (lane + group)));
        } else {
            add(found, request, lanes);
        }
    }
    return found;
}

void WarpLog::add(Passes& found, const Request& request, uint32_t lanes) {
    if (!lanes) return;
    found.needed += wavefronts(request, lanes);
    ++found.least;
}

// All lanes i and i^1 that both take part want the same, or all lanes i and i^2.
bool WarpLog::paired(const Request& request, uint32_t lanes) {
    bool next = true, second = true;
    each_lane(lanes, [&](unsigned l) {
        uintptr_t address = request.events[l]->address;
        next &= !(lanes >> (l ^ 1) & 1) || request.events[l ^ 1]->address == address;
        second &= !(lanes >> (l ^ 2) & 1) || request.events[l ^ 2]->address == address;
    });
    return next || second;
}

WarpLog::Passes WarpLog::passes(const uint64_t* addresses, unsigned lanes, unsigned size,
                                bool matrix) {
    std::vector<Event>& events = lanes_.at(0);
    events.clear();
    Request request;
    for (unsigned l = 0; l < lanes; ++l) {
        events.emplace_back(addresses[l], Event::rest_of(0, size, matrix ? int{kOfMatrix} : 0, true));
        if (addresses[l]) request.lanes |= 1u << l;
    }
    for (unsigned l = 0; l < lanes; ++l) request.events[l] = &events[l];
    return request.lanes ? passes_of(request) : Passes{};
}

unsigned WarpLog::wavefronts(const Request& request, uint32_t lanes) {
    // Mostly each lane has banks of its own, or the very words of another.
    const Event& leader = *request.events[__builtin_ctz(lanes)];
    const unsigned size = std::max(leader.size(), 4u);
    const auto shift = static_cast<unsigned>(__builtin_ctz(size));
    bool simple = size == 4 || size == 8 || size == 16;
    bool alike = simple, in_order = simple;  // all at one place; each behind the last
    uintptr_t next = leader.address;
    each_lane(lanes, [&](unsigned l) {
        const Event& event = *request.events[l];
        simple &= (event.address & (size - 1)) + event.size() <= size;
        alike &= event.address == leader.address;
        in_order &= event.address == next;
        next = event.address + size;
    });
    if (simple && (alike || in_order)) return 1;
    uintptr_t of_bank[kBanks];
    uint32_t used = 0;
    if (simple)
        each_lane(lanes, [&](unsigned l) {
            uintptr_t place = request.events[l]->address >> shift;
            auto bank = static_cast<unsigned>(place & ((kBanks * 4 >> shift) - 1));
            if (used >> bank & 1 && of_bank[bank] != place) simple = false;
            used |= 1u << bank;
            of_bank[bank] = place;
        });
    if (simple) return 1;
    words_.clear();
    each_lane(lanes, [&](unsigned l) {
        const Event& event = *request.events[l];
        uintptr_t last = (event.address + event.size() - 1) / 4;
        for (uintptr_t word = event.address / 4; word <= last; ++word)
            if (words_.empty() || words_.back() != word) words_.push_back(word);
    });
    if (!std::is_sorted(words_.begin(), words_.end())) std::sort(words_.begin(), words_.end());
    words_.erase(std::unique(words_.begin(), words_.end()), words_.end());
    std::array<unsigned, kBanks> depth{};
    unsigned deepest = 1;
    for (uintptr_t word : words_) deepest = std::max(deepest, ++depth[word % kBanks]);
    return deepest;
}

uint64_t WarpLog::sectors(const Request& request) {
    // Mostly lanes go upwards, or all read the same.
    uint64_t distinct = 0;
    uintptr_t latest = 0;
    bool upwards = true;
    each_lane(request.lanes, [&](unsigned l) {
        const Event& event = *request.events[l];
        uintptr_t begin = event.address / 32, end = (event.address + event.size() - 1) / 32;
        upwards &= begin >= latest;
        distinct += end - begin + (begin != latest);
        latest = end;
    });
    if (upwards) return distinct;
    words_.clear();
    each_lane(request.lanes, [&](unsigned l) {
        const Event& event = *request.events[l];
        for (uintptr_t s = event.address / 32; s <= (event.address + event.size() - 1) / 32; ++s)
            if (words_.empty() || words_.back() != s) words_.push_back(s);
    });
    if (!std::is_sorted(words_.begin(), words_.end())) std::sort(words_.begin(), words_.end());
    return static_cast<uint64_t>(std::unique(words_.begin(), words_.end()) - words_.begin());
}

void WarpLog::count(Counters& counters, const Request& request) {
    const Event& first = *request.events[__builtin_ctz(request.lanes)];
    if (first.shared()) {
        count_shared(counters, request);
        return;
    }
    uint64_t distinct = sectors(request);
    if (first.access() == 0) {
        counters.global_load_requests++;
        counters.global_load_sectors += distinct;
    } else if (first.access() == 1) {
        counters.global_store_requests++;
        counters.global_store_sectors += distinct;
    } else {
        counters.global_atomic_requests++;
        counters.global_atomic_sectors += distinct;
    }
}

}  // namespace pycnn_emu
