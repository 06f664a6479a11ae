#include "shadow.h"

namespace pycnn_emu {

namespace {

// Whether everything that races with `weak` would race with `strong`, were they equally ordered.
bool races_with_as_much(const Record& strong, const Record& weak) {
    bool writes = strong.kind & kWrites || !(weak.kind & kWrites);
    bool plain = !(strong.kind & kStrong) || weak.kind & kStrong;
    return writes && plain;
}

}  // namespace

void Cells::make(size_t count) {
    auto* cells = static_cast<Cell*>(std::calloc(count, sizeof(Cell)));
    auto* tags = static_cast<Tag*>(std::calloc(count, sizeof(Tag)));
    words_ = {cells, tags};
    if (!cells || !tags) throw std::bad_alloc();
}

Records::More& Records::more_of(Cell& cell) {
    if (!cell.more) {
        if (used_ == more_.size()) more_.emplace_back();
        cell.more = static_cast<uint32_t>(++used_);
    }
    More& more = more_[cell.more - 1];
    if (!cell.has_more) {
        for (Record& record : more.records) record.mask = 0;
        more.rest.clear();
        cell.has_more = true;
    }
    return more;
}

void Records::add(Word word, const Record& me, const Causality& order, unsigned knower) {
    Cell& cell = *word.cell;
    cell.clean = false;
    *word.tag = tag_of(order.epoch());
    bool plain_write = me.kind == kWrites;
    bool placed = false;
    Record *free = nullptr, *grown = nullptr;
    each(cell, [&](Record& record) {
        if (!record.mask) {
            if (!free) free = &record;
            return false;
        }
        bool alike = record.clock == me.clock && record.kind == me.kind && same_warp(record, me);
        if (alike && record.lanes == me.lanes && !placed) {
            if (!plain_write && (record.mask | me.mask) != record.mask) grown = &record;
            record.mask |= me.mask;
            record.pc = me.pc;
            placed = true;
        } else if (alike && record.mask == me.mask && !plain_write && !placed) {
            record.lanes |= me.lanes;
            placed = true;
        } else if (record.mask & me.mask &&
                   (plain_write ||  // any that is not before it has been reported
                    (races_with_as_much(me, record) && order.before(record, knower)))) {
            record.mask &= static_cast<uint8_t>(~me.mask);
            if (!record.mask && !free) free = &record;
        }
        return false;
    });
    if (grown) {  // bytes one by one: the other lanes may have been through them
        Record* other = find(cell, grown->mask, [&](Record& r) {
            return &r != grown && r.mask == grown->mask && r.clock == me.clock &&
                   r.kind == me.kind && same_warp(r, me);
        });
        if (other) {
            other->lanes |= grown->lanes;
            grown->mask = 0;
        }
    }
    if (placed) return;
    if (!free && !cell.has_more) free = more_of(cell).records;
    if (free) {
        *free = me;
        return;
    }
    if (!plain_write && !fences_ && take_place(cell, me, order, knower)) return;
    auto& rest = more_[cell.more - 1].rest;
    if (plain_write || rest.size() < kMost || !fences_) rest.push_back(me);
}

// True if `me` need not be kept, or has been put in the place of another that need not.
bool Records::take_place(Cell& cell, const Record& me, const Causality& order, unsigned knower) {
    Record* one = nullptr;
    Record* found = find(cell, me.mask, [&](Record& record) {
        if ((record.mask & me.mask) != me.mask || !races_with_as_much(record, me) ||
            order.before(record, knower))
            return false;
        if (!one) {
            one = &record;
            return false;
        }
        if (!same_warp(*one, record) && (one->block != record.block || one->block == me.block))
            return true;  // two that stand for all
        if (!same_warp(*one, me) && record.mask == me.mask && record.kind == me.kind) {
            record = me;
            return true;
        }
        return false;
    });
    return found != nullptr;
}

}  // namespace pycnn_emu
