// cp.async.bulk.tensor as compiled PTX calls it.
#include <cstring>

#include "ptx_calls.h"
#include "tensor_map.h"
#include "units.h"

namespace pycnn_emu {

namespace {

constexpr uint32_t kAlignment = 128;  // of a box in shared memory

// `code`: the rank, and from bit 4 on how it is read; see pycnn/emulator/ptx/tensor.py.
enum Code : uint32_t { kRank = 15, kIm2col = 16 };

// What a map that a kernel made or changed itself may have that means nothing, or is not there.
const char* fault_of(const TensorMap& map) {
    if (map.interleave) return "interleaved layout, which is not there";
    if (map.swizzle > 3) return "a swizzle that is none of 0 to 3";
    if (map.type > TensorMap::kLastType) return "elements of no type";
    for (unsigned d = 0; d < map.rank; ++d)
        if (map.steps[d] < 1 || map.steps[d] > 8) return "an element stride that is none of 1 to 8";
    for (unsigned d = 0; d < (map.im2col ? 2u : map.rank); ++d)
        if (!map.box[d]) return "a box without elements";
    return nullptr;
}

TensorMap map_at(uint64_t address, uint32_t code, uint32_t site) {
    if (address % 64)
        fail("misaligned", format("a tensor map at an address that is %u past a multiple of 64",
                                  static_cast<unsigned>(address % 64)), site);
    ptx_access(pycnn_emu_self, address, sizeof(TensorMap), kPtxRead, site);
    TensorMap map;
    std::memcpy(&map, reinterpret_cast<const void*>(address), sizeof(map));
    if (map.magic != TensorMap::kMagic)
        fail("assertion", "no tensor map: pycnn.emulator.tensor_map makes those for the emulator",
             site);
    if (map.rank != (code & kRank))
        fail("assertion", format("a copy of %u dimensions by a tensor map of %u", code & kRank,
                                 map.rank), site);
    if (map.im2col != ((code & kIm2col) != 0))
        fail("assertion", format("a copy %s by a tensor map that is %s",
                                 code & kIm2col ? "of .im2col" : "of a tile",
                                 map.im2col ? "of im2col" : "tiled"), site);
    if (const char* fault = fault_of(map))
        fail("assertion", format("a tensor map with %s", fault), site);
    return map;
}

// `numbers`: coordinates, innermost first, then offsets.
Box box_of(const int32_t* numbers) {
    Box box;
    for (unsigned d = 0; d < TensorMap::kMostRank; ++d) box.at[d] = numbers[d];
    for (unsigned d = 0; d < TensorMap::kMostRank - 2; ++d)
        box.offset[d] = numbers[TensorMap::kMostRank + d];
    return box;
}

void need_aligned(uint64_t shared, uint32_t site) {
    if (shared % kAlignment)
        fail("misaligned", format("a box in shared memory at an address that is %u past a multiple "
                                  "of 128", static_cast<unsigned>(shared % kAlignment)), site);
}

void load(uint64_t to, uint64_t map_address, const int32_t* numbers, uint64_t barrier, uint32_t mask,
          uint32_t code, uint32_t site) {
    need_aligned(to, site);
    TensorMap map = map_at(map_address, code, site);
    Pieces pieces = pieces_of(map, box_of(numbers), to, false);
    if (Worker::current()->checker())
        Worker::current()->units().wgmma.loaded(site, map.swizzle ? 16u << map.swizzle : 0);
    uint32_t bytes = 0;
    for (const Piece& piece : pieces) bytes += piece.size;
    std::vector<Target> targets;
    for (auto [there, signal] : in_blocks(to, barrier, mask, site)) {
        Pieces moved = pieces;
        for (Piece& piece : moved) piece.to += there - to;
        targets.push_back({std::move(moved), {signal, bytes}});
    }
    bulk_load(std::move(targets), map.filling(), Reduce::kCopy,
              map.rounds() ? Number::kTf32 : Number::kU32, true, site);
}

void store(uint64_t map_address, const int32_t* numbers, uint64_t from, uint32_t operation,
           uint32_t code, uint32_t site) {
    need_aligned(from, site);
    TensorMap map = map_at(map_address, code, site);
    if (operation && map.element() < 4 && map.number() == Number::kU32)
        fail("assertion", "a reduction of a tensor of 8 or 16-bit integers", site);
    bulk_store(pieces_of(map, box_of(numbers), from, true), static_cast<Reduce>(operation),
               map.number(), site);
}

}  // namespace

const std::vector<Function>& tensor_functions() {
    static const std::vector<Function> table = {
        {"tensor_load", address(load)},
        {"tensor_store", address(store)},
    };
    return table;
}

}  // namespace pycnn_emu
