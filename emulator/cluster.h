// Blocks that run together: they reach each other's shared memory, and wait for each other.
#pragma once

#include <bitset>
#include <cstdint>
#include <string>
#include <vector>

#include "causality.h"

namespace pycnn_emu {

class Cluster {
public:
    explicit Cluster(std::vector<Worker*> blocks) : blocks_(std::move(blocks)) {}

    const std::vector<Worker*>& blocks() const { return blocks_; }
    // Before the threads of any block begin.
    void begin();
    // The block whose shared memory holds an address, null if none does.
    Worker* owner(uintptr_t address) const;
    // Whether a block other than `worker` has a thread, or an operation, that can go on.
    bool others_can_run(const Worker& worker) const;
    // See Worker::park: lets the threads of all blocks that poll ask again; false if that is no use.
    bool release_polls();
    void progressed() { ++events_; }

    // barrier.cluster, by the running thread of `worker`. `known`: what it leaves for the others.
    void arrive(Worker& worker, Known known, const Site& site);
    void wait(Worker& worker, bool acquires, const Site& site);
    void thread_exits(Worker& worker, unsigned thread);
    // For a report that nobody can go on: the barrier, and where the other blocks are.
    std::string describe(const Worker& worker) const;

private:
    struct Block {
        std::bitset<kMaxThreads> arrived;  // in this phase
        std::bitset<kMaxThreads> owes;     // has arrived, and is still to wait
        std::bitset<kMaxThreads> released;
        std::vector<uint16_t> waiting;
    };

    Block& of(const Worker& worker);
    void complete();

    std::vector<Worker*> blocks_;
    std::vector<Block> state_;
    size_t alive_ = 0, missing_ = 0;  // threads; those that have yet to arrive
    Known arriving_, completed_;
    uint64_t events_ = 0, polled_ = 0;  // how often a thread got somewhere; before the last release
    unsigned rounds_ = 0;               // of releases since then
};

}  // namespace pycnn_emu
