// The checked build: shadow memory behind every byte a kernel touches.
//
// Each 4-byte word of shared and global memory has a cell (shadow.h) that remembers who accessed it
// and when (causality.h), so that a race is found whatever the schedule. The same accesses, grouped by
// warp instruction, are counted (counters.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "counters.h"
#include "memory.h"
#include "causality.h"
#include "report.h"
#include "shadow.h"
#include "worker.h"

namespace pycnn_emu {

// What a checked launch knows of its memory, and what it is to report.
struct Knowledge {
    std::vector<Range> ranges;
    std::vector<uintptr_t> numbers;  // integers among the arguments that may be addresses
    bool same_value_races = false;   // report unordered writes of the same value, too
};

// An operation of the asynchronous proxy (a bulk copy, wgmma), from its issue on.
constexpr int kFenced = 1 << 8;  // of an access by an operation: behind a proxy fence in any case
// Of an access to an mbarrier: its words hand nothing over as a flag does, or who uses it would be
// ordered behind its init by having used it.
constexpr int kOfBarrier = 1 << 9;
struct Operation {
    Record record;                  // an event of an actor
    std::vector<uint16_t> issuers;  // threads that issued it together: it may rely on what all know
    const void* pc;
};

// A cp.async, which in the checked build comes when it is waited for.
struct Copy {
    void* shared;
    std::vector<char> bytes;
    const void* pc;
    bool done;
};
using CopyGroup = std::vector<std::shared_ptr<Copy>>;

constexpr uint8_t kWholeWord = (1u << kWord) - 1;

class Checker {
public:
    Checker(Knowledge knowledge, const void* code_in_library);

    // One worker may run another block before the first has ended: `resume_block` says which one
    // the calls that follow are about.
    void begin_block(Worker& worker, uint64_t block);
    void resume_block(Worker& worker);
    std::optional<Report> end_block();
    void thread_exits(unsigned thread);
    void waits_at_barrier(unsigned thread) { block_->log.complete(thread, counters_); }
    void barrier();
    void warp_synchronised(unsigned warp, unsigned lanes);

    // `access` is a pycnn_emu::Access, with flags.
    void access(unsigned thread, const void* address, size_t size, int access, const void* pc);
    // An atomic that writes only if the bytes at `address` are those at `expected`.
    void compare_and_swap(unsigned thread, const void* address, const void* expected, size_t size,
                          const void* pc);
    void fence(unsigned thread, bool device);
    void copy_async(unsigned thread, void* shared, const void* global, size_t size,
                    size_t source_size, const void* pc);
    void copy_commit(unsigned thread);
    void copy_wait(unsigned thread, size_t groups_in_flight);
    // The copies of a thread that have not come; and that they do, to be told of in another way.
    CopyGroup copies_on_way(unsigned thread) const;
    void copies_come(const CopyGroup& copies);
    void release_memory(unsigned thread, void* pointer, const void* pc);

    // Order that is handed over: what a thread knows at an arrival, to who waits for it.
    Known publish(unsigned thread);
    void learn(unsigned thread, const Known& known) { block_->order.learn(thread, known); }
    bool knows(unsigned thread, const Known& known) const {
        return block_->order.knows(thread, known);
    }
    // What `thread` does now, and whether it certainly came before what another does.
    Record event(unsigned thread) const { return record(thread, nullptr, kWrites, kWholeWord); }
    bool before(const Record& event, unsigned thread) const {
        return block_->order.before(event, thread);
    }
    // The same of an arrival that is relaxed: what a fence stands behind.
    Known published(unsigned thread) const { return block_->order.published(thread); }
    void proxy_fence(unsigned thread);
    // checker_async.cpp: begins an operation; tells of each piece of memory that it will read or
    // write (kAtomic: update); and what those learn who wait for it.
    Operation issue(std::vector<uint16_t> issuers, const void* pc);
    // It uses the block's shared memory: somebody must wait for it before the block ends.
    void must_end(const Operation& operation);
    void operation_access(const Operation& operation, const void* address, size_t size, int access);
    // The instruction of the operation that wrote a word of shared memory last; 0 if a thread did.
    uint32_t loader(uintptr_t address);
    static Known completion(const Operation& operation) {
        return Causality::of_actor(operation.record);
    }

    void register_shared(const SharedVariable& variable);
    void name_dynamic(const char* name) { dynamic_name_ = name; }
    // What lies at or nearest below or above an address, in words.
    std::string array_at(uintptr_t address) const;
    const Counters& counters() const { return counters_; }

private:
    struct Copies {  // of one thread
        CopyGroup open;                 // not yet committed
        std::vector<CopyGroup> groups;  // committed, oldest first
    };
    // An unordered write to bytes that another thread wrote: a race unless it changes nothing,
    // which the next event tells.
    struct Suspect {
        Record me, other;
        uintptr_t word;
        unsigned char before[kWord];
    };
    struct Block {
        Worker* worker;
        uint32_t index;
        Causality order;
        Cells shared;
        Records records;  // of shared memory
        Handovers handovers;
        std::vector<Copies> copies;
        std::vector<Suspect> suspects;
        std::optional<Report> unwritten;  // read of memory that nobody has written so far
        std::vector<uint16_t> issuers;    // of the last operation of each actor
        std::vector<Operation> to_end;    // of each actor the last that must end before the block
        struct Visit {
            Record record;
            uintptr_t address;
        };
        std::unordered_map<uint64_t, Visit> visits;  // the last of each thread of another block
        bool ended = false;
        WarpLog log;
    };
    struct Place {
        Cell* cells = nullptr;  // null: not watched
        Block* shared = nullptr;  // whose shared memory it is, if it is
        bool initialised = true;
        size_t inside = SIZE_MAX;  // bytes up to the end of a piece that others follow
    };

