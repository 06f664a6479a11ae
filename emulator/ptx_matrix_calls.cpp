// Tensor cores as compiled PTX calls them: checks what an instruction may not do, brings the lanes
// of the warp together.
#include "checker.h"
#include "ptx_calls.h"
#include "ptx_matrix.h"

namespace pycnn_emu {

namespace {

void do_multiply(uint32_t, Product** lanes) { multiply_matrices(lanes); }
void do_load(uint32_t, TileRow** lanes) { load_tiles(lanes); }
void do_store(uint32_t, TileRow** lanes) { store_tiles(lanes); }

// All lanes of the warp take part: what is missing has exited, which the ISA does not allow.
void need_whole_warp(uint32_t site) {
    unsigned first = pycnn_emu_self->thread / kWarp * kWarp;
    if (first + kWarp > Worker::current()->threads())
        fail("divergent_collective", "a matrix instruction needs all 32 lanes of its warp", site);
}

void mma(uint32_t shape, uint32_t types, void* words, uint32_t site) {
    need_whole_warp(site);
    auto element = [&](unsigned i) { return static_cast<Element>(types >> (4 * i) & 15); };
    Product mine{shape & 31, shape >> 8 & 511, element(0), element(1), element(2), element(3),
                 (shape >> 30 & 1) != 0, shape >> 31, static_cast<uint32_t*>(words)};
    together<Product, do_multiply>(0xffffffffu, mine, site);
}

void tile_access(uint64_t row, uint32_t code, PtxAccess kind, uint32_t site) {
    Worker* worker = Worker::current();
    uint32_t lane = worker->self().thread % kWarp;
    if (lane < 8 * (code & 7) && row % 16)
        fail("misaligned", format("row of a tile at an address that is %u past a multiple of 16",
                                  static_cast<unsigned>(row % 16)), site);
    if (worker->checker() && lane < 8 * (code & 7))
        ptx_access(&worker->self(), row, 16, kind, site);
}

// `code`: how many tiles, and 8 where they are transposed.
void ldmatrix(uint32_t code, uint64_t row, void* words, uint32_t site) {
    need_whole_warp(site);
    tile_access(row, code, kPtxRead, site);
    TileRow mine{reinterpret_cast<char*>(row), static_cast<uint32_t*>(words), code & 7,
                 (code & 8) != 0};
    together<TileRow, do_load>(0xffffffffu, mine, site);
}

void stmatrix(uint32_t code, uint64_t row, void* words, uint32_t site) {
    need_whole_warp(site);
    tile_access(row, code, kPtxWrite, site);
    TileRow mine{reinterpret_cast<char*>(row), static_cast<uint32_t*>(words), code & 7,
                 (code & 8) != 0};
    together<TileRow, do_store>(0xffffffffu, mine, site);
}

}  // namespace

const std::vector<Function>& matrix_functions() {
    static const std::vector<Function> table = {
        {"mma", address(mma)},
        {"ldmatrix", address(ldmatrix)},
        {"stmatrix", address(stmatrix)},
    };
    return table;
}

}  // namespace pycnn_emu
