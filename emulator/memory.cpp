#include "memory.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>

#include "report.h"

namespace pycnn_emu {

namespace {

constexpr size_t kGap = 64;                     // free bytes on both sides of a block of the heap
constexpr uintptr_t kChunk = uintptr_t{1} << 20;  // shadow of open memory is made in such pieces

struct Block {
    size_t size;
    uint64_t launch;
};
std::mutex heap_mutex;
std::map<uintptr_t, Block> heap;
uint64_t launch_number = 0;

struct Mapping {
    uintptr_t begin = 0, end = 0;
};

// The mapping of this process that holds `address`, if it can be read. What cannot is kept free on
// purpose: guard pages, and what a sanitizer reserves.
Mapping mapping_of(uintptr_t address) {
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
        Mapping m;
        char readable = 0;
        if (std::sscanf(line.c_str(), "%zx-%zx %c", &m.begin, &m.end, &readable) != 3) break;
        if (address >= m.begin && address < m.end) return readable == 'r' ? m : Mapping{};
    }
    return {};
}

}  // namespace

void* Heap::allocate(size_t size) {
    if (size > SIZE_MAX / 2) return nullptr;
    auto* memory = static_cast<char*>(std::malloc(size + 2 * kGap));
    if (!memory) return nullptr;
    std::memset(memory, 0xff, size + 2 * kGap);
    std::lock_guard<std::mutex> lock(heap_mutex);
    heap[reinterpret_cast<uintptr_t>(memory + kGap)] = Block{size, launch_number};
    return memory + kGap;
}

bool Heap::release(void* pointer) {
    std::lock_guard<std::mutex> lock(heap_mutex);
    if (heap.erase(reinterpret_cast<uintptr_t>(pointer)) == 0) return false;
    std::free(static_cast<char*>(pointer) - kGap);
    return true;
}

bool Heap::find(uintptr_t address, Range& range) {
    std::lock_guard<std::mutex> lock(heap_mutex);
    auto after = heap.upper_bound(address);
    if (after == heap.begin()) return false;
    const auto& [base, block] = *--after;
    if (address >= base + block.size) return false;
    range = Range{base, block.size, block.launch != launch_number,
                  format("%zu bytes from malloc", block.size)};
    return true;
}

void Heap::next_launch() {
    std::lock_guard<std::mutex> lock(heap_mutex);
    ++launch_number;
}

Memory::Memory(std::vector<Range> ranges, std::vector<uintptr_t> numbers,
               const LibraryMap& library)
    : numbers_(std::move(numbers)) {
    for (const Variable& v : library.variables)
        ranges.push_back(Range{v.base, v.size, true,
                               format("%s %s (%zu bytes)",
                                      v.constant ? "__constant__" : "__device__", v.name.c_str(),
                                      v.size),
                               v.constant, v.internal});
    std::sort(ranges.begin(), ranges.end(),
              [](const Range& a, const Range& b) { return a.base < b.base; });
    pieces_.reserve(ranges.size());
    for (Range& range : ranges) pieces_.push_back(Piece{std::move(range), {}, false});
}

Memory::Piece* Memory::find(uintptr_t address) {
    if (Piece* piece = known(address)) return piece;
    Range range;
    if (Heap::find(address, range)) return insert(std::move(range));
    return numbers_.empty() ? nullptr : open_at(address);
}

Memory::Piece* Memory::known(uintptr_t address) {
    auto holds = [&](const Piece& p) {
        return address >= p.range.base && address < p.range.base + p.range.size;
    };
    if (last_ < pieces_.size() && holds(pieces_[last_])) return &pieces_[last_];
    auto after = std::upper_bound(pieces_.begin(), pieces_.end(), address,
                                  [](uintptr_t a, const Piece& p) { return a < p.range.base; });
    if (after == pieces_.begin() || !holds(*(after - 1))) return nullptr;
    last_ = static_cast<size_t>(after - 1 - pieces_.begin());
    return &pieces_[last_];
}

Memory::Piece* Memory::insert(Range range, bool open) {
    auto at = std::upper_bound(pieces_.begin(), pieces_.end(), range.base,
                               [](uintptr_t a, const Piece& p) { return a < p.range.base; });
    at = pieces_.insert(at, Piece{std::move(range), {}, open});
    last_ = static_cast<size_t>(at - pieces_.begin());
    return &*at;
}

void Memory::forget(uintptr_t base) {
    auto at = std::find_if(pieces_.begin(), pieces_.end(),
                           [&](const Piece& p) { return p.range.base == base; });
    if (at != pieces_.end()) pieces_.erase(at);
    last_ = pieces_.size();
}

// A piece around `address`, if it lies in a mapping that one of the numbers points into, and
// nowhere near an array that is known.
Memory::Piece* Memory::open_at(uintptr_t address) {
    auto near = [&](const Piece& p) {
        return address + p.range.guard >= p.range.base &&
               address < p.range.base + p.range.size + p.range.guard;
    };
    if (std::any_of(pieces_.begin(), pieces_.end(), near)) return nullptr;
    Mapping mapping = mapping_of(address);
    bool pointed = std::any_of(numbers_.begin(), numbers_.end(), [&](uintptr_t n) {
        return n >= mapping.begin && n < mapping.end;
    });
    if (!pointed) return nullptr;
    uintptr_t begin = std::max(mapping.begin, address & ~(kChunk - 1));
    uintptr_t end = std::min(mapping.end, (address & ~(kChunk - 1)) + kChunk);
    for (const Piece& p : pieces_) {
        uintptr_t first = p.range.base - p.range.guard;
        uintptr_t past = p.range.base + p.range.size + p.range.guard;
        if (past <= address) begin = std::max(begin, past);
        if (first > address) end = std::min(end, first);
    }
    return insert(Range{begin, end - begin, true, "memory whose address was passed as a number"},
                  true);
}

}  // namespace pycnn_emu
