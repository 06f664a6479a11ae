// Memory traffic of a launch, counted as the hardware would group it.
//
// A request is one warp instruction: the n-th execution of one instruction by the lanes of a warp
// between two barriers. Global memory moves in sectors of 32 bytes; shared memory has 32 banks of
// 4 bytes and serves 8-byte accesses in two, 16-byte accesses in four phases.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace pycnn_emu {

struct Counters {
    uint64_t global_load_requests = 0, global_load_sectors = 0;
    uint64_t global_store_requests = 0, global_store_sectors = 0;
    uint64_t global_atomic_requests = 0, global_atomic_sectors = 0;
    uint64_t shared_load_requests = 0, shared_store_requests = 0, shared_atomic_requests = 0;
    uint64_t shared_wavefronts = 0, bank_conflicts = 0;
    uint64_t global_bytes_read = 0, global_bytes_written = 0;  // distinct bytes touched
    uint64_t barriers = 0;
};

// Accesses of the threads of a block since the last barrier.
class WarpLog {
public:
    void begin(unsigned threads);
    // `poll`: the same again right after itself counts once, however often a flag is asked for.
    void add(unsigned thread, uint32_t pc, uintptr_t address, size_t size, int access, bool shared,
             bool poll) {
        auto& events = lanes_[thread];
        if (poll && !events.empty() && events.back().pc == pc && events.back().address == address)
            return;
        events.push_back(Event{address, pc, static_cast<uint32_t>(size),
                               static_cast<uint8_t>(access), static_cast<uint8_t>(thread % 32),
                               shared});
    }
    void flush(Counters& counters);

private:
    struct Event {
        uintptr_t address;
        uint32_t pc;
        uint32_t size;
        uint8_t access;
        uint8_t lane;
        bool shared;
    };
    struct Item {  // an event with its place in the order of warp instructions
        uint64_t key;
        const Event* event;
    };

    bool flush_in_step(Counters& counters, std::size_t first, std::size_t end);
    void count(Counters& counters, const Item* items, std::size_t size);
    void count_shared(Counters& counters, const Item* items, std::size_t size);

    std::vector<std::vector<Event>> lanes_;
    std::vector<Item> items_;
    std::vector<uintptr_t> words_;  // or sectors, of one request
};

}  // namespace pycnn_emu
