// The asynchronous proxy in the race detector: operations that were issued and run beside the threads.
#include <algorithm>

#include "access.h"
#include "checker.h"

namespace pycnn_emu {

Operation Checker::issue(std::vector<uint16_t> issuers, const void* pc) {
    settle();
    records_.fences_used();
    block_->records.fences_used();
    Operation operation{block_->order.begin_actor(issuers.front()), std::move(issuers), pc};
    if (!operation.record.mask) {
        Report report;
        report.kind = "limit";
        report.message = "more asynchronous operations that nobody waits for than can be followed";
        report.where = at(pc);
        block_->worker->fail(std::move(report));
    }
    operation.record.pc =
        static_cast<uint32_t>(reinterpret_cast<uintptr_t>(pc) - library_base_);
    size_t actor = operation.record.thread - kActors;
    if (block_->issuers.size() <= actor) block_->issuers.resize(actor + 1);
    block_->issuers[actor] = operation.issuers.front();
    return operation;
}

void Checker::must_end(const Operation& operation) {
    size_t actor = operation.record.thread - kActors;
    auto& all = block_->to_end;
    if (all.size() <= actor) all.resize(actor + 1, Operation{Record{}, {}, nullptr});
    all[actor] = operation;
}

// Another block uses the shared memory of `owner`, which must still be there.
void Checker::visit(Block& owner, const Record& record, unsigned thread, uintptr_t address,
                    const void* pc) {
    if (owner.ended)
        report("out_of_bounds", "access to the shared memory of a block that has exited", thread,
               address, pc);
    uint64_t who = uint64_t{record.block} << 16 | record.thread;
    owner.visits[who] = {record, address};
}

// At the end of a block: what uses its shared memory, and no thread of it has waited for.
std::optional<Report> Checker::unfinished() const {
    const Causality& order = block_->order;
    auto known = [&](const Record& record) {
        for (unsigned t = 0; t < block_->worker->threads(); ++t)
            if (order.before(record, t)) return true;
        return false;
    };
    for (const Operation& operation : block_->to_end)
        if (operation.pc && !known(operation.record)) {
            Report report;
            report.kind = "async_copy";
            report.message = "the block ends while an asynchronous operation uses its shared memory: "
                             "nobody has waited for it";
            report.where = at(operation.pc);
            report.thread = operation.issuers.front();
            return report;
        }
    for (const auto& [who, visit] : block_->visits)
        if (!known(visit.record))
            return make_report("race",
                               format("a %s by thread %u of another block of the cluster, which this "
                                      "block does not wait for before it exits",
                                      verb(visit.record), thread_of(visit.record)),
                               0, visit.address, address_of(visit.record), &visit.record);
    return std::nullopt;
}

void Checker::operation_access(const Operation& operation, const void* pointer, size_t size,
                               int access) {
    auto address = reinterpret_cast<uintptr_t>(pointer);
    unsigned issuer = operation.issuers.front();
    while (size) {
        Place where = place(issuer, address, size, access, operation.pc);
        size_t part = std::min(size, where.inside);
        if (where.inside < size) where = place(issuer, address, part, access, operation.pc);
        if (!where.word.cell) return;
        bool reads = (access & kAccessMask) != kWrite, writes = (access & kAccessMask) != kRead;
        Record me = operation.record;
        me.kind = static_cast<uint8_t>((writes ? kWrites : 0) |
                                       ((access & kAccessMask) == kAtomic ? kStrong : 0));
        if (where.shared && where.shared != block_)
            visit(*where.shared, me, issuer, address, operation.pc);
        Word at = where.word;
        for (uintptr_t word = word_of(address); word < address + part; word += kWord, at.next()) {
            me.mask = byte_mask(word, address, address + part);
            check_operation(at, operation, me, where, std::max(word, address),
                            (access & kFenced) != 0);
            if (!where.shared) touch(*at.cell, me.mask, reads, writes);
        }
        address += part;
        size -= part;
    }
}

uint32_t Checker::loader(uintptr_t address) {
    Record* writer = block_->records.find(*shared_word(word_of(address)).cell, 1, [](const Record& r) {
        return (r.kind & kWrites) != 0;
    });
    bool asynchronous = writer && writer->thread >= kActors;
    return asynchronous ? static_cast<uint32_t>(
                              reinterpret_cast<uintptr_t>(address_of(*writer)))
                        : 0;
}

void Checker::check_operation(Word word, const Operation& operation, const Record& me,
                              const Place& where, uintptr_t address, bool is_fenced) {
    Cell& cell = *word.cell;
    Records& records = where.shared ? where.shared->records : records_;
    const Causality& order = block_->order;
    int access = !(me.kind & kWrites) ? kRead : me.kind & kStrong ? kAtomic : kWrite;
    unsigned issuer = operation.issuers.front();
    auto before = [&](const Record& r) {
        return std::all_of(operation.issuers.begin(), operation.issuers.end(),
                           [&](unsigned thread) { return order.before(r, thread); });
    };
    // What a thread wrote is there for the asynchronous proxy only behind a proxy fence.
    auto fenced = [&](const Record& r) {
        return is_fenced || r.thread >= kActors || !(r.kind & kWrites) || r.kind & kStrong ||
               std::all_of(operation.issuers.begin(), operation.issuers.end(),
                           [&](unsigned thread) { return order.fenced_before(r, thread); });
    };
    if (cell.pending & me.mask)
        report("async_copy",
               format("%s by an asynchronous operation of bytes that a cp.async is still writing",
                      verb(access)),
               issuer, address, operation.pc);
    const Record* other = records.find(cell, me.mask, [&](const Record& r) {
        return conflict(r, me) && !(before(r) && fenced(r));
    });
    if (other && before(*other))
        report("proxy_fence",
               format("%s by an asynchronous operation of bytes that thread %u has written, with no "
                      "fence.proxy.async between",
                      verb(access), other->thread),
               issuer, address, operation.pc, other);
    if (other) {
        auto unaware = std::find_if(operation.issuers.begin(), operation.issuers.end(),
                                    [&](unsigned thread) { return !order.before(*other, thread); });
        Report report =
            operation_report(me, unordered(*other, *unaware), address, operation.pc);
        if (*unaware != issuer)
            report.message += format(" for thread %u, which issues it too", *unaware);
        block_->worker->fail(std::move(report));
    }
    if (access != kWrite && !where.initialised && (cell.initialised & me.mask) != me.mask)
        report("uninitialised",
               format("%s by an asynchronous operation of %s memory that nobody has written",
                      verb(access), where.shared ? "shared" : "global"),
               issuer, address, operation.pc);
    records.add(word, me, order, issuer);
    if (me.kind & kWrites) cell.initialised |= me.mask;
}

unsigned Checker::thread_of(const Record& record) const {
    if (record.thread < kActors) return record.thread;
    size_t actor = record.thread - kActors;
    for (const auto& block : blocks_)
        if (block->index == record.block && actor < block->issuers.size())
            return block->issuers[actor];
    return 0;
}

// Of two accesses that nothing orders, where one of them is an operation's.
Report Checker::operation_report(const Record& me, const Record& other, uintptr_t address,
                                 const void* pc) const {
    auto who = [&](const Record& record) {
        return format(record.thread >= kActors ? "an asynchronous operation of thread %u" : "thread %u",
                      thread_of(record));
    };
    bool unfinished = other.thread >= kActors;
    std::string message =
        unfinished ? format("%s by %s of bytes that %s %s, before that was waited for", verb(me),
                            who(me).c_str(), who(other).c_str(),
                            other.kind & kWrites ? "writes" : "reads")
                   : format("%s by %s after a %s by %s, with nothing that orders them", verb(me),
                            who(me).c_str(), verb(other), who(other).c_str());
    return make_report(unfinished ? "async_copy" : "race", std::move(message), thread_of(me), address,
                       pc, &other);
}

}  // namespace pycnn_emu
