// Shadow memory: for each 4-byte word, the accesses that a later one may race with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "causality.h"

namespace pycnn_emu {

constexpr size_t kWord = 4;

// Masks are of the bytes of the word.
struct Cell {
    Record first;
    uint32_t more;        // further records: which list, counted from 1; its own from now on
    bool has_more;        // that there are any in it
    uint8_t pending;      // target of an asynchronous copy that has not been waited for
    uint8_t initialised;
    uint8_t touched_read, touched_write;
    // The word is whole, and initialised; `first` is a plain read of it, and every write of it came
    // before the last barrier of that reader's block.
    bool clean;
};

// Of each word, apart from its cell and so in few cache lines: 0 before the first access, then twice
// the epoch (Causality) in which it was accessed last. While no fence is used, one more says that
// this was by plain reads of two warps, which stand for all others of that block and epoch.
using Tag = uint32_t;
constexpr Tag kReadByAll = ~Tag{0};  // nobody writes it, and readers of two blocks stand for all others
constexpr uint32_t kLastEpoch = (1u << 31) - 2;

constexpr Tag tag_of(uint32_t epoch) { return epoch << 1; }
constexpr Tag tag_of_readers(uint32_t epoch) { return epoch << 1 | 1; }

struct Word {
    Cell* cell = nullptr;
    Tag* tag = nullptr;
    void next() { ++cell, ++tag; }
};

// Cells of one piece of memory, which need not start or end on a word. They are made at the first
// access, and pages of them that nobody touches stay virtual.
class Cells {
public:
    Cells() = default;
    Cells(Cells&& other) noexcept : words_(std::exchange(other.words_, Word{})) {}
    Cells& operator=(Cells&& other) noexcept {
        std::swap(words_, other.words_);
        return *this;
    }
    ~Cells() {
        std::free(words_.cell);
        std::free(words_.tag);
    }

    Word at(uintptr_t address, uintptr_t base, size_t size) {
        if (!words_.tag) make(size / kWord + 2);
        size_t i = address / kWord - base / kWord;
        return {words_.cell + i, words_.tag + i};
    }

private:
    void make(size_t count);

    Word words_;
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
    bool fences() const { return fences_; }
    void clear() { used_ = 0; }

    // Calls f(record) for each record that shares bytes with `mask`, until it returns true.
    template <typename F>
    Record* find(Cell& cell, uint8_t mask, F f) {
        return each(cell, [&](Record& record) { return record.mask & mask && f(record); });
    }
    // `knower`: the thread whose knowledge `me` relies on, where it is not the record's own.
    void add(Word word, const Record& me, const Causality& order) {
        add(word, me, order, me.thread);
    }
    void add(Word word, const Record& me, const Causality& order, unsigned knower);
    // Adds `me` if nothing races with it and that is soon found; most accesses are done here.
    // `clean`: it is a plain read of the whole word, which the caller knows without looking at it.
    bool add_ordered(Word word, const Record& me, const Causality& order, bool clean);
    // `me`, a plain access to a whole word that is initialised then, when it races with no other
    // access: what came before is forgotten.
    static void begin_epoch(Word word, const Record& me, const Causality& order) {
        Cell& cell = *word.cell;
        cell.first = me;
        cell.has_more = false;
        cell.clean = !me.kind;
        cell.initialised = me.mask;
        *word.tag = tag_of(order.epoch());
    }
    // True if `me`, a plain read of a whole word, needs no more than its lane to be known.
    static bool add_lane(Cell& cell, const Record& me) {
        if (!cell.clean || cell.first.clock != me.clock || !same_warp(cell.first, me)) return false;
        cell.first.lanes |= me.lanes;
        return true;
    }

private:
    static constexpr size_t kMost = 16;

    // Further records of a cell.
    struct More {
        Record records[2] = {};
        std::vector<Record> rest;
    };

    static bool same_warp(const Record& a, const Record& b) {
        return a.block == b.block && a.thread / kWarp == b.thread / kWarp;
    }
    template <typename F>
    Record* each(Cell& cell, F f) {
        if (f(cell.first)) return &cell.first;
        if (!cell.has_more) return nullptr;
        More& more = more_[cell.more - 1];
        for (Record& record : more.records)
            if (f(record)) return &record;
        for (Record& record : more.rest)
            if (f(record)) return &record;
        return nullptr;
    }
    More& more_of(Cell& cell);
    bool take_place(Cell& cell, const Record& me, const Causality& order, unsigned knower);
    void note_readers(Word word, const Causality& order, Record* mine, Record* other,
                      Record* second);

    bool fences_ = false;
    std::vector<More> more_;
    size_t used_ = 0;  // of more_
};

inline bool Records::add_ordered(Word word, const Record& me, const Causality& order, bool clean) {
    Cell& cell = *word.cell;
    cell.clean = false;
    *word.tag = tag_of(order.epoch());
    if (me.kind & ~kWrites) return false;
    More* more = cell.has_more ? &more_[cell.more - 1] : nullptr;
    if (more && !more->rest.empty()) return false;
    Record *place = nullptr, *mine = nullptr, *other = nullptr, *second = nullptr;
    for (Record* at : {&cell.first, more ? more->records : nullptr, more ? more->records + 1 : nullptr}) {
        if (!at) break;
        Record& record = *at;
        if (!(record.mask & me.mask)) {  // of no bytes, or of others
            if (!record.mask && !place) place = at;
            if (record.mask) clean = false;
            continue;
        }
        if (record.mask != me.mask) return false;
        if (me.kind | record.kind) {  // one of the two writes, or is volatile
            if (!order.before(record, me.thread)) return false;
            if (!order.passed(record)) clean = false;
            if (me.kind) {
                record.mask = 0;
                if (!place) place = at;
            }
        } else if (record.clock == me.clock && same_warp(record, me)) {
            record.lanes |= me.lanes;
            mine = at;
        } else if (order.before(record, me.thread)) {
            record.mask = 0;
            if (!place) place = at;
        } else if (!other) {
            other = at;
        } else if (!fences_ && (other->block != record.block ||
                                (record.block == me.block && !same_warp(*other, record)))) {
            second = at;  // as in take_place
        }
    }
    if (!mine && !second) {
        if (!place && !more) place = more_of(cell).records;
        if (!place) return false;
        *place = me;
        mine = place;
    }
    if (clean) note_readers(word, order, mine, other, second);
    return true;
}

// `mine`: the record that has the reader, if any; `other` and `second`: of readers that nothing
// orders with it.
inline void Records::note_readers(Word word, const Causality& order, Record* mine, Record* other,
                                  Record* second) {
    Cell& cell = *word.cell;
    cell.clean = true;
    const Record* pair = mine ? mine : second;
    if (other && !fences_) {
        if (other->block != pair->block)
            *word.tag = kReadByAll;  // and no write: one of the two would race with it
        else if (!same_warp(*other, *pair))
            *word.tag = tag_of_readers(order.epoch());
    }
    Record* front = mine ? mine : other;
    if (front != &cell.first) std::swap(*front, cell.first);
}

}  // namespace pycnn_emu
