#include "checker.h"

#include <algorithm>
#include <cstring>

#include <dlfcn.h>

#include "access.h"

namespace pycnn_emu {

namespace {

constexpr unsigned char kPoison = 0xff;  // reads as NaN in every floating type

}  // namespace

Checker::Checker(Knowledge knowledge, const void* code)
    : same_value_races_(knowledge.same_value_races),
      operations_(knowledge.operations),
      library_(library_of(code)),
      memory_(std::move(knowledge.ranges), std::move(knowledge.numbers), library_) {
    Dl_info info;
    if (dladdr(code, &info)) library_base_ = reinterpret_cast<uintptr_t>(info.dli_fbase);
    Heap::next_launch();
}

void Checker::begin_block(Worker& worker, uint64_t index) {
    block_ = block_of(&worker);
    if (!block_) {
        blocks_.push_back(std::make_unique<Block>());
        block_ = blocks_.back().get();
        block_->worker = &worker;
    }
    Block& b = *block_;
    b.index = static_cast<uint32_t>(index);
    b.order.begin(b.index, worker.threads(), next_epoch());
    b.records.clear();
    b.handovers.clear();
    b.copies.assign(worker.threads(), Copies{});
    b.suspects.clear();
    b.unwritten.reset();
    b.issuers.clear();
    b.to_end.clear();
    b.visits.clear();
    b.ended = false;
    b.log.begin(worker.threads());
    auto arena = reinterpret_cast<uintptr_t>(worker.arena());
    auto reset = [&](size_t offset, size_t size) {
        if (!size) return;
        std::memset(shared_word(arena + offset).cell, 0, (size + kWord - 1) / kWord * sizeof(Cell));
        std::memset(worker.arena() + offset, kPoison, size);
    };
    reset(0, worker.launch().dynamic_shared);
    for (const SharedVariable& variable : variables_)
        reset(kDynamicSpan + static_cast<size_t>(variable.offset), variable.size);
}

void Checker::resume_block(Worker& worker) { block_ = block_of(&worker); }

Checker::Block* Checker::block_of(const Worker* worker) const {
    for (const auto& block : blocks_)
        if (block->worker == worker) return block.get();
    return nullptr;
}

std::optional<Report> Checker::end_block() {
    block_->log.flush(counters_);
    for (const Suspect& s : block_->suspects)
        if (changed(s)) return race(s.me, s.other, s.word);
    if (block_->unwritten) return std::move(block_->unwritten);
    block_->ended = true;
    return unfinished();
}

void Checker::thread_exits(unsigned thread) {
    settle();
    copy_wait(thread, 0);
    block_->log.complete(thread, counters_);
}

void Checker::barrier() {
    settle();
    if (block_->unwritten) block_->worker->fail(*std::move(block_->unwritten));
    require(block_->order.barrier(next_epoch()));
    ++counters_.barriers;
    block_->log.flush(counters_);
}

void Checker::warp_synchronised(unsigned warp, unsigned lanes) {
    settle();
    require(block_->order.warp_synchronised(warp, lanes));
}

void Checker::fence(unsigned thread, bool device) {
    settle();
    records_.fences_used();
    block_->records.fences_used();
    require(block_->order.fence(thread, device));
}

Known Checker::publish(unsigned thread) {
    settle();
    records_.fences_used();
    block_->records.fences_used();
    Known known = block_->order.publish(thread);
    require(known.all != nullptr);
    return known;
}

void Checker::proxy_fence(unsigned thread) {
    settle();
    records_.fences_used();
    block_->records.fences_used();
    require(block_->order.proxy_fence(thread));
}

uint32_t Checker::next_epoch() {
    if (epochs_ < kLastEpoch) return ++epochs_;
    records_.fences_used();  // no tag tells one from another any more
    for (const auto& block : blocks_) block->records.fences_used();
    return epochs_;
}

void Checker::require(bool clock_moved) {
    if (clock_moved) return;
    Report report;
    report.kind = "limit";
    report.message = format("a thread has synchronised %u times, more than the checked build counts",
                            kActorTick - 1);
    block_->worker->fail(std::move(report));
}

void Checker::access_part(unsigned thread, uintptr_t address, size_t size, int access,
                          const void* pc, bool certain) {
    Block& b = *block_;
    if (!b.suspects.empty()) settle();
    if (!size) return;
    const Place where = place(thread, address, size, access, pc);
    if (size > where.inside) {
        access_part(thread, address, where.inside, access | kUnaligned, pc, false);
        access_part(thread, address + where.inside, size - where.inside, access | kUnaligned, pc,
                    false);
        return;
    }
    if (!where.word.cell) return;
    size_t alignment = std::min<size_t>(size, 16);
    if (!(access & kUnaligned) && (size & (size - 1)) == 0 && address % alignment != 0)
        report("misaligned",
               format("%s of %zu bytes at an address that is %zu past a multiple of %zu",
                      verb(access), size, static_cast<size_t>(address % alignment), alignment),
               thread, address, pc);
    bool reads = (access & kAccessMask) != kWrite;
    bool writes = (access & kAccessMask) != kRead && !(access & kNoWrite);
    bool strong = access & kVolatile || (access & kAccessMask) == kAtomic;
    // In shared memory a volatile store hands nothing over without a fence: what older code did
    // within a warp is a race since warps no longer run in lockstep.
    if (where.shared && access & kVolatile && writes && !b.order.has_fenced(thread)) strong = false;
    Handovers& handovers = where.shared ? where.shared->handovers : handovers_;
    const bool hands_over = strong && !(access & kOfBarrier);
    if (hands_over && reads && !handovers.empty())
        for (uintptr_t word = word_of(address); word < address + size; word += kWord) {
            auto found = handovers.find(word);
            if (found != handovers.end()) b.order.acquire(thread, found->second);
        }
    auto kind = static_cast<uint8_t>((writes ? kWrites : 0) | (strong ? kStrong : 0) |
                                     (access & kVolatile ? kVolatileRecord : 0));
    Record me = record(thread, pc, kind, 0);
    Word at = where.word;
    Records& records = where.shared ? where.shared->records : records_;
    if (where.shared && where.shared != &b) visit(*where.shared, me, thread, address, pc);
    for (uintptr_t word = word_of(address); word < address + size; word += kWord, at.next()) {
        Cell& cell = *at.cell;
        const uint8_t mask = byte_mask(word, address, address + size);
        me.mask = mask;
        const bool clean = !kind && mask == kWholeWord;
        bool known = writes || where.initialised || (cell.initialised & mask) == mask;
        if (known && !(cell.pending & mask) && records.add_ordered(at, me, b.order, clean))
            cell.initialised |= me.mask;
        else
            check(at, me, where, certain, std::max(word, address), pc);
        if (!where.shared) touch(cell, me.mask, reads, writes);
    }
    if (hands_over && writes)
        for (uintptr_t word = word_of(address); word < address + size; word += kWord)
            b.order.release(thread, handovers, word, reads);
    b.log.add(thread, me.pc, address, size, access & kAccessMask, where.shared,
              access & kVolatile && !writes);
}

void Checker::touch(Cell& cell, uint8_t mask, bool reads, bool writes) {
    if (reads) {
        counters_.global_bytes_read += bytes_in(mask & ~cell.touched_read);
        cell.touched_read |= mask;
    }
    if (writes) {
        counters_.global_bytes_written += bytes_in(mask & ~cell.touched_write);
        cell.touched_write |= mask;
    }
}

void Checker::compare_and_swap(unsigned thread, const void* address, const void* expected,
                               size_t size, const void* pc) {
    settle();
    place(thread, reinterpret_cast<uintptr_t>(address), size, kAtomic, pc);  // may it be read?
    bool equal = std::memcmp(address, expected, size) == 0;
    access(thread, address, size, equal ? kAtomic : kAtomic | kNoWrite, pc);
}

Checker::Place Checker::place(unsigned thread, uintptr_t address, size_t size, int access,
                              const void* pc) {
    auto arena = reinterpret_cast<uintptr_t>(block_->worker->arena());
    if (address >= arena && address < arena + Worker::arena_size()) {
        if (!shared_variable(address - arena, size).second)
            out_of_bounds(thread, address, size, access, pc);
        return {shared_word(address), block_, false};
    }
    if (Worker* owner = block_->worker->peer(address)) {
        auto start = reinterpret_cast<uintptr_t>(owner->arena());
        if (!shared_variable(address - start, size).second)
            out_of_bounds(thread, address, size, access, pc);
        Block* block = block_of(owner);
        return {block->shared.at(address, start, Worker::arena_size()), block, false};
    }
    Memory::Piece* piece = memory_.find(address);
    if (!piece) {
        // Literals and `const` data of the kernel, whose ends nobody knows.
        if ((access & kAccessMask) == kRead && library_.is_read_only(address)) return {};
        out_of_bounds(thread, address, size, access, pc);
    }
    const Range& range = piece->range;
    if (range.internal) return {};
    size_t inside = range.base + range.size - address;
    if (size > inside) {
        if (!piece->open) out_of_bounds(thread, address, size, access, pc);
        return {{}, nullptr, true, inside};
    }
    if (range.constant) {
        if ((access & kAccessMask) == kRead) return {};
        report("out_of_bounds", format("%s of %zu bytes of constant memory", verb(access), size),
               thread, address, pc);
    }
    return {piece->cells.at(address, range.base, range.size), nullptr, range.initialised};
}

void Checker::check(Word word, const Record& me, const Place& where, bool certain,
                    uintptr_t address, const void* pc) {
    Cell& cell = *word.cell;
    Records& records = where.shared ? where.shared->records : records_;
    const Causality& order = block_->order;
    int access = !(me.kind & kWrites) ? kRead
                 : me.kind & kStrong && !(me.kind & kVolatileRecord) ? kAtomic : kWrite;
    if (cell.pending & me.mask) {
        const Record* copy = records.find(cell, cell.pending, [](const Record& r) {
            return (r.kind & kWrites) != 0;
        });
        report("async_copy",
               format("%s of bytes that an asynchronous copy by thread %u is still writing",
                      verb(access), copy ? copy->thread : me.thread),
               me.thread, address, pc, copy);
    }
    const Record* other = records.find(cell, me.mask, [&](const Record& r) {
        if (!conflict(r, me) || order.before(r, me.thread)) return false;
        if (r.thread >= kActors) return true;
        bool two_writes = r.kind & me.kind & kWrites && !((r.kind | me.kind) & kStrong);
        if (same_value_races_ || certain || !two_writes) return true;
        Suspect suspect{me, r, word_of(address), {}};
        std::memcpy(suspect.before, reinterpret_cast<const void*>(suspect.word), kWord);
        block_->suspects.push_back(suspect);
        return false;
    });
    if (other) block_->worker->fail(race(me, *other, address));
    // Held back until the next barrier: if another thread writes the bytes before it, the defect
    // is the missing barrier.
    if (access != kWrite && !where.initialised && (cell.initialised & me.mask) != me.mask &&
        !block_->unwritten)
        block_->unwritten = make_report("uninitialised",
                                        format("%s of %s memory that no thread has written",
                                               verb(access), where.shared ? "shared" : "global"),
                                        me.thread, address, pc);
    records.add(word, me, order);
    if (me.kind & kWrites) cell.initialised |= me.mask;
}

bool Checker::changed(const Suspect& suspect) {
    const auto* now = reinterpret_cast<const unsigned char*>(suspect.word);
    for (unsigned i = 0; i < kWord; ++i)
        if (suspect.me.mask & suspect.other.mask & 1u << i && now[i] != suspect.before[i])
            return true;
    return false;
}

void Checker::settle() {
    for (const Suspect& s : block_->suspects)
        if (changed(s)) block_->worker->fail(race(s.me, s.other, s.word));
    block_->suspects.clear();
}

void Checker::register_shared(const SharedVariable& variable) {
    for (const SharedVariable& known : variables_)
        if (known.offset == variable.offset) return;
    variables_.push_back(variable);
    size_t offset = kDynamicSpan + static_cast<size_t>(variable.offset);
    for (const auto& block : blocks_)
        std::memset(block->worker->arena() + offset, kPoison, variable.size);
}

std::pair<uintptr_t, size_t> Checker::shared_variable(uintptr_t offset, size_t size) const {
    size_t dynamic = block_->worker->launch().dynamic_shared;
    if (inside(offset, size, 0, dynamic)) return {0, dynamic};
    for (const SharedVariable& v : variables_) {
        uintptr_t begin = kDynamicSpan + static_cast<uintptr_t>(v.offset);
        if (inside(offset, size, begin, v.size)) return {begin, v.size};
    }
    return {0, 0};
}

// What `plain_access` is to remember of an instruction; null if it is not so plain.
const Checker::Near* Checker::find_near(uintptr_t address, size_t size, const void* pc) {
    Near& near = block_->near[reinterpret_cast<uintptr_t>(pc) % kNear];
    const Worker& worker = *block_->worker;
    auto arena = reinterpret_cast<uintptr_t>(worker.arena());
    if (address - arena < Worker::arena_size()) {
        auto [offset, extent] = shared_variable(address - arena, size);
        if (!extent) return nullptr;
        bool own = !worker.launch().clustered && !operations_;
        near = {arena + offset, extent, shared_word(arena + offset), true, own, false};
        return &near;
    }
    Memory::Piece* piece = memory_.find_plain(address, size);
    if (!piece) return nullptr;
    const Range& range = piece->range;
    near = {range.base, range.size, piece->cells.at(range.base, range.base, range.size), false, false,
            range.initialised};
    return &near;
}

// The words of `plain_access`.
bool Checker::plain_words(unsigned thread, Word word, size_t size, bool writes, const Near& near,
                          const void* pc) {
    const Causality& order = block_->order;
    const Record me = record(thread, pc, writes ? kWrites : 0, kWholeWord);
    const bool own = near.own && !block_->records.fences();
    for (size_t i = 0; i < size; i += kWord, word.next()) {
        Cell& cell = *word.cell;
        if (own && *word.tag >> 1 != order.epoch() && !cell.pending &&
            (writes || cell.initialised == kWholeWord))
            Records::begin_epoch(word, me, order);
        else if ((writes || !Records::add_lane(cell, me)) && !plain_word(word, me, near))
            return false;
    }
    return true;
}

// A word that needs a closer look.
bool Checker::plain_word(Word word, const Record& me, const Near& near) {
    Cell& cell = *word.cell;
    bool reads = !me.kind;
    if (cell.pending || (reads && !near.initialised && cell.initialised != kWholeWord)) return false;
    Records& records = near.shared ? block_->records : records_;
    if (!records.add_ordered(word, me, block_->order, reads)) return false;
    cell.initialised = kWholeWord;
    if (!near.shared) touch(cell, kWholeWord, reads, !reads);
    return true;
}

void Checker::release_memory(unsigned thread, void* pointer, const void* pc) {
    settle();
    auto address = reinterpret_cast<uintptr_t>(pointer);
    Range block;
    if (!pointer) return;
    if (!Heap::find(address, block) || block.base != address)
        report("out_of_bounds", "free of an address that malloc has not returned", thread, address,
               pc);
    // Whoever still uses it races with the release.
    access_part(thread, address, block.size, kWrite | kUnaligned, pc, true);
    memory_.forget(address);
    for (const auto& block_of_worker : blocks_)
        std::fill(std::begin(block_of_worker->near), std::end(block_of_worker->near), Near{});
    Heap::release(pointer);
}

}  // namespace pycnn_emu
