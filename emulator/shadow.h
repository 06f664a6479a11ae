// Shadow memory: for each 4-byte word, the accesses that a later one may race with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include "causality.h"

namespace pycnn_emu {

constexpr size_t kWord = 4;

// Masks are of the bytes of the word.
struct Cell {
    Record records[3];
    uint32_t more;        // further records: which list, counted from 1
    uint8_t pending;      // target of an asynchronous copy that has not been waited for
    uint8_t initialised;
    uint8_t touched_read, touched_write;
};

// Cells of one piece of memory, which need not start or end on a word. They are made at the first
// access, and pages of them that nobody touches stay virtual.
class Cells {
public:
    Cells() = default;
    Cells(Cells&& other) noexcept : cells_(other.cells_) { other.cells_ = nullptr; }
    Cells& operator=(Cells&& other) noexcept {
        std::swap(cells_, other.cells_);
        return *this;
    }
    ~Cells() { std::free(cells_); }

    Cell* at(uintptr_t address, uintptr_t base, size_t size) {
        if (!cells_) {
            cells_ = static_cast<Cell*>(std::calloc(size / kWord + 2, sizeof(Cell)));
            if (!cells_) throw std::bad_alloc();
        }
        return cells_ + (address / kWord - base / kWord);
    }

private:
    Cell* cells_ = nullptr;
};

// Memory that the kernel may use, and what to call it in a report.
struct Range {
    uintptr_t base;
    size_t size;
    bool initialised;  // false: reading a byte nobody wrote is an error
    std::string label;
    bool constant = false;  // __constant__: read through a cache of its own, never written
    bool internal = false;  // the emulator's own: not watched
    size_t guard = 0;       // bytes on both sides that are nobody's
};

// The records of cells, kept few.
//
// A record may go when another stays that every later access which races with it races with too.
// Without fences, order is a matter of blocks, warps and lanes, and readers of two blocks, or of
// two warps of one block since its last barrier, stand for all others. Once a fence was used, up
// to `kMost` readers are kept.
class Records {
public:
    void fences_used() { fences_ = true; }
    void clear() { lists_.clear(); }

    // Calls f(record) for each record that shares bytes with `mask`, until it returns true.
    template <typename F>
    Record* find(Cell& cell, uint8_t mask, F f) {
        for (Record& record : cell.records)
            if (record.mask & mask && f(record)) return &record;
        if (cell.more)
            for (Record& record : lists_[cell.more - 1])
                if (record.mask & mask && f(record)) return &record;
        return nullptr;
    }
    // `knower`: the thread whose knowledge `me` relies on, where it is not the record's own.
    void add(Cell& cell, const Record& me, const Causality& order) {
        add(cell, me, order, me.thread);
    }
    void add(Cell& cell, const Record& me, const Causality& order, unsigned knower);
    // Adds `me` if nothing races with it and that is soon found; most accesses are done here.
    bool add_ordered(Cell& cell, const Record& me, const Causality& order);

private:
    static constexpr size_t kMost = 16;

    bool take_place(Cell& cell, const Record& me, const Causality& order, unsigned knower);

    bool fences_ = false;
    std::vector<std::vector<Record>> lists_;
};

inline bool Records::add_ordered(Cell& cell, const Record& me, const Causality& order) {
    constexpr uint8_t kWhole = (1u << kWord) - 1;
    if (cell.more || me.mask != kWhole || me.kind & ~kWrites) return false;
    Record *place = nullptr, *other = nullptr;
    bool done = false;
    for (Record& record : cell.records) {
        if (!record.mask) {
            if (!place) place = &record;
            continue;
        }
        if (record.mask != kWhole) return false;
        if (me.kind | record.kind) {  // one of the two writes, or is volatile
            if (!order.before(record, me.thread)) return false;
            if (me.kind) {
                record.mask = 0;
                if (!place) place = &record;
            }
        } else if (record.clock == me.clock && record.block == me.block &&
                   record.thread / kWarp == me.thread / kWarp) {
            record.lanes |= me.lanes;
            done = true;
        } else if (order.before(record, me.thread)) {
            record.mask = 0;
            if (!place) place = &record;
        } else if (!other) {
            other = &record;
        } else if (!fences_ && (other->block != record.block ||
                                (record.block == me.block &&
                                 other->thread / kWarp != record.thread / kWarp))) {
            done = true;  // as in take_place
        }
    }
    if (done) return true;
    if (!place) return false;
    *place = me;
    return true;
}

}  // namespace pycnn_emu
