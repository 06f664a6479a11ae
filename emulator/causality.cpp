#include "causality.h"

#include <algorithm>
#include <limits>

namespace pycnn_emu {

namespace {

constexpr Tick kLast = std::numeric_limits<Tick>::max();

SharedPast both(const SharedPast& a, const SharedPast& b) {
    if (!b || a == b) return a;
    if (!a) return b;
    auto all = std::make_shared<Past>(*a);
    all->add(*b);
    return all;
}

}  // namespace

void Past::add(uint32_t block, std::shared_ptr<const Clocks> clocks) {
    auto at = std::lower_bound(blocks_.begin(), blocks_.end(), block,
                               [](const auto& entry, uint32_t b) { return entry.first < b; });
    if (at == blocks_.end() || at->first != block) {
        blocks_.insert(at, {block, std::move(clocks)});
    } else if (at->second != clocks) {
        auto merged = std::make_shared<Clocks>(*at->second);
        for (size_t t = 0; t < merged->size(); ++t)
            (*merged)[t] = std::max((*merged)[t], (*clocks)[t]);
        at->second = std::move(merged);
    }
}

void Past::add(const Past& other) {
    if (blocks_.empty()) {
        blocks_ = other.blocks_;
        return;
    }
    for (const auto& [block, clocks] : other.blocks_) add(block, clocks);
}

const Past::Clocks* Past::of(uint32_t block) const {
    auto at = std::lower_bound(blocks_.begin(), blocks_.end(), block,
                               [](const auto& entry, uint32_t b) { return entry.first < b; });
    return at == blocks_.end() || at->first != block ? nullptr : at->second.get();
}

void Causality::begin(uint32_t block, unsigned threads) {
    block_ = block;
    threads_ = threads;
    base_ = 1;
    clock_.assign(threads, base_);
    known_.assign(size_t{threads} * kWarp, 0);
    fenced_.assign(threads, 0);
    far_used_ = false;
    far_.assign(threads, nullptr);
    published_.assign(threads, nullptr);
    published_block_.assign(threads, nullptr);
    acquired_.assign(threads, {});
}

// Gives all of `threads` what any of them has.
template <typename Threads>
void Causality::join(std::vector<SharedPast>& pasts, Threads threads) {
    const SharedPast& first = pasts[threads.front()];
    bool same = std::all_of(threads.begin(), threads.end(),
                            [&](unsigned t) { return pasts[t] == first; });
    if (same) return;
    auto all = std::make_shared<Past>();
    const Past* last = nullptr;
    for (unsigned t : threads)
        if (pasts[t] && pasts[t].get() != last) all->add(*(last = pasts[t].get()));
    for (unsigned t : threads) pasts[t] = all;
}

bool Causality::barrier() {
    Tick latest = *std::max_element(clock_.begin(), clock_.end());
    if (latest == kLast) return false;
    base_ = latest + 1;
    std::fill(clock_.begin(), clock_.end(), base_);
    if (!far_used_) return true;
    std::vector<unsigned> threads(threads_);
    for (unsigned t = 0; t < threads_; ++t) threads[t] = t;
    for (auto* pasts : {&far_, &published_, &published_block_}) join(*pasts, threads);
    return true;
}

bool Causality::warp_synchronised(unsigned warp, unsigned lanes) {
    Tick joined[kWarp] = {};
    Tick latest = 0;
    std::vector<unsigned> threads;
    for (uint32_t rest = lanes; rest; rest &= rest - 1) {
        unsigned thread = warp * kWarp + static_cast<unsigned>(__builtin_ctz(rest));
        latest = std::max(latest, clock_[thread]);
        for (unsigned lane = 0; lane < kWarp; ++lane)
            joined[lane] = std::max(joined[lane], known(thread, lane));
        if (far_used_) threads.push_back(thread);
    }
    if (latest == kLast) return false;
    for (uint32_t rest = lanes; rest; rest &= rest - 1)
        joined[__builtin_ctz(rest)] = latest + 1;
    for (uint32_t rest = lanes; rest; rest &= rest - 1) {
        unsigned thread = warp * kWarp + static_cast<unsigned>(__builtin_ctz(rest));
        clock_[thread] = latest + 1;
        std::copy(joined, joined + kWarp, &known(thread, 0));
    }
    if (far_used_)
        for (auto* pasts : {&far_, &published_, &published_block_}) join(*pasts, threads);
    return true;
}

// All that `thread` knows now, its own past included.
SharedPast Causality::all_known(unsigned thread) const {
    auto mine = std::make_shared<Past::Clocks>(threads_, base_);
    unsigned first = thread / kWarp * kWarp;
    for (unsigned t = first; t < std::min(first + kWarp, threads_); ++t)
        (*mine)[t] = std::max((*mine)[t], known_[thread * kWarp + t - first]);
    (*mine)[thread] = clock_[thread] + 1;
    auto all = far_[thread] ? std::make_shared<Past>(*far_[thread]) : std::make_shared<Past>();
    all->add(block_, std::move(mine));
    return all;
}

bool Causality::fence(unsigned thread, bool device) {
    if (clock_[thread] == kLast) return false;
    far_used_ = true;
    SharedPast all = all_known(thread);
    published_block_[thread] = all;
    if (device) published_[thread] = all;
    fenced_[thread] = clock_[thread]++;
    return true;
}

void Causality::acquire(unsigned thread, const Handover& from) {
    auto learn = [&](const SharedPast& past, SharedPast& last) {
        if (!past || past == last) return;  // a flag is asked for again and again
        far_[thread] = both(far_[thread], past);
        last = past;
        far_used_ = true;
    };
    learn(from.device, acquired_[thread].first);
    if (from.of == block_) learn(from.block, acquired_[thread].second);
}

void Causality::release(unsigned thread, Handovers& all, uintptr_t address, bool update) {
    const SharedPast &device = published_[thread], &block = published_block_[thread];
    if (!block && (update || all.empty())) return;
    Handover& to = all[address];
    if (to.of != block_ || !update) to.block = nullptr;
    if (!update) to.device = nullptr;
    to.of = block_;
    to.device = both(to.device, device);
    to.block = both(to.block, block);
}

bool Causality::far_before(const Record& record, unsigned thread) const {
    const Past::Clocks* clocks = far_[thread] ? far_[thread]->of(record.block) : nullptr;
    if (!clocks) return false;
    unsigned first = record.thread / kWarp * kWarp;
    bool same_warp = record.block == block_ && first == thread / kWarp * kWarp;
    for (uint32_t rest = record.lanes; rest; rest &= rest - 1) {
        auto lane = static_cast<unsigned>(__builtin_ctz(rest));
        if (same_warp && (first + lane == thread || known_[thread * kWarp + lane] > record.clock))
            continue;
        if ((*clocks)[first + lane] <= record.clock) return false;
    }
    return true;
}

}  // namespace pycnn_emu
