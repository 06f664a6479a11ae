#include "checker.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include <dlfcn.h>
#if defined(__linux__)
#include <link.h>
#endif

namespace pycnn_emu {

namespace {

constexpr size_t kWord = 4;
constexpr unsigned char kPoison = 0xff;  // reads as NaN in every floating type

const char* verb(Access access) {
    return access == kRead ? "read" : access == kWrite ? "write" : "atomic update";
}

uint8_t byte_mask(uintptr_t word, uintptr_t first, uintptr_t end) {
    uint8_t mask = 0;
    for (unsigned i = 0; i < kWord; ++i)
        if (word + i >= first && word + i < end) mask |= static_cast<uint8_t>(1u << i);
    return mask;
}

uint64_t bytes_in(uint8_t mask) { return static_cast<uint64_t>(__builtin_popcount(mask)); }

}  // namespace

Checker::Checker(std::vector<Range> ranges, const void* code) {
    std::sort(ranges.begin(), ranges.end(),
              [](const Range& a, const Range& b) { return a.base < b.base; });
    for (Range& range : ranges) {
        // One word more on each side: a range need not start or end on a word.
        void* cells = std::calloc(range.size / kWord + 2, sizeof(Cell));
        if (!cells) throw std::bad_alloc();
        global_.push_back(Shadow{range.base, range.size, range.initialised, std::move(range.label),
                                 static_cast<Cell*>(cells)});
    }
    shared_cells_ = static_cast<Cell*>(std::calloc(Worker::arena_size() / kWord, sizeof(Cell)));
    if (!shared_cells_) throw std::bad_alloc();
    Dl_info info;
    if (dladdr(code, &info)) library_base_ = reinterpret_cast<uintptr_t>(info.dli_fbase);
#if defined(__linux__)
    dl_iterate_phdr(
        [](dl_phdr_info* module, size_t, void* list) {
            for (int i = 0; i < module->dlpi_phnum; ++i) {
                const auto& segment = module->dlpi_phdr[i];
                if (segment.p_type != PT_LOAD) continue;
                uintptr_t base = module->dlpi_addr + segment.p_vaddr;
                static_cast<decltype(libraries_)*>(list)->emplace_back(base, base + segment.p_memsz);
            }
            return 0;
        },
        &libraries_);
#endif
}

Checker::~Checker() {
    for (Shadow& shadow : global_) std::free(shadow.cells);
    std::free(shared_cells_);
}

void Checker::begin_block(Worker& worker, uint64_t block) {
    worker_ = &worker;
    block_ = static_cast<uint32_t>(block);
    epoch_ = 1;
    thread_.assign(worker.threads(), Thread{});
    known_.assign(size_t{worker.threads()} * kWarp, 0);
    fenced_.assign(worker.threads(), false);
    acquired_.clear();
    unwritten_.reset();
    log_.begin(worker.threads());
    auto reset = [&](size_t offset, size_t size) {
        std::memset(shared_cells_ + offset / kWord, 0, (size + kWord - 1) / kWord * sizeof(Cell));
        std::memset(worker.arena() + offset, kPoison, size);
    };
    reset(0, worker.launch().dynamic_shared);
    for (const SharedVariable& variable : variables_)
        reset(kDynamicSpan + static_cast<size_t>(variable.offset), variable.size);
}

std::optional<Report> Checker::end_block() {
    log_.flush(counters_);
    return std::move(unwritten_);
}

void Checker::thread_exits(unsigned thread) { copy_wait(thread, 0); }

void Checker::barrier() {
    if (unwritten_) worker_->fail(*std::move(unwritten_));
    ++epoch_;
    ++counters_.barriers;
    log_.flush(counters_);
}

void Checker::warp_synchronised(unsigned warp, unsigned lanes) {
    std::vector<uint16_t> joined(kWarp, 0);
    for (unsigned lane = 0; lane < kWarp; ++lane) {
        if (!(lanes >> lane & 1)) continue;
        unsigned thread = warp * kWarp + lane;
        known(thread, lane) = ++thread_[thread].clock;
        for (unsigned other = 0; other < kWarp; ++other)
            joined[other] = std::max(joined[other], known(thread, other));
    }
    for (unsigned lane = 0; lane < kWarp; ++lane)
        if (lanes >> lane & 1)
            std::copy(joined.begin(), joined.end(),
                      known_.begin() + static_cast<std::ptrdiff_t>((warp * kWarp + lane) * kWarp));
}

Checker::Who Checker::who(unsigned thread, const void* pc) const {
    return Who{block_, epoch_, static_cast<uint32_t>(reinterpret_cast<uintptr_t>(pc) - library_base_),
               static_cast<uint16_t>(thread), thread_[thread].clock};
}

// Whether `before` certainly happened before `now`, whatever the schedule.
bool Checker::ordered(const Who& before, const Who& now) const {
    if (before.block != now.block)
        return before.block < acquired_.size() && acquired_[before.block];
    if (before.thread == now.thread || before.epoch < now.epoch) return true;
    if (before.thread / kWarp != now.thread / kWarp) return false;
    return known_[now.thread * kWarp + before.thread % kWarp] > before.clock;
}

void Checker::access(unsigned thread, const void* pointer, size_t size, Access access,
                     const void* pc) {
    auto address = reinterpret_cast<uintptr_t>(pointer);
    bool shared = false, initialised = true;
    Cell* cells = size ? cells_of(thread, address, size, access, pc, shared, initialised) : nullptr;
    if (!cells) return;
    size_t alignment = std::min<size_t>(size, 16);
    if ((size & (size - 1)) == 0 && address % alignment != 0)
        report("misaligned",
               format("%s of %zu bytes at an address that is %zu past a multiple of %zu",
                      verb(access), size, static_cast<size_t>(address % alignment), alignment),
               thread, address, pc);
    if (access == kAtomic && !shared) order_by_atomic(thread, address);
    Who me = who(thread, pc);
    for (uintptr_t word = address & ~uintptr_t{kWord - 1}; word < address + size; word += kWord) {
        uint8_t mask = byte_mask(word, address, address + size);
        check(*cells, mask, access, me, shared, initialised, std::max(word, address), pc);
        if (!shared) {
            if (access != kWrite) {
                counters_.global_bytes_read += bytes_in(mask & ~cells->touched_read);
                cells->touched_read |= mask;
            }
            if (access != kRead) {
                counters_.global_bytes_written += bytes_in(mask & ~cells->touched_write);
                cells->touched_write |= mask;
            }
        }
        ++cells;
    }
    log_.add(thread, me.pc, address, static_cast<unsigned>(size), access, shared);
}

Checker::Cell* Checker::cells_of(unsigned thread, uintptr_t address, size_t size, Access access,
                                 const void* pc, bool& shared, bool& initialised) {
    auto arena = reinterpret_cast<uintptr_t>(worker_->arena());
    if (address >= arena && address < arena + Worker::arena_size()) {
        if (!in_shared_variable(address - arena, size))
            out_of_bounds(thread, address, size, access, pc);
        shared = true;
        initialised = false;
        return shared_cells_ + (address - arena) / kWord;
    }
    Shadow* shadow = find_global(address);
    if (!shadow && in_library(address)) return nullptr;  // __constant__ and literals
    if (!shadow || address + size > shadow->base + shadow->size)
        out_of_bounds(thread, address, size, access, pc);
    initialised = shadow->initialised;
    return shadow->cells + (address / kWord - shadow->base / kWord);
}

void Checker::check(Cell& cell, uint8_t mask, Access access, const Who& me, bool shared,
                    bool initialised, uintptr_t address, const void* pc) {
    if (cell.pending & mask)
        report("async_copy",
               format("%s of bytes that an asynchronous copy by thread %u is still writing",
                      verb(access), cell.write.thread),
               me.thread, address, pc, &cell.write);
    bool both_atomic = access == kAtomic && (cell.atomic & mask) == (cell.written & mask);
    if (cell.written & mask && !both_atomic && !ordered(cell.write, me))
        race(verb(access), cell.atomic & mask ? "atomic update" : "write", me, cell.write, address,
             pc);
    if (access != kRead) {
        if (cell.readers & mask && !ordered(cell.read, me))
            race(verb(access), "read", me, cell.read, address, pc);
        if (cell.readers2 & mask && !ordered(cell.read2, me))
            race(verb(access), "read", me, cell.read2, address, pc);
    }
    // Held back until the next barrier: if another thread writes the bytes before it, the defect
    // is the missing barrier.
    if (access != kWrite && !initialised && (cell.initialised & mask) != mask && !unwritten_)
        unwritten_ = make_report("uninitialised",
                                 format("%s of %s memory that no thread has written", verb(access),
                                        shared ? "shared" : "global"),
                                 me.thread, address, pc);

    if (access == kRead) {
        // The first reader is kept while it is concurrent: it is the one a later write by the
        // second reader would race with.
        if (!cell.readers || ordered(cell.read, me)) {
            cell.read = me;
            cell.readers = mask;
        } else {
            cell.read2 = me;
            cell.readers2 = mask;
        }
        return;
    }
    cell.write = me;
    cell.written = mask;
    cell.atomic = access == kAtomic ? mask : 0;
    cell.initialised |= mask;
}

// A block that has fenced and then updates an atomic hands what it wrote to every block that
// updates the same atomic later: the "last block finishes" pattern.
void Checker::order_by_atomic(unsigned thread, uintptr_t address) {
    auto found = released_.find(address);
    if (found != released_.end()) {
        const auto& blocks = found->second;
        if (acquired_.size() < blocks.size()) acquired_.resize(blocks.size());
        for (size_t i = 0; i < blocks.size(); ++i)
            if (blocks[i]) acquired_[i] = true;
    }
    if (!fenced_[thread]) return;
    auto& blocks = released_[address];
    if (blocks.size() <= block_) blocks.resize(size_t{block_} + 1);
    blocks[block_] = true;
    for (size_t i = 0; i < acquired_.size(); ++i)
        if (acquired_[i]) {
            if (blocks.size() <= i) blocks.resize(i + 1);
            blocks[i] = true;
        }
}

void Checker::fence(unsigned thread) { fenced_[thread] = true; }

void Checker::copy_async(unsigned thread, void* shared, const void* global, size_t size,
                         size_t source_size, const void* pc) {
    if (source_size) access(thread, global, source_size, kRead, pc);
    access(thread, shared, size, kWrite, pc);
    Copy copy{shared, std::vector<char>(size, 0), pc};
    std::memcpy(copy.bytes.data(), global, source_size);
    thread_[thread].open.push_back(std::move(copy));
    auto base = reinterpret_cast<uintptr_t>(worker_->arena());
    auto address = reinterpret_cast<uintptr_t>(shared);
    for (uintptr_t word = address; word < address + size; word += kWord)
        shared_cells_[(word - base) / kWord].pending = byte_mask(word, address, address + size);
}

void Checker::copy_commit(unsigned thread) {
    thread_[thread].groups.push_back(std::move(thread_[thread].open));
    thread_[thread].open.clear();
}

void Checker::copy_wait(unsigned thread, size_t groups_in_flight) {
    auto& groups = thread_[thread].groups;
    while (groups.size() > groups_in_flight) {
        complete(thread, groups.front());
        groups.erase(groups.begin());
    }
}

void Checker::complete(unsigned thread, std::vector<Copy>& copies) {
    auto base = reinterpret_cast<uintptr_t>(worker_->arena());
    for (Copy& copy : copies) {
        std::memcpy(copy.shared, copy.bytes.data(), copy.bytes.size());
        auto address = reinterpret_cast<uintptr_t>(copy.shared);
        for (uintptr_t word = address; word < address + copy.bytes.size(); word += kWord) {
            Cell& cell = shared_cells_[(word - base) / kWord];
            cell.pending = 0;
            cell.write = who(thread, copy.pc);
        }
    }
}

void Checker::register_shared(const SharedVariable& variable) {
    for (const SharedVariable& known : variables_)
        if (known.offset == variable.offset) return;
    variables_.push_back(variable);
    size_t offset = kDynamicSpan + static_cast<size_t>(variable.offset);
    std::memset(worker_->arena() + offset, kPoison, variable.size);
}

bool Checker::in_shared_variable(uintptr_t offset, size_t size) const {
    if (offset < kDynamicSpan) return offset + size <= worker_->launch().dynamic_shared;
    offset -= kDynamicSpan;
    for (const SharedVariable& v : variables_) {
        auto begin = static_cast<size_t>(v.offset);
        if (offset >= begin && offset + size <= begin + v.size) return true;
    }
    return false;
}

bool Checker::in_library(uintptr_t address) const {
    for (const auto& [begin, end] : libraries_)
        if (address >= begin && address < end) return true;
    return false;
}

Checker::Shadow* Checker::find_global(uintptr_t address) {
    auto holds = [&](const Shadow& s) { return address >= s.base && address < s.base + s.size; };
    if (last_ < global_.size() && holds(global_[last_])) return &global_[last_];
    auto after = std::upper_bound(global_.begin(), global_.end(), address,
                                  [](uintptr_t a, const Shadow& s) { return a < s.base; });
    if (after == global_.begin() || !holds(*(after - 1))) return nullptr;
    last_ = static_cast<size_t>(after - 1 - global_.begin());
    return &global_[last_];
}

// What lies at or nearest below or above an address, in words.
std::string Checker::array_at(uintptr_t address) const {
    auto arena = reinterpret_cast<uintptr_t>(worker_->arena());
    struct Candidate {
        uintptr_t begin;
        size_t size;
        std::string label;
    };
    std::vector<Candidate> candidates;
    if (address >= arena && address < arena + Worker::arena_size()) {
        size_t dynamic = worker_->launch().dynamic_shared;
        if (address < arena + kDynamicSpan || variables_.empty())
            candidates.push_back({arena, dynamic, format("shared array %s (dynamic, %zu bytes)",
                                                         dynamic_name_, dynamic)});
        for (const SharedVariable& v : variables_)
            candidates.push_back({arena + kDynamicSpan + static_cast<uintptr_t>(v.offset), v.size,
                                  format("shared array %s (%zu bytes, %s:%d)", v.name, v.size,
                                         v.file, v.line)});
    } else {
        for (const Shadow& s : global_) candidates.push_back({s.base, s.size, s.label});
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
        return format("%zu bytes before %s", static_cast<size_t>(best->begin - address),
                      best->label.c_str());
    size_t past = address - best->begin;
    if (past >= best->size)
        return format("%zu bytes past the end of %s", past - best->size, best->label.c_str());
    return format("byte %zu of %s", past, best->label.c_str());
}

void Checker::out_of_bounds(unsigned thread, uintptr_t address, size_t size, Access access,
                            const void* pc) {
    if (address < 4096)
        report("out_of_bounds", format("%s of %zu bytes through a null pointer", verb(access), size),
               thread, address, pc);
    report("out_of_bounds", format("%s of %zu bytes out of bounds", verb(access), size), thread,
           address, pc);
}

void Checker::race(const char* mine, const char* theirs, const Who& me, const Who& other,
                   uintptr_t address, const void* pc) {
    const char* scope = me.block == other.block
                            ? "with no barrier between them"
                            : "in different blocks, which nothing orders";
    report("race",
           format("%s by thread %u after a %s by thread %u, %s", mine, me.thread, theirs,
                  other.thread, scope),
           me.thread, address, pc, &other);
}

void Checker::report(const char* kind, std::string message, unsigned thread, uintptr_t address,
                     const void* pc, const Who* other) {
    worker_->fail(make_report(kind, std::move(message), thread, address, pc, other));
}

Report Checker::make_report(const char* kind, std::string message, unsigned thread,
                            uintptr_t address, const void* pc, const Who* other) const {
    Report report;
    report.kind = kind;
    report.message = std::move(message);
    report.array = array_at(address);
    report.where = at(pc);
    report.thread = static_cast<int>(thread);
    report.address = reinterpret_cast<const void*>(address);
    if (other) {
        const dim3& grid = worker_->launch().grid;
        report.other = at(reinterpret_cast<const void*>(library_base_ + other->pc));
        report.other_thread = other->thread;
        report.other_block = uint3{other->block % grid.x, other->block / grid.x % grid.y,
                                   other->block / grid.x / grid.y};
    }
    return report;
}

}  // namespace pycnn_emu
