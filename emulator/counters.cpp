#include "counters.h"

#include <algorithm>
#include <unordered_map>

namespace pycnn_emu {

namespace {

constexpr unsigned kWarp = 32;
constexpr unsigned kBanks = 32;

}  // namespace

void WarpLog::begin(unsigned threads) {
    lanes_.resize(threads);
    for (auto& lane : lanes_) lane.clear();
}

void WarpLog::flush(Counters& counters) {
    std::unordered_map<uint64_t, uint32_t> occurrences;
    for (size_t first = 0; first < lanes_.size(); first += kWarp) {
        size_t end = std::min(lanes_.size(), first + kWarp);
        if (!flush_in_step(counters, first, end)) {
            items_.clear();
            for (size_t t = first; t < end; ++t) {
                occurrences.clear();
                for (const Event& event : lanes_[t]) {
                    // A copy reads and writes at one pc, and reads nothing where it writes zeros.
                    uint64_t what = uint64_t{event.pc} << 1 | event.shared;
                    items_.push_back(Item{what << 31 | occurrences[what]++, &event});
                }
            }
            std::stable_sort(items_.begin(), items_.end(),
                             [](const Item& a, const Item& b) { return a.key < b.key; });
            for (size_t i = 0; i < items_.size();) {
                size_t next = i + 1;
                while (next < items_.size() && items_[next].key == items_[i].key) ++next;
                count(counters, &items_[i], next - i);
                i = next;
            }
        }
        for (size_t t = first; t < end; ++t) lanes_[t].clear();
    }
}

// Lanes that all did the same need no sorting. False if they did not.
bool WarpLog::flush_in_step(Counters& counters, size_t first, size_t end) {
    const std::vector<Event>* like = nullptr;
    for (size_t t = first; t < end; ++t) {
        if (lanes_[t].empty()) continue;
        if (!like) like = &lanes_[t];
        if (lanes_[t].size() != like->size()) return false;
        for (size_t i = 0; i < like->size(); ++i)
            if (lanes_[t][i].pc != (*like)[i].pc) return false;
    }
    for (size_t i = 0; like && i < like->size(); ++i) {
        items_.clear();
        for (size_t t = first; t < end; ++t)
            if (!lanes_[t].empty()) items_.push_back(Item{0, &lanes_[t][i]});
        count(counters, items_.data(), items_.size());
    }
    return true;
}

void WarpLog::count_shared(Counters& counters, const Item* items, size_t size) {
    const Event& first = *items[0].event;
    (first.access == 0   ? counters.shared_load_requests
     : first.access == 1 ? counters.shared_store_requests
                         : counters.shared_atomic_requests)++;
    // Lanes are served in groups whose words fill the banks once at best.
    unsigned group = first.size >= 16 ? 8 : first.size == 8 ? 16 : kWarp;
    for (size_t i = 0; i < size;) {
        unsigned phase = items[i].event->lane / group;
        words_.clear();
        for (; i < size && items[i].event->lane / group == phase; ++i) {
            const Event& event = *items[i].event;
            uintptr_t last = (event.address + event.size - 1) / 4;
            for (uintptr_t word = event.address / 4; word <= last; ++word)
                if (words_.empty() || words_.back() != word) words_.push_back(word);
        }
        if (!std::is_sorted(words_.begin(), words_.end())) std::sort(words_.begin(), words_.end());
        words_.erase(std::unique(words_.begin(), words_.end()), words_.end());
        std::array<uint64_t, kBanks> depth{};
        uint64_t deepest = 1;
        for (uintptr_t word : words_) deepest = std::max(deepest, ++depth[word % kBanks]);
        counters.shared_wavefronts += deepest;
        counters.bank_conflicts += deepest - 1;
    }
}

void WarpLog::count(Counters& counters, const Item* items, size_t size) {
    const Event& first = *items[0].event;
    if (first.shared) {
        count_shared(counters, items, size);
        return;
    }
    words_.clear();
    for (size_t i = 0; i < size; ++i) {
        const Event& event = *items[i].event;
        for (uintptr_t s = event.address / 32; s <= (event.address + event.size - 1) / 32; ++s)
            if (words_.empty() || words_.back() != s) words_.push_back(s);
    }
    if (!std::is_sorted(words_.begin(), words_.end())) std::sort(words_.begin(), words_.end());
    auto distinct =
        static_cast<uint64_t>(std::unique(words_.begin(), words_.end()) - words_.begin());
    if (first.access == 0) {
        counters.global_load_requests++;
        counters.global_load_sectors += distinct;
    } else if (first.access == 1) {
        counters.global_store_requests++;
        counters.global_store_sectors += distinct;
    } else {
        counters.global_atomic_requests++;
        counters.global_atomic_sectors += distinct;
    }
}

}  // namespace pycnn_emu
