// Tensor cores: what a warp computes together, and the loads and stores that feed it.
#pragma once

#include <cstdint>

#include "matrix_product.h"

namespace pycnn_emu {

// A lane's part of D = A B + C: `words` are the registers of A, B and C one after another, and get
// those of D. Of registers that hold a matrix more than once, `copies_*` says how often.
struct Product {
    MatrixShape shape;
    uint32_t copies_a, copies_b;
    uint32_t* words;
};

// Multiplies for all lanes, which must all be there.
void multiply_matrices(Product* const* lanes);

// float16's m8n8k4: four products of 8x8, each of the lanes 4i to 4i + 3 and those 16 beyond.
struct QuadProduct {
    Element c, d;
    bool a_by_column, b_by_column;
    uint32_t* words;
};
void multiply_quads(QuadProduct* const* lanes);

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
