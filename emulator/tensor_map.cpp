#include "tensor_map.h"

#include <algorithm>

namespace pycnn_emu {

namespace {

constexpr uint32_t kChunk = 16;  // what a swizzle moves

// As CUtensorMapDataType numbers the types.
enum Type : uint8_t { kU8, kU16, kU32, kS32, kU64, kS64, kF16, kF32, kF64, kBf16, kF32Ftz, kTf32,
                      kTf32Ftz };

// Chunks of 16 bytes change places within 32, 64 or 128 bytes, by the address of their row.
uintptr_t swizzled(uintptr_t address, unsigned swizzle) {
    uintptr_t rows = address >> 7 & ((1u << swizzle) - 1);
    return address ^ rows << 4;
}

// Collects pieces, one row of elements after another.
class Rows {
public:
    Rows(const TensorMap& map, uintptr_t shared, bool store)
        : map_(map), element_(map.element()), at_(shared), store_(store) {}

    // `count` elements from `first` on in the innermost dimension of the row that begins at `row`, 0
    // for one beyond the tensor.
    void add(uintptr_t row, int64_t first, int64_t count) {
        int64_t begin = row ? std::clamp<int64_t>(-first, 0, count) : count;
        int64_t end = row ? std::clamp<int64_t>(map_.extent(0) - first, begin, count) : count;
        put(0, begin);
        put(row + static_cast<uintptr_t>(first + begin) * element_, end - begin);
        put(0, count - end);
    }
    Pieces take() { return std::move(pieces_); }

private:
    void put(uintptr_t from, int64_t count) {
        auto size = static_cast<uint32_t>(count) * element_;
        while (size) {
            uint32_t part =
                map_.swizzle ? std::min<uint32_t>(size, kChunk - at_ % kChunk) : size;
            uintptr_t shared = swizzled(at_, map_.swizzle);
            if (!store_)
                pieces_.push_back({shared, from, part});
            else if (from)
                pieces_.push_back({from, shared, part});
            if (from) from += part;
            at_ += part;
            size -= part;
        }
    }

    const TensorMap& map_;
    const uint32_t element_;
    uintptr_t at_;
    const bool store_;
    Pieces pieces_;
};

// Where the row of these coordinates begins; 0 beyond the tensor.
uintptr_t row_at(const TensorMap& map, const int64_t* at) {
    uintptr_t row = map.address;
    for (unsigned d = 1; d < map.rank; ++d) {
        if (at[d] < 0 || at[d] >= map.extent(d)) return 0;
        row += static_cast<uintptr_t>(at[d]) * map.strides[d - 1];
    }
    return row;
}

void add_tile(Rows& rows, const TensorMap& map, const Box& box) {
    int64_t count[TensorMap::kMostRank], index[TensorMap::kMostRank] = {}, total = 1;
    for (unsigned d = 0; d < map.rank; ++d) {
        int64_t step = d ? map.steps[d] : 1;
        count[d] = (map.box[d] + step - 1) / step;
        if (d) total *= count[d];
    }
    for (int64_t i = 0; i < total; ++i) {
        int64_t at[TensorMap::kMostRank];
        for (unsigned d = 1; d < map.rank; ++d) at[d] = box.at[d] + index[d] * map.steps[d];
        rows.add(row_at(map, at), box.at[0], count[0]);
        for (unsigned d = 1; d < map.rank && ++index[d] == count[d]; ++d) index[d] = 0;
    }
}

// Pixels one after another through the box of base pixels, then on to the next image.
void add_pixels(Rows& rows, const TensorMap& map, const Box& box) {
    int64_t base[TensorMap::kMostRank];
    std::copy(box.at, box.at + map.rank, base);
    for (unsigned pixel = 0; pixel < map.box[1]; ++pixel) {
        int64_t at[TensorMap::kMostRank];
        at[map.rank - 1] = base[map.rank - 1];
        for (unsigned d = 1; d + 1 < map.rank; ++d) at[d] = base[d] + box.offset[d - 1];
        rows.add(row_at(map, at), box.at[0], map.box[0]);
        unsigned d = 1;
        for (; d + 1 < map.rank; ++d) {
            base[d] += map.steps[d];
            if (base[d] < map.extent(d) + map.upper[d - 1]) break;
            base[d] = map.lower[d - 1];
        }
        if (d + 1 == map.rank) ++base[d];
    }
}

}  // namespace

uint32_t TensorMap::element() const {
    switch (type) {
        case kU8: return 1;
        case kU16:
        case kF16:
        case kBf16: return 2;
        case kU64:
        case kS64:
        case kF64: return 8;
        default: return 4;
    }
}

Number TensorMap::number() const {
    switch (type) {
        case kS32: return Number::kS32;
        case kU64: return Number::kU64;
        case kS64: return Number::kS64;
        case kF16: return Number::kF16;
        case kBf16: return Number::kBf16;
        case kF64: return Number::kF64;
        case kF32:
        case kF32Ftz:
        case kTf32:
        case kTf32Ftz: return Number::kF32;
        default: return Number::kU32;
    }
}

bool TensorMap::rounds() const { return type == kTf32 || type == kTf32Ftz; }

uint32_t TensorMap::filling() const {
    if (!fill) return 0;
    return element() == 2 ? 0x7fff7fffu : 0x7fffffffu;
}

Pieces pieces_of(const TensorMap& map, const Box& box, uintptr_t shared, bool store) {
    Rows rows(map, shared, store);
    if (map.im2col)
        add_pixels(rows, map, box);
    else
        add_tile(rows, map, box);
    return rows.take();
}

}  // namespace pycnn_emu
