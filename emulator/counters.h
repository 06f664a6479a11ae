// Memory traffic of a launch, counted as the hardware would group it.
//
// A request is one warp instruction: the n-th execution of one instruction by the lanes of a warp
// between two barriers. Global memory moves in sectors of 32 bytes; shared memory has 32 banks of
// 4 bytes and serves 8-byte accesses in two, 16-byte accesses in four passes, or in half as many
// where lanes want the same in pairs.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
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
        if (events.size() == events.capacity()) grow(events);
        if (poll && !events.empty() && events.back().pc() == pc && events.back().address == address)
            return;
        events.emplace_back(address, Event::rest_of(pc, size, access, shared));
    }
    // What was added last was the row of a matrix.
    void mark_matrix(unsigned thread, uintptr_t address) {
        auto& events = lanes_[thread];
        if (!events.empty() && events.back().address == address)
            events.back().rest |= uint64_t{kOfMatrix} << 1;
    }
    struct Passes {
        unsigned needed = 0, least = 0;
    };
    // Over the banks, of one request to shared memory: addresses by lane, of which 0 takes no part.
    Passes passes(const uint64_t* addresses, unsigned lanes, unsigned size, bool matrix);
    void flush(Counters& counters);
    // No access of these threads comes before the next barrier: of a whole warp all is known then.
    void complete(unsigned thread, Counters& counters) {
        unsigned warp = thread / kLanes, first = warp * kLanes;
        size_t end = std::min(lanes_.size(), size_t{first} + kLanes);
        if (++complete_[warp] == end - first) flush_warp(first, end, counters);
    }

private:
    static constexpr unsigned kLanes = 32, kOfMatrix = 4;  // the latter beside kinds of access
    static constexpr uint64_t kLargest = (1u << 28) - 1;

    // Two words, made where they lie. Made of smaller parts, or copied there, an event would be read
    // as one before its parts are written, for which a processor waits: half the time of an access.
    struct Event {
        uintptr_t address;
        uint64_t rest;
        Event(uintptr_t address, uint64_t rest) : address(address), rest(rest) {}
        static uint64_t rest_of(uint32_t pc, size_t size, int access, bool shared) {
            return uint64_t{pc} << 32 | (size & kLargest) << 4 |
                   (static_cast<unsigned>(access) & 7) << 1 | shared;
        }
        uint32_t pc() const { return static_cast<uint32_t>(rest >> 32); }
        // Of memory of one kind: a copy reads and writes at one pc, and reads nothing where it
        // writes zeros.
        uint64_t what() const { return uint64_t{pc()} << 1 | (rest & 1); }
        void set_number(uint32_t number) { rest = uint64_t{number} << 32 | static_cast<uint32_t>(rest); }
        uint32_t number() const { return pc(); }
        uint32_t size() const { return static_cast<uint32_t>(rest >> 4 & kLargest); }
        unsigned access() const { return rest >> 1 & 3; }
        bool matrix() const { return rest >> 1 & kOfMatrix; }
        bool shared() const { return rest & 1; }
    };
    // One warp instruction: what lanes that take part did.
    struct Request {
        uint32_t lanes = 0;
        const Event* events[kLanes];
    };

    void grow(std::vector<Event>& events);
    // What is left of the logs of a warp's lanes.
    struct Rest {
        Event *next[kLanes], *end[kLanes];
    };

    void flush_warp(size_t first, size_t end, Counters& counters);
    bool flush_in_step(Counters& counters, Rest& rest);
    void flush_apart(Counters& counters, const Rest& rest);
    void count(Counters& counters, const Request& request);
    void count_shared(Counters& counters, const Request& request);
    Passes passes_of(const Request& request);
    void add(Passes& found, const Request& request, uint32_t lanes);
    static bool paired(const Request& request, uint32_t lanes);
    uint64_t sectors(const Request& request);
    unsigned wavefronts(const Request& request, uint32_t lanes);
    uint32_t number_of(const Event& event) {
        uint64_t what = event.what();
        uint32_t& near = near_[what % kNear];
        if (near < whats_.size() && whats_[near] == what) return near;
        return near = find_number(what);
    }
    uint32_t find_number(uint64_t what);

    std::vector<std::vector<Event>> lanes_;
    std::vector<std::vector<Event>> spare_;  // memory of logs that are done with, the warmest last
    std::vector<unsigned> complete_;         // of each warp: threads that are, since the last barrier
    std::vector<Request> requests_;
    std::vector<uint32_t> most_, begin_, next_;  // of each instruction: executions, first request
    std::unordered_map<uint64_t, uint32_t> numbers_;  // of instructions
    std::vector<uint64_t> whats_;                     // the other way round
    static constexpr size_t kNear = 1024;
    uint32_t near_[kNear] = {};                       // of numbers_, those asked for last
    std::vector<uintptr_t> words_;  // or sectors, of one request
};

}  // namespace pycnn_emu
