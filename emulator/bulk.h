// Bulk copies between global and shared memory: pieces that move at a time the scheduler picks.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "async.h"
#include "checker.h"
#include "reduction.h"

namespace pycnn_emu {

// Bytes that lie together on both sides; without `from` they are filled.
struct Piece {
    uintptr_t to, from;
    uint32_t size;
};
using Pieces = std::vector<Piece>;

// What a load signals: bytes on an mbarrier, and how many.
struct Signal {
    uintptr_t barrier;
    uint32_t bytes;
};

// Bulk copies of the threads of one block that wait for them in groups: stores and reductions.
class BulkGroups {
public:
    void clear() { threads_.clear(); }
    void commit(unsigned thread);
    // Until no more than so many groups are on their way; `read`: until they have read.
    void wait(Worker& worker, unsigned thread, size_t groups, bool read);
    void add(unsigned thread, Operation reads, Operation writes, uint64_t read, uint64_t write) {
        threads_[thread].open.push_back({std::move(reads), std::move(writes), read, write});
    }

private:
    struct Store {
        Operation reads, writes;
        uint64_t read, write;  // tickets
    };
    struct Groups {
        std::vector<Store> open;
        std::vector<std::vector<Store>> committed;  // oldest first
        size_t done = 0, read = 0;                  // of them
    };
    std::map<unsigned, Groups> threads_;
};

// What a load moves into the memory of one block, and what it signals there.
struct Target {
    Pieces pieces;
    Signal signal;
};
// The running thread issues a load into one or several blocks' memory, which fills with repetitions
// of `fill`; of kTf32 it is rounded on the way.
void bulk_load(std::vector<Target> targets, uint32_t fill, Reduce operation, Number number,
               bool of_tensor, uint32_t site);
// A few bytes that are known now, to shared memory of the cluster (st.async, red.async).
void send(uintptr_t to, const void* words, uint32_t size, uintptr_t barrier, Reduce operation,
          Number number, uint32_t site);
// A store, or a reduction, that the thread waits for in a group.
void bulk_store(Pieces pieces, Reduce operation, Number number, uint32_t site);

}  // namespace pycnn_emu
