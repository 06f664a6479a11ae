// What happened before what, whatever the schedule: the order that barriers, __syncwarp and fences
// with flags impose on the threads of a launch.
//
// Every thread has a clock that moves on when it synchronises; an access is known by block, thread
// and clock. Barriers and __syncwarp are cheap: one clock for all, and one for each lane of a warp.
// What is handed over through memory (a fence, then an atomic or volatile write that another
// thread reads; an mbarrier) is rarer and keeps full lists, shared between all who know the same.
//
// What runs beside the threads (bulk copies, wgmma: the asynchronous proxy) is known by actors. Each
// operation is one event of an actor, and two operations are of the same one only if the second was
// issued by a thread that knew the first to be done. Of what a thread knows, a part is behind a
// proxy fence: only that may an operation read.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "worker.h"

namespace pycnn_emu {

using Tick = uint32_t;

// Accesses of some lanes of one warp, alike in all but the lane. Masks are of the bytes of a word.
struct Record {
    uint32_t block;
    Tick clock;
    uint32_t pc;      // offset into the library
    uint32_t lanes;   // of the warp of `thread`
    uint16_t thread;  // the first of them; from kActors on an actor of the block
    uint8_t mask;     // 0: no record
    uint8_t kind;     // kWrites and kStrong
};
constexpr uint8_t kWrites = 1;
constexpr uint8_t kStrong = 2;  // atomic or volatile: no race with its like
constexpr uint16_t kActors = kMaxThreads;
constexpr Tick kActorTick = Tick{1} << 31;  // actors' clocks begin here, and threads' end

// For each block, the clocks up to which the events of its threads are known; and of its actors.
class Past {
public:
    using Clocks = std::vector<Tick>;
    static uint64_t threads_of(uint32_t block) { return uint64_t{block} * 2; }
    static uint64_t actors_of(uint32_t block) { return uint64_t{block} * 2 + 1; }

    void add(uint64_t group, std::shared_ptr<const Clocks> clocks);
    void add(const Past& other);
    const Clocks* of(uint64_t group) const;
    bool holds(const Record& record) const;
    bool covers(const Past& other) const;

private:
    std::vector<std::pair<uint64_t, std::shared_ptr<const Clocks>>> groups_;  // sorted
};
using SharedPast = std::shared_ptr<const Past>;  // null: nothing

// What a thread, or a barrier that it left it with, knows.
struct Known {
    SharedPast all;
    SharedPast fenced;  // the part of it that the asynchronous proxy may read

    void add(const Known& other);
};

// What who reads an atomic or a flag learns: what its writers had published.
struct Handover {
    SharedPast device;
    SharedPast block;  // published by __threadfence_block, to threads of block `of` only
    SharedPast fenced;
    uint32_t of = 0;
};
using Handovers = std::unordered_map<uintptr_t, Handover>;

class Causality {
public:
    // `epoch`, here and of a barrier, is a number that no other block has had nor will have.
    void begin(uint32_t block, unsigned threads, uint32_t epoch);

    Tick clock(unsigned thread) const { return clock_[thread]; }
    // Of the time since the last barrier of the block.
    uint32_t epoch() const { return epoch_; }
    // Whether all accesses of `record` certainly came before what `thread` does now.
    bool before(const Record& record, unsigned thread) const {
        if (record.block == block_) {
            if (record.clock < base_) return true;
            if (record.thread / kWarp == thread / kWarp && lanes_before(record, thread)) return true;
        }
        return far_used_ && far_before(record, thread);
    }
    // Whether `record` came before the last barrier of this block, in it.
    bool passed(const Record& record) const {
        return record.block == block_ && record.clock < base_;
    }
    // The following three return false when a clock is at its end.
    bool barrier(uint32_t epoch);
    bool warp_synchronised(unsigned warp, unsigned lanes);
    bool fence(unsigned thread, bool device);
    // Since the last barrier.
    bool has_fenced(unsigned thread) const { return fenced_[thread] >= base_; }

    void acquire(unsigned thread, const Handover& from);
    // `update`: the write also read, so what was handed over before stays.
    void release(unsigned thread, Handovers& all, uintptr_t address, bool update);

    // Leaves what `thread` knows, for others to learn. Empty when its clock is at its end.
    Known publish(unsigned thread);
    Known published(unsigned thread) const { return {published_[thread], published_fenced_[thread]}; }
    void learn(unsigned thread, const Known& known);
    bool knows(unsigned thread, const Known& known) const {
        return !known.all || all_known(thread)->covers(*known.all);
    }
    // What `thread` knows the asynchronous proxy may read from now on. False as above.
    bool proxy_fence(unsigned thread);
    // The next event of an actor whose earlier ones `thread` knows: block, clock and thread of it.
    // A record without a mask if the block has too many actors.
    Record begin_actor(unsigned thread);
    static Known of_actor(const Record& record);
    // Whether the asynchronous proxy, on behalf of `thread`, may read what `record` wrote.
    bool fenced_before(const Record& record, unsigned thread) const {
        return fenced_past_[thread] && fenced_past_[thread]->holds(record);
    }

private:
    Tick& known(unsigned thread, unsigned lane) { return known_[thread * kWarp + lane]; }
    bool lanes_before(const Record& record, unsigned thread) const {
        uint32_t others = record.lanes & ~(1u << thread % kWarp);
        for (; others; others &= others - 1)
            if (known_[thread * kWarp + static_cast<unsigned>(__builtin_ctz(others))] <= record.clock)
                return false;
        return true;
    }
    bool far_before(const Record& record, unsigned thread) const;
    SharedPast all_known(unsigned thread) const;
    void join_far(const std::vector<unsigned>& threads);

    uint32_t block_ = 0;
    unsigned threads_ = 0;
    Tick base_ = 1;  // everything before it in this block is known to all: the last barrier
    uint32_t epoch_ = 0;
    std::vector<Tick> clock_;
    std::vector<Tick> known_;   // [thread][lane]: of each lane of the warp it has met
    std::vector<Tick> fenced_;  // clock of the last fence
    bool far_used_ = false;
    std::vector<SharedPast> far_;        // [thread]: learned through memory
    std::vector<std::pair<SharedPast, SharedPast>> acquired_;  // [thread]: last, of either scope
    std::vector<SharedPast> published_;  // [thread]: before a fence, for other blocks
    std::vector<SharedPast> published_block_;  // the same, for this block
    std::vector<SharedPast> fenced_past_;      // [thread]: what is behind a proxy fence
    std::vector<SharedPast> published_fenced_;
    std::vector<Tick> actor_clock_;            // [actor]: of its last event
};

}  // namespace pycnn_emu
