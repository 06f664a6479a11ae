#include "causality.h"

#include <algorithm>
#include <limits>

namespace pycnn_emu {

namespace {

constexpr Tick kLast = kActorTick - 1;
constexpr size_t kMostActors = std::numeric_limits<uint16_t>::max() - kActors;

// What both know. Many threads learn the same from one barrier and know the same before.
SharedPast both(const SharedPast& a, const SharedPast& b) {
    if (!b || a == b) return a;
    if (!a) return b;
    static thread_local SharedPast last_a, last_b, last;
    if (a == last_a && b == last_b) return last;
    auto all = std::make_shared<Past>(*a);
    all->add(*b);
    last_a = a;
    last_b = b;
    return last = all;
}

}  // namespace

void Past::add(uint64_t group, std::shared_ptr<const Clocks> clocks) {
    auto at = std::lower_bound(groups_.begin(), groups_.end(), group,
                               [](const auto& entry, uint64_t g) { return entry.first < g; });
    if (at == groups_.end() || at->first != group) {
        groups_.insert(at, {group, std::move(clocks)});
    } else if (at->second != clocks) {
        auto merged = std::make_shared<Clocks>(*at->second);
        merged->resize(std::max(merged->size(), clocks->size()));
        for (size_t t = 0; t < clocks->size(); ++t)
            (*merged)[t] = std::max((*merged)[t], (*clocks)[t]);
        at->second = std::move(merged);
    }
}

void Past::add(const Past& other) {
    if (groups_.empty()) {
        groups_ = other.groups_;
        return;
    }
    for (const auto& [group, clocks] : other.groups_) add(group, clocks);
}

const Past::Clocks* Past::of(uint64_t group) const {
    auto at = std::lower_bound(groups_.begin(), groups_.end(), group,
                               [](const auto& entry, uint64_t g) { return entry.first < g; });
    return at == groups_.end() || at->first != group ? nullptr : at->second.get();
}

bool Past::holds(const Record& record) const {
    bool actor = record.thread >= kActors;
    const Clocks* clocks = of(actor ? actors_of(record.block) : threads_of(record.block));
    if (!clocks) return false;
    unsigned first = (record.thread - (actor ? kActors : 0)) / kWarp * kWarp;
    for (uint32_t rest = record.lanes; rest; rest &= rest - 1) {
        unsigned t = first + static_cast<unsigned>(__builtin_ctz(rest));
        if (t >= clocks->size() || (*clocks)[t] <= record.clock) return false;
    }
    return true;
}

bool Past::covers(const Past& other) const {
    return std::all_of(other.groups_.begin(), other.groups_.end(), [&](const auto& entry) {
        const Clocks* mine = of(entry.first);
        const Clocks& theirs = *entry.second;
        if (mine == &theirs) return true;
        for (size_t t = 0; t < theirs.size(); ++t)
            if (theirs[t] > (mine && t < mine->size() ? (*mine)[t] : 0)) return false;
        return true;
    });
}

void Known::add(const Known& other) {
    all = both(all, other.all);
    fenced = both(fenced, other.fenced);
}

void Causality::begin(uint32_t block, unsigned threads, uint32_t epoch) {
    block_ = block;
    epoch_ = epoch;
    threads_ = threads;
    base_ = 1;
    clock_.assign(threads, base_);
    known_.assign(size_t{threads} * kWarp, 0);
    fenced_.assign(threads, 0);
    far_used_ = false;
    far_.assign(threads, nullptr);
    published_.assign(threads, nullptr);
    published_block_.assign(threads, nullptr);
    fenced_past_.assign(threads, nullptr);
    published_fenced_.assign(threads, nullptr);
    actor_clock_.clear();
    acquired_.assign(threads, {});
}

// Gives all of `threads` what any of them has.
void Causality::join_far(const std::vector<unsigned>& threads) {
    for (auto* pasts : {&far_, &published_, &published_block_, &fenced_past_, &published_fenced_}) {
        const SharedPast& first = (*pasts)[threads.front()];
        bool same = std::all_of(threads.begin(), threads.end(),
                                [&](unsigned t) { return (*pasts)[t] == first; });
        if (same) continue;
        auto all = std::make_shared<Past>();
        const Past* last = nullptr;
        for (unsigned t : threads)
            if ((*pasts)[t] && (*pasts)[t].get() != last) all->add(*(last = (*pasts)[t].get()));
        for (unsigned t : threads) (*pasts)[t] = all;
    }
}

bool Causality::barrier(uint32_t epoch) {
    Tick latest = *std::max_element(clock_.begin(), clock_.end());
    if (latest == kLast) return false;
    base_ = latest + 1;
    epoch_ = epoch;
    std::fill(clock_.begin(), clock_.end(), base_);
    if (!far_used_) return true;
    std::vector<unsigned> threads(threads_);
    for (unsigned t = 0; t < threads_; ++t) threads[t] = t;
    join_far(threads);
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
    if (far_used_) join_far(threads);
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
    all->add(Past::threads_of(block_), std::move(mine));
    return all;
}

bool Causality::fence(unsigned thread, bool device) {
    if (clock_[thread] == kLast) return false;
    far_used_ = true;
    SharedPast all = all_known(thread);
    published_block_[thread] = all;
    if (device) published_[thread] = all;
    published_fenced_[thread] = fenced_past_[thread];
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
    fenced_past_[thread] = both(fenced_past_[thread], from.fenced);
}

void Causality::release(unsigned thread, Handovers& all, uintptr_t address, bool update) {
    const SharedPast &device = published_[thread], &block = published_block_[thread];
    if (!block && (update || all.empty())) return;
    Handover& to = all[address];
    if (to.of != block_ || !update) to.block = nullptr;
    if (!update) to.device = to.fenced = nullptr;
    to.of = block_;
    to.fenced = both(to.fenced, published_fenced_[thread]);
    to.device = both(to.device, device);
    to.block = both(to.block, block);
}

Known Causality::publish(unsigned thread) {
    if (clock_[thread] == kLast) return {};
    far_used_ = true;
    Known known{all_known(thread), fenced_past_[thread]};
    ++clock_[thread];
    return known;
}

void Causality::learn(unsigned thread, const Known& known) {
    far_used_ = true;
    far_[thread] = both(far_[thread], known.all);
    fenced_past_[thread] = both(fenced_past_[thread], known.fenced);
}

bool Causality::proxy_fence(unsigned thread) {
    Known known = publish(thread);
    if (!known.all) return false;
    fenced_past_[thread] = known.all;
    return true;
}

Record Causality::begin_actor(unsigned thread) {
    Record record{block_, 0, 0, 0, 0, 1, 0};
    const Past::Clocks* done =
        far_[thread] ? far_[thread]->of(Past::actors_of(block_)) : nullptr;
    size_t actor = 0;
    while (actor < actor_clock_.size() &&
           !(done && actor < done->size() && (*done)[actor] > actor_clock_[actor]))
        ++actor;
    if (actor == kMostActors) record.mask = 0;
    if (actor == actor_clock_.size()) actor_clock_.push_back(kActorTick);
    record.clock = ++actor_clock_[actor];
    record.thread = static_cast<uint16_t>(kActors + actor);
    record.lanes = 1u << record.thread % kWarp;
    return record;
}

Known Causality::of_actor(const Record& record) {
    size_t actor = record.thread - kActors;
    auto clocks = std::make_shared<Past::Clocks>(actor + 1, 0);
    (*clocks)[actor] = record.clock + 1;
    auto past = std::make_shared<Past>();
    past->add(Past::actors_of(record.block), std::move(clocks));
    return Known{past, nullptr};
}

bool Causality::far_before(const Record& record, unsigned thread) const {
    if (!far_[thread]) return false;
    if (record.block != block_ || record.thread >= kActors) return far_[thread]->holds(record);
    const Past::Clocks* clocks = far_[thread]->of(Past::threads_of(block_));
    if (!clocks) return false;
    unsigned first = record.thread / kWarp * kWarp;
    bool same_warp = first == thread / kWarp * kWarp;
    for (uint32_t rest = record.lanes; rest; rest &= rest - 1) {
        auto lane = static_cast<unsigned>(__builtin_ctz(rest));
        if (same_warp && (first + lane == thread || known_[thread * kWarp + lane] > record.clock))
            continue;
        if ((*clocks)[first + lane] <= record.clock) return false;
    }
    return true;
}

}  // namespace pycnn_emu
