// The checked build: shadow memory behind every byte a kernel touches.
//
// Each 4-byte word of shared and global memory has a cell that remembers its last write and two
// reads, with the barrier epoch and warp clock they happened at, so that a race is found whatever
// the schedule. The same accesses, grouped by warp instruction, are counted (counters.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "counters.h"
#include "report.h"
#include "worker.h"

namespace pycnn_emu {

// An array that the kernel may use, and what to call it in a report.
struct Range {
    uintptr_t base;
    size_t size;
    bool initialised;  // false: reading a byte nobody wrote is an error
    std::string label;
};

class Checker {
public:
    Checker(std::vector<Range> ranges, const void* code_in_library);
    ~Checker();
    Checker(const Checker&) = delete;
    Checker& operator=(const Checker&) = delete;

    void begin_block(Worker& worker, uint64_t block);
    std::optional<Report> end_block();
    void thread_exits(unsigned thread);
    void barrier();
    void warp_synchronised(unsigned warp, unsigned lanes);

    void access(unsigned thread, const void* address, size_t size, Access access, const void* pc);
    void fence(unsigned thread);
    void copy_async(unsigned thread, void* shared, const void* global, size_t size,
                    size_t source_size, const void* pc);
    void copy_commit(unsigned thread);
    void copy_wait(unsigned thread, size_t groups_in_flight);

    void register_shared(const SharedVariable& variable);
    void name_dynamic(const char* name) { dynamic_name_ = name; }
    const Counters& counters() const { return counters_; }

private:
    struct Who {  // one access
        uint32_t block;
        uint32_t epoch;
        uint32_t pc;  // offset into the library
        uint16_t thread;
        uint16_t clock;
    };
    struct Cell {  // one 4-byte word; masks are of its bytes
        Who write, read, read2;
        uint8_t written, atomic, readers, readers2;
        uint8_t pending;  // target of an asynchronous copy that has not been waited for
        uint8_t initialised;
        uint8_t touched_read, touched_write;
    };
    struct Shadow {
        uintptr_t base;
        size_t size;
        bool initialised;
        std::string label;
        Cell* cells;  // calloc'ed, so that untouched ones stay virtual
    };
    struct Copy {
        void* shared;
        std::vector<char> bytes;
        const void* pc;
    };
    struct Thread {
        uint16_t clock;
        std::vector<Copy> open;                  // not yet committed
        std::vector<std::vector<Copy>> groups;  // committed, oldest first
    };
    Shadow* find_global(uintptr_t address);
    bool in_shared_variable(uintptr_t address, size_t size) const;
    bool in_library(uintptr_t address) const;
    std::string array_at(uintptr_t address) const;
    Cell* cells_of(unsigned thread, uintptr_t address, size_t size, Access access, const void* pc,
                   bool& shared, bool& initialised);
    void check(Cell& cell, uint8_t mask, Access access, const Who& me, bool shared,
               bool initialised, uintptr_t address, const void* pc);
    bool ordered(const Who& before, const Who& now) const;
    [[noreturn]] void out_of_bounds(unsigned thread, uintptr_t address, size_t size, Access access,
                                    const void* pc);
    [[noreturn]] void report(const char* kind, std::string message, unsigned thread,
                             uintptr_t address, const void* pc, const Who* other = nullptr);
    Report make_report(const char* kind, std::string message, unsigned thread, uintptr_t address,
                       const void* pc, const Who* other = nullptr) const;
    [[noreturn]] void race(const char* mine, const char* theirs, const Who& me, const Who& other,
                           uintptr_t address, const void* pc);
    void complete(unsigned thread, std::vector<Copy>& copies);
    void order_by_atomic(unsigned thread, uintptr_t address);
    Who who(unsigned thread, const void* pc) const;
    uint16_t& known(unsigned thread, unsigned lane) { return known_[thread * kWarp + lane]; }

    Worker* worker_ = nullptr;
    std::vector<Shadow> global_;  // sorted by base
    size_t last_ = 0;
    Cell* shared_cells_;
    std::vector<SharedVariable> variables_;
    const char* dynamic_name_ = "dynamic shared memory";
    uintptr_t library_base_ = 0;
    std::vector<std::pair<uintptr_t, uintptr_t>> libraries_;  // code and constants in memory

    uint32_t block_ = 0;
    uint32_t epoch_ = 1;
    std::vector<Thread> thread_;
    std::vector<uint16_t> known_;  // [thread][lane]: clock of each lane of the warp it has seen
    std::vector<bool> fenced_;  // since the thread's last release
    std::unordered_map<uintptr_t, std::vector<bool>> released_;  // atomic -> blocks ordered by it
    std::vector<bool> acquired_;                                 // blocks this one comes after
    std::optional<Report> unwritten_;  // read of memory that nobody has written so far
    Counters counters_;
    WarpLog log_;
};

}  // namespace pycnn_emu
