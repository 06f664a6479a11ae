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
    std::unordered_map<uint32_t, uint32_t> occurrences;
    for (size_t first = 0; first < lanes_.size(); first += kWarp) {
        items_.clear();
        for (size_t t = first; t < std::min(lanes_.size(), first + kWarp); ++t) {
            occurrences.clear();
            for (const Event& event : lanes_[t])
                items_.push_back(Item{uint64_t{event.pc} << 32 | occurrences[event.pc]++, event});
            lanes_[t].clear();
        }
        std::stable_sort(items_.begin(), items_.end(),
                         [](const Item& a, const Item& b) { return a.key < b.key; });
        for (size_t i = 0; i < items_.size();) {
            size_t end = i + 1;
            while (end < items_.size() && items_[end].key == items_[i].key) ++end;
            count(counters, &items_[i], end - i);
            i = end;
        }
    }
}

void WarpLog::count(Counters& counters, const Item* items, size_t size) {
    const Event& first = items[0].event;
    if (first.shared) {
        (first.access == 0   ? counters.shared_load_requests
         : first.access == 1 ? counters.shared_store_requests
                             : counters.shared_atomic_requests)++;
        // Lanes are served in groups whose words fill the banks once at best.
        unsigned group = first.size >= 16 ? 8 : first.size == 8 ? 16 : kWarp;
        for (size_t i = 0; i < size;) {
            unsigned phase = items[i].event.lane / group;
            std::array<std::vector<uintptr_t>, kBanks> words;
            size_t deepest = 1;
            for (; i < size && items[i].event.lane / group == phase; ++i) {
                const Event& event = items[i].event;
                uintptr_t last = (event.address + event.size - 1) / 4;
                for (uintptr_t word = event.address / 4; word <= last; ++word) {
                    auto& bank = words[word % kBanks];
                    if (std::find(bank.begin(), bank.end(), word) == bank.end())
                        bank.push_back(word);
                    deepest = std::max(deepest, bank.size());
                }
            }
            counters.shared_wavefronts += deepest;
            counters.bank_conflicts += deepest - 1;
        }
        return;
    }
    std::vector<uintptr_t> sectors;
    for (size_t i = 0; i < size; ++i) {
        const Event& event = items[i].event;
        for (uintptr_t s = event.address / 32; s <= (event.address + event.size - 1) / 32; ++s)
            sectors.push_back(s);
    }
    std::sort(sectors.begin(), sectors.end());
    auto distinct = static_cast<uint64_t>(std::unique(sectors.begin(), sectors.end()) - sectors.begin());
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
