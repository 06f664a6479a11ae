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
    bool operations = false;         // the kernel may issue some of the asynchronous proxy
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
    void mark_matrix(unsigned thread, uintptr_t row) { block_->log.mark_matrix(thread, row); }
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
    // The array that an instruction used last: it mostly uses it again.
    static constexpr size_t kNear = 128;
    struct Near {
        uintptr_t base = 0;
        size_t size = 0;
        Word word;           // the one that holds `base`
        bool shared = false;
        bool own = false;    // nobody but the threads of this block ever accesses it
        bool initialised = false;

        bool holds(uintptr_t address, size_t bytes) const { return inside(address, bytes, base, size); }
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
        Near near[kNear];  // by instruction
        WarpLog log;
    };
    struct Place {
        Word word;  // the first; without a cell: not watched
        Block* shared = nullptr;  // whose shared memory it is, if it is
        bool initialised = true;
        size_t inside = SIZE_MAX;  // bytes up to the end of a piece that others follow
    };

    Place place(unsigned thread, uintptr_t address, size_t size, int access, const void* pc);
    void check(Word word, const Record& me, const Place& place, bool certain, uintptr_t address,
               const void* pc);
    bool plain_access(unsigned thread, uintptr_t address, size_t size, bool writes, const void* pc);
    bool read_by_many(const Tag* tags, size_t size, const Near& near) const;
    bool plain_words(unsigned thread, Word word, size_t size, bool writes, const Near& near,
                     const void* pc);
    bool plain_word(Word word, const Record& me, const Near& near);
    const Near* find_near(uintptr_t address, size_t size, const void* pc);
    uint32_t next_epoch();
    void touch(Cell& cell, uint8_t mask, bool reads, bool writes);
    void access_part(unsigned thread, uintptr_t address, size_t size, int access, const void* pc,
                     bool certain);
    Block* block_of(const Worker* worker) const;
    void visit(Block& owner, const Record& record, unsigned thread, uintptr_t address,
               const void* pc);
    std::optional<Report> unfinished() const;
    void check_operation(Word word, const Operation& operation, const Record& me,
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
    // The shared variable that holds all of an access: its offset and size, or no size.
    std::pair<uintptr_t, size_t> shared_variable(uintptr_t offset, size_t size) const;
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
    uint32_t offset_of(const void* pc) const {
        return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(pc) - library_base_);
    }
    Word shared_word(uintptr_t word);
    const void* address_of(const Record& record) const {
        return reinterpret_cast<const void*>(library_base_ + record.pc);
    }

    const bool same_value_races_, operations_;
    const LibraryMap& library_;
    uintptr_t library_base_ = 0;
    Memory memory_;
    Records records_;  // of global memory
    Handovers handovers_;
    std::vector<SharedVariable> variables_;
    const char* dynamic_name_ = "dynamic shared memory";
    std::vector<std::unique_ptr<Block>> blocks_;  // one a worker
    Block* block_ = nullptr;
    uint32_t epochs_ = 0;
    Counters counters_;
};

// What most accesses come to is inlined into what the kernel calls.

inline Record Checker::record(unsigned thread, const void* pc, uint8_t kind, uint8_t mask) const {
    return Record{block_->index,
                  block_->order.clock(thread),
                  offset_of(pc),
                  1u << thread % kWarp,
                  static_cast<uint16_t>(thread),
                  mask,
                  kind};
}

inline Word Checker::shared_word(uintptr_t word) {
    return block_->shared.at(word, reinterpret_cast<uintptr_t>(block_->worker->arena()),
                              Worker::arena_size());
}

// A plain read or write of whole words, where it is soon found that nothing races with it. False where
// it is not, and nothing is counted.
__attribute__((always_inline)) inline bool Checker::plain_access(
    unsigned thread, uintptr_t address, size_t size, bool writes, const void* pc) {
    constexpr unsigned kSizes = 1u << 4 | 1u << 8 | 1u << 16;
    Block& b = *block_;
    if (size > 16 || !(kSizes >> size & 1) || address & (size - 1) || !b.suspects.empty())
        return false;
    const Near* near = &b.near[reinterpret_cast<uintptr_t>(pc) % kNear];
    if (!near->holds(address, size) && !(near = find_near(address, size, pc))) return false;
    const size_t first = address / kWord - near->base / kWord;
    if (writes || !read_by_many(near->word.tag + first, size, *near))
        if (!plain_words(thread, {near->word.cell + first, near->word.tag + first}, size, writes, *near,
                         pc))
            return false;
    b.log.add(thread, offset_of(pc), address, size, writes ? kWrite : kRead, near->shared, false);
    return true;
}

// Whether plain reads of these words need not be noted.
inline bool Checker::read_by_many(const Tag* tags, size_t size, const Near& near) const {
    if ((near.shared ? block_->records : records_).fences()) return false;
    const Tag many = tag_of_readers(block_->order.epoch());
    bool all = true;
    for (const Tag* end = tags + size / kWord; tags < end; ++tags)
        all &= *tags == many || *tags == kReadByAll;
    return all;
}

inline void Checker::access(unsigned thread, const void* pointer, size_t size, int access,
                            const void* pc) {
    auto address = reinterpret_cast<uintptr_t>(pointer);
    bool plain = access == kRead || access == kWrite;
    if (!plain || !plain_access(thread, address, size, access == kWrite, pc))
        access_part(thread, address, size, access, pc, false);
}

}  // namespace pycnn_emu
