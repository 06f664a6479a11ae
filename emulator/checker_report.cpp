// Reports of the checker: what lies at an address, and who was there before.
#include "access.h"
#include "checker.h"

namespace pycnn_emu {

std::string Checker::array_at(uintptr_t address) const {
    const Worker* owner = block_->worker->peer(address);
    auto arena = reinterpret_cast<uintptr_t>((owner ? owner : block_->worker)->arena());
    auto of_block = [&](std::string text) {
        if (!owner) return text;
        const uint3& at = owner->index();
        return text + format(" of block (%u, %u, %u)", at.x, at.y, at.z);
    };
    struct Candidate {
        uintptr_t begin;
        size_t size;
        std::string label;
    };
    std::vector<Candidate> candidates;
    if (address >= arena && address < arena + Worker::arena_size()) {
        size_t dynamic = block_->worker->launch().dynamic_shared;
        if (address < arena + kDynamicSpan || variables_.empty())
            candidates.push_back({arena, dynamic, format("shared array %s (dynamic, %zu bytes)",
                                                         dynamic_name_, dynamic)});
        for (const SharedVariable& v : variables_)
            candidates.push_back({arena + kDynamicSpan + static_cast<uintptr_t>(v.offset), v.size,
                                  format("shared array %s (%zu bytes, %s:%d)", v.name, v.size,
                                         v.file, v.line)});
    } else {
        for (const Memory::Piece& p : memory_.pieces())
            if (!p.range.internal) candidates.push_back({p.range.base, p.range.size, p.range.label});
    }
    auto distance = [&](const Candidate& c) {
        return address < c.begin ? c.begin - address
               : address >= c.begin + c.size ? address - (c.begin + c.size) + 1 : 0;
    };
    const Candidate* best = nullptr;
    for (const Candidate& c : candidates)
        if (!best || distance(c) < distance(*best)) best = &c;
    if (!best) return "no array";
    if (address < best->begin)
        return of_block(format("%zu bytes before %s", static_cast<size_t>(best->begin - address),
                               best->label.c_str()));
    size_t past = address - best->begin;
    if (past >= best->size)
        return of_block(
            format("%zu bytes past the end of %s", past - best->size, best->label.c_str()));
    return of_block(format("byte %zu of %s", past, best->label.c_str()));
}

void Checker::out_of_bounds(unsigned thread, uintptr_t address, size_t size, int access,
                            const void* pc) {
    const char* how = address < 4096 ? "through a null pointer" : "out of bounds";
    report("out_of_bounds", format("%s of %zu bytes %s", verb(access), size, how), thread, address,
           pc);
}

// Of lanes that did alike, the first that `thread` knows nothing of.
Record Checker::unordered(const Record& other, unsigned thread) const {
    Record one = other;
    if (other.thread >= kActors) return one;
    for (uint32_t rest = other.lanes; rest; rest &= rest - 1) {
        auto lane = static_cast<unsigned>(__builtin_ctz(rest));
        one.lanes = 1u << lane;
        one.thread = static_cast<uint16_t>(other.thread / kWarp * kWarp + lane);
        if (!block_->order.before(one, thread)) return one;
    }
    return other;
}

Report Checker::race(const Record& me, const Record& lanes, uintptr_t address) const {
    const Record other = unordered(lanes, me.thread);
    if (other.thread >= kActors) return operation_report(me, other, address, address_of(me));
    const char* scope = me.block == other.block
                            ? "with no barrier between them"
                            : "in different blocks, which nothing orders";
    return make_report("race",
                       format("%s by thread %u after a %s by thread %u, %s", verb(me), me.thread,
                              verb(other), other.thread, scope),
                       me.thread, address, address_of(me), &other);
}

void Checker::report(const char* kind, std::string message, unsigned thread, uintptr_t address,
                     const void* pc, const Record* other) {
    block_->worker->fail(make_report(kind, std::move(message), thread, address, pc, other));
}

Report Checker::make_report(const char* kind, std::string message, unsigned thread,
                            uintptr_t address, const void* pc, const Record* other) const {
    Report report;
    report.kind = kind;
    report.message = std::move(message);
    report.array = array_at(address);
    report.where = at(pc);
    report.thread = static_cast<int>(thread);
    report.address = reinterpret_cast<const void*>(address);
    if (other) {
        const dim3& grid = block_->worker->launch().grid;
        report.other = at(address_of(*other));
        report.other_thread = static_cast<int>(thread_of(*other));
        report.other_block = uint3{other->block % grid.x, other->block / grid.x % grid.y,
                                   other->block / grid.x / grid.y};
    }
    return report;
}

}  // namespace pycnn_emu
