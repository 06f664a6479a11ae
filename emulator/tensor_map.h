// Tensor maps: how a tensor lies in global memory, and which box of it a bulk copy moves.
//
// On a GPU the 128 bytes are opaque, and the driver makes them. These are our own, made by
// pycnn/emulator/tensor_map.py.
#pragma once

#include <cstdint>

#include "bulk.h"

namespace pycnn_emu {

struct TensorMap {
    static constexpr uint64_t kMagic = 0x50414d524f534e54;  // "TNSORMAP"
    static constexpr unsigned kMostRank = 5;
    static constexpr uint8_t kLastType = 12;  // of CUtensorMapDataType

    uint64_t magic;
    uint64_t address;
    uint8_t rank, type, interleave, swizzle, fill, im2col, promotion, unused;
    uint32_t last[kMostRank];  // extents less one, innermost first
    uint32_t unused2;
    uint64_t strides[kMostRank - 1];  // bytes, of all dimensions but the innermost
    uint16_t box[kMostRank];          // with im2col: channels and pixels
    uint8_t steps[kMostRank];         // strides of elements within a box
    uint8_t unused3;
    int16_t lower[kMostRank - 2], upper[kMostRank - 2];  // corners of the pixels' box
    uint8_t unused4[20];

    uint32_t element() const;  // bytes of one
    Number number() const;     // of reductions
    bool rounds() const;       // whether loads round to TF32
    uint32_t filling() const;  // what elements beyond the tensor are, four bytes of it
    int64_t extent(unsigned d) const { return int64_t{last[d]} + 1; }
};
static_assert(sizeof(TensorMap) == 128);

struct Box {
    int64_t at[TensorMap::kMostRank];           // coordinates of its first element
    int64_t offset[TensorMap::kMostRank - 2];   // with im2col: of each pixel from its base
};

// The pieces of a box as they lie in shared memory from `shared` on, swizzled: loaded, with what is
// beyond the tensor filled, or stored, with that left out.
Pieces pieces_of(const TensorMap& map, const Box& box, uintptr_t shared, bool store);

}  // namespace pycnn_emu
