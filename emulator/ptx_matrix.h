// Tensor cores: what a warp computes together, and the loads and stores that feed it.
#pragma once

#include <cstdint>

#include "include/pycnn_emulator/abi.h"

namespace pycnn_emu {

// Types of matrix elements, as pycnn/emulator/ptx/matrix.py numbers them.
enum class Element : uint32_t { kF16, kBf16, kTf32, kF64, kS8, kU8, kS4, kU4, kB1, kE4m3, kE5m2,
                                kF32, kS32 };

// A lane's part of D = A B + C. `code` holds the shape and the types; `words` the registers of A, B
// and C one after another, and gets those of D.
struct Product {
    uint32_t rows, depth;  // M and K; N is 8
    Element a, b, c, d;
    bool saturated;
    uint32_t operation;  // of single bits: 0 xor, 1 and; before the population count
    uint32_t* words;
};

// Multiplies for all lanes, which must all be there. Floating-point products are summed in float64,
// C first, k ascending, and rounded once; integers are exact modulo 2^32, or saturated.
void multiply_matrices(Product* const* lanes);

// Rows of 8x8 tiles of 16-bit elements: lane i names row i % 8 of tile i / 8.
struct TileRow {
    char* row;
    uint32_t* words;  // one a tile
    uint32_t tiles;
    bool transposed;
};
void load_tiles(TileRow* const* lanes);
void store_tiles(TileRow* const* lanes);

}  // namespace pycnn_emu
