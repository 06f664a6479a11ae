#include "wgmma_descriptor.h"

#include "report.h"

namespace pycnn_emu {

namespace {

constexpr uint32_t kGroup = 8;  // rows, or lines along K, that a layout repeats

constexpr uint64_t field(uint64_t bits, unsigned first, unsigned count) {
    return bits >> first & ((uint64_t{1} << count) - 1);
}

constexpr uint32_t kSwizzles[] = {0, 128, 64, 32};

}  // namespace

WgmmaDescriptor::WgmmaDescriptor(uint64_t bits)
    : start(static_cast<uint32_t>(field(bits, 0, 14)) << 4),
      leading(static_cast<uint32_t>(field(bits, 16, 14)) << 4),
      stride(static_cast<uint32_t>(field(bits, 32, 14)) << 4),
      base_offset(static_cast<uint32_t>(field(bits, 49, 3))),
      swizzle(kSwizzles[field(bits, 62, 2)]),
      // Not bits 14 and 15: a start that nobody has cut to 18 bits is no fault on a GPU, where
      // shared memory ends before.
      reserved(field(bits, 30, 2) || field(bits, 46, 3) || field(bits, 52, 10)) {}

std::string WgmmaDescriptor::fault() const {
    uint32_t row = start >> 7 & phases();
    if (swizzle && row != (base_offset & phases()))
        return format("a matrix swizzled by %u bytes begins at %u bytes past a multiple of %u, which "
                      "its base offset %u does not say",
                      swizzle, start % (kGroup * swizzle), kGroup * swizzle, base_offset);
    return {};
}

uint32_t WgmmaOperand::place(uint32_t row, uint32_t k, uint32_t per) const {
    const WgmmaDescriptor& d = descriptor;
    uint32_t width = d.swizzle ? d.swizzle / kPieceBytes : 1;  // pieces of a row of the pattern
    uint32_t address = d.start;
    if (!transposed) {
        address += row / kGroup * d.stride + row % kGroup * width * kPieceBytes +
                   k / per * (d.swizzle ? kPieceBytes : d.leading);
    } else {
        uint32_t piece = row / per, group = k / kGroup;
        address += k % kGroup * width * kPieceBytes + piece % width * kPieceBytes;
        address += d.swizzle ? piece / width * d.leading + group * d.stride
                             : piece * d.stride + group * d.leading;
    }
    return d.swizzled(address);
}

}  // namespace pycnn_emu
