// Tensor maps: what the driver's encoders make, here in the form that the emulator reads.
//
// `cuda.bindings` finds functions of the driver by cuGetProcAddress alone.

#include <algorithm>

#include <cuda.h>
#include <dlfcn.h>

#include "../../../emulator/tensor_map.h"
#include "standin.h"

using pycnn_emu::TensorMap;

namespace {

constexpr cuuint64_t kAddressUnit = 16, kMostStride = cuuint64_t{1} << 40;
constexpr cuuint32_t kMostBox = 256, kMostPixels = 1024, kMostStep = 8;

bool between(int64_t least, int64_t value, int64_t most) { return least <= value && value <= most; }

// What both kinds have in common; false if the driver refuses it.
bool fill(TensorMap& map, CUtensorMapDataType type, cuuint32_t rank, const void* address,
          const cuuint64_t* extents, const cuuint64_t* strides, const cuuint32_t* steps,
          CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle, CUtensorMapFloatOOBfill nan) {
    map = TensorMap{};
    map.magic = TensorMap::kMagic;
    map.address = reinterpret_cast<uint64_t>(address);
    if (!between(1, rank, TensorMap::kMostRank) || type > TensorMap::kLastType) return false;
    if (map.address % kAddressUnit || interleave || swizzle > CU_TENSOR_MAP_SWIZZLE_128B) return false;
    map.rank = static_cast<uint8_t>(rank);
    map.type = static_cast<uint8_t>(type);
    map.swizzle = static_cast<uint8_t>(swizzle);
    map.fill = static_cast<uint8_t>(nan);
    for (cuuint32_t d = 0; d < rank; ++d) {
        if (!between(1, extents[d], int64_t{1} << 32) || !between(1, steps[d], kMostStep)) return false;
        map.last[d] = static_cast<uint32_t>(extents[d] - 1);
        map.steps[d] = static_cast<uint8_t>(steps[d]);
    }
    for (cuuint32_t d = 0; d + 1 < rank; ++d) {
        if (strides[d] % kAddressUnit || strides[d] >= kMostStride) return false;
        map.strides[d] = strides[d];
    }
    return true;
}

CUresult encoded(CUtensorMap* to, const TensorMap& map, bool accepted) {
    if (!accepted) return CUDA_ERROR_INVALID_VALUE;
    static_assert(sizeof(CUtensorMap) == sizeof map);
    std::copy_n(reinterpret_cast<const char*>(&map), sizeof map, reinterpret_cast<char*>(to));
    return CUDA_SUCCESS;
}

}  // namespace

extern "C" {

CUresult cuGetProcAddress(const char* symbol, void** function, int, cuuint64_t,
                          CUdriverProcAddressQueryResult* status) {
    *function = dlsym(RTLD_DEFAULT, symbol);
    if (status) {
        *status = *function ? CU_GET_PROC_ADDRESS_SUCCESS : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    }
    return *function ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

CUresult cuTensorMapEncodeTiled(CUtensorMap* to, CUtensorMapDataType type, cuuint32_t rank,
                                void* address, const cuuint64_t* extents, const cuuint64_t* strides,
                                const cuuint32_t* box, const cuuint32_t* steps,
                                CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                                CUtensorMapL2promotion, CUtensorMapFloatOOBfill nan) {
    TensorMap map;
    bool fits = fill(map, type, rank, address, extents, strides, steps, interleave, swizzle, nan);
    for (cuuint32_t d = 0; fits && d < rank; ++d) {
        fits = between(1, box[d], kMostBox);
        map.box[d] = static_cast<uint16_t>(box[d]);
    }
    return encoded(to, map, fits);
}

CUresult cuTensorMapEncodeIm2col(CUtensorMap* to, CUtensorMapDataType type, cuuint32_t rank,
                                 void* address, const cuuint64_t* extents,
                                 const cuuint64_t* strides, const int* lower, const int* upper,
                                 cuuint32_t channels, cuuint32_t pixels, const cuuint32_t* steps,
                                 CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                                 CUtensorMapL2promotion, CUtensorMapFloatOOBfill nan) {
    TensorMap map;
    bool fits = fill(map, type, rank, address, extents, strides, steps, interleave, swizzle, nan) &&
                rank >= 3 && between(1, channels, kMostBox) && between(1, pixels, kMostPixels);
    const int reach = rank == 3 ? 1 << 15 : rank == 4 ? 1 << 7 : 1 << 4;
    for (cuuint32_t d = 0; fits && d + 2 < rank; ++d) {
        fits = between(-reach, lower[d], reach - 1) && between(-reach, upper[d], reach - 1);
        map.lower[d] = static_cast<int16_t>(lower[d]);
        map.upper[d] = static_cast<int16_t>(upper[d]);
    }
    map.im2col = 1;
    map.box[0] = static_cast<uint16_t>(channels);
    map.box[1] = static_cast<uint16_t>(pixels);
    return encoded(to, map, fits);
}

}  // extern "C"