    Place place(unsigned thread, uintptr_t address, size_t size, int access, const void* pc);
    void check(Cell& cell, const Record& me, const Place& place, bool certain, uintptr_t address,
               const void* pc);
    bool read_again(unsigned thread, uintptr_t address, size_t size, const void* pc);
    void touch(Cell& cell, uint8_t mask, bool reads, bool writes);
    void access_part(unsigned thread, uintptr_t address, size_t size, int access, const void* pc,
                     bool certain);
    Block* block_of(const Worker* worker) const;
    void visit(Block& owner, const Record& record, unsigned thread, uintptr_t address,
               const void* pc);
    std::optional<Report> unfinished() const;
    void check_operation(Cell& cell, const Operation& operation, const Record& me,
                         const Place& place, uintptr_t address, bool is_fenced);
    Report operation_report(const Record& me, const Record& other, uintptr_t address,
                            const void* pc) const;
    unsigned thread_of(const Record& record) const;
    static bool changed(const Suspect& suspect);
    void settle();
    void require(bool clock_moved);
    static bool inside(uintptr_t address, size_t size, uintptr_t begin, size_t of) {
        return address - begin < of && size <= of - (address - begin);
    }
    bool in_shared_variable(uintptr_t offset, size_t size) const {
        return inside(offset, size, last_shared_, last_shared_size_) ||
               in_another_variable(offset, size);
    }
    bool in_another_variable(uintptr_t offset, size_t size) const;
    [[noreturn]] void out_of_bounds(unsigned thread, uintptr_t address, size_t size, int access,
                                    const void* pc);
    [[noreturn]] void report(const char* kind, std::string message, unsigned thread,
                             uintptr_t address, const void* pc, const Record* other = nullptr);
    Report make_report(const char* kind, std::string message, unsigned thread, uintptr_t address,
                       const void* pc, const Record* other = nullptr) const;
    Report race(const Record& me, const Record& other, uintptr_t address) const;
    Record unordered(const Record& other, unsigned thread) const;
    void complete(unsigned thread, CopyGroup& copies);
    bool arrive(Copy& copy);
    Record record(unsigned thread, const void* pc, uint8_t kind, uint8_t mask) const;
    Cell& shared_cell(uintptr_t word);
    const void* address_of(const Record& record) const {
        return reinterpret_cast<const void*>(library_base_ + record.pc);
    }

    const bool same_value_races_;
    const LibraryMap& library_;
    uintptr_t library_base_ = 0;
    Memory memory_;
    Records records_;  // of global memory
    Handovers handovers_;
    std::vector<SharedVariable> variables_;
    mutable uintptr_t last_shared_ = 0;  // offset and size of the variable that was found last
    mutable size_t last_shared_size_ = 0;
    const char* dynamic_name_ = "dynamic shared memory";
    std::vector<std::unique_ptr<Block>> blocks_;  // one a worker
    Block* block_ = nullptr;
    Counters counters_;
};

// What most accesses come to is inlined into what the kernel calls.

inline Record Checker::record(unsigned thread, const void* pc, uint8_t kind, uint8_t mask) const {
    return Record{block_->index,
                  block_->order.clock(thread),
                  static_cast<uint32_t>(reinterpret_cast<uintptr_t>(pc) - library_base_),
                  1u << thread % kWarp,
                  static_cast<uint16_t>(thread),
                  mask,
                  kind};
}

inline Cell& Checker::shared_cell(uintptr_t word) {
    return *block_->shared.at(word, reinterpret_cast<uintptr_t>(block_->worker->arena()),
                              Worker::arena_size());
}

// True for a read of words that have been read since the last barrier, if there is no more to do.
__attribute__((always_inline)) inline bool Checker::read_again(
    unsigned thread, uintptr_t address, size_t size, const void* pc) {
    Block& b = *block_;
    if (size % kWord || size & (size - 1) || size > 16 || address & (size - 1) ||
        !b.suspects.empty())
        return false;
    auto arena = reinterpret_cast<uintptr_t>(b.worker->arena());
    bool shared = address - arena < Worker::arena_size();
    Cell* cell;
    if (shared) {
        if (!in_shared_variable(address - arena, size)) return false;
        cell = &shared_cell(address);
    } else {
        Memory::Piece* piece = memory_.find_again(address, size, pc);
        if (!piece) return false;
        cell = piece->cells.at(address, piece->range.base, piece->range.size);
    }
    Record me = record(thread, pc, 0, kWholeWord);
    const Records& records = shared ? b.records : records_;
    for (Cell* end = cell + size / kWord; cell < end; ++cell)
        if (!records.add_known(*cell, me, b.order)) return false;
    b.log.add(thread, me.pc, address, size, kRead, shared, false);
    return true;
}

inline void Checker::access(unsigned thread, const void* pointer, size_t size, int access,
                            const void* pc) {
    auto address = reinterpret_cast<uintptr_t>(pointer);
    if (access != kRead || !read_again(thread, address, size, pc))
        access_part(thread, address, size, access, pc, false);
}

}  // namespace pycnn_emu
