// Tensor cores as compiled PTX calls them: checks what an instruction may not do, brings the lanes
// of the warp together.
#include <algorithm>

#include "checker.h"
#include "ptx_calls.h"
#include "ptx_matrix.h"
#include "ptx_wmma.h"

namespace pycnn_emu {

namespace {

void do_multiply(uint32_t, Product** lanes) { multiply_matrices(lanes); }
void do_quads(uint32_t, QuadProduct** lanes) { multiply_quads(lanes); }
void do_load(uint32_t, TileRow** lanes) { load_tiles(lanes); }
void do_store(uint32_t, TileRow** lanes) { store_tiles(lanes); }

// All lanes of the warp take part: what is missing has exited, which the ISA does not allow.
void need_whole_warp(uint32_t site) {
    unsigned first = pycnn_emu_self->thread / kWarp * kWarp;
    if (first + kWarp > Worker::current()->threads())
        fail("divergent_collective", "a matrix instruction needs all 32 lanes of its warp", site);
}

Element element_at(uint32_t types, unsigned i) { return static_cast<Element>(types >> (4 * i) & 15); }

// `extents`: M, N and K, a byte each. `how`: 1 saturated, 2 bitwise and; copies of A and B.
void mma(uint32_t extents, uint32_t types, uint32_t how, void* words, uint32_t site) {
    need_whole_warp(site);
    Product mine{MatrixShape{extents & 255, extents >> 8 & 255, extents >> 16, element_at(types, 0),
                             element_at(types, 1), element_at(types, 2), element_at(types, 3),
                             (how & 1) != 0, (how & 2) != 0},
                 how >> 8 & 255, how >> 16 & 255, static_cast<uint32_t*>(words)};
    together<Product, do_multiply>(0xffffffffu, mine, site);
}

// `how`: 1 where A lies by columns, 2 where B does.
void mma_quads(uint32_t types, uint32_t how, void* words, uint32_t site) {
    need_whole_warp(site);
    QuadProduct mine{element_at(types, 2), element_at(types, 3), (how & 1) != 0, (how & 2) != 0,
                     static_cast<uint32_t*>(words)};
    together<QuadProduct, do_quads>(0xffffffffu, mine, site);
}

void tile_access(uint64_t row, uint32_t code, PtxAccess kind, uint32_t site) {
    Worker* worker = Worker::current();
    uint32_t lane = worker->self().thread % kWarp;
    if (lane < 8 * (code & 7) && row % 16)
        fail("misaligned", format("row of a tile at an address that is %u past a multiple of 16",
                                  static_cast<unsigned>(row % 16)), site);
    if (worker->checker() && lane < 8 * (code & 7)) {
        ptx_access(&worker->self(), row, 16, kind, site);
        worker->checker()->mark_matrix(worker->self().thread, row);
    }
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

bool in_arena(uint64_t address) {
    return address - reinterpret_cast<uintptr_t>(Worker::current()->arena()) < Worker::arena_size();
}

// One wmma.load or wmma.store of a lane.
struct WmmaAccess {
    const WmmaMatrix* matrix;
    uint32_t site;
};

void do_agree(uint32_t, WmmaAccess** lanes) {
    const WmmaMatrix& first = *lanes[0]->matrix;
    for (unsigned lane = 1; lane < kWarp; ++lane) {
        const WmmaMatrix& other = *lanes[lane]->matrix;
        if (first.address != other.address || first.stride != other.stride)
            fail("divergent_collective",
                 format("lanes 0 and %u of a warp name different matrices: another address or stride",
                        lane),
                 lanes[lane]->site);
    }
}

// What the instruction asks of its address and stride, and the accesses of the lane.
void wmma_access(const WmmaMatrix& matrix, PtxAccess kind, uint32_t site) {
    need_whole_warp(site);
    uint32_t bytes = matrix.fragment_bytes();
    // Where the host allocated the memory, its alignment is not that of a GPU's allocator.
    if (!in_arena(matrix.address)) bytes = std::min(bytes, 16u);
    uint64_t row = uint64_t{matrix.stride} * bits_of(matrix.element) / 8;
    if (matrix.address % bytes)
        fail("misaligned", format("matrix at an address that is %u past a multiple of %u",
                                  static_cast<unsigned>(matrix.address % bytes), bytes), site);
    if (row % std::min(bytes, 16u))
        fail("misaligned", format("stride of %llu bytes, which is no multiple of %u",
                                  static_cast<unsigned long long>(row), std::min(bytes, 16u)), site);
    WmmaAccess mine{&matrix, site};
    together<WmmaAccess, do_agree>(0xffffffffu, mine, site);
    Worker* worker = Worker::current();
    if (!worker->checker()) return;
    matrix.each_piece(worker->self().thread % kWarp,
                      [&](uint32_t, uint64_t address, uint32_t size) {
                          ptx_access(&worker->self(), address, size, kind, site);
                      });
}

// `what`: the operand, 4 where it lies by columns, 16 times its type.
WmmaMatrix wmma_matrix(uint32_t extents, uint32_t what, uint64_t address, uint32_t stride) {
    return WmmaMatrix{extents & 255, extents >> 8 & 255, extents >> 16,
                      static_cast<WmmaOperand>(what & 3), (what & 4) != 0,
                      static_cast<Element>(what >> 4), address, stride};
}

void load_fragment(uint32_t extents, uint32_t what, uint64_t at, uint32_t stride, void* words,
                   uint32_t site) {
    WmmaMatrix matrix = wmma_matrix(extents, what, at, stride);
    wmma_access(matrix, kPtxRead, site);
    wmma_load(matrix, pycnn_emu_self->thread % kWarp, static_cast<uint32_t*>(words));
}

void store_fragment(uint32_t extents, uint32_t what, uint64_t at, uint32_t stride, void* words,
                    uint32_t site) {
    WmmaMatrix matrix = wmma_matrix(extents, what, at, stride);
    wmma_access(matrix, kPtxWrite, site);
    wmma_store(matrix, pycnn_emu_self->thread % kWarp, static_cast<const uint32_t*>(words));
}

}  // namespace

const std::vector<Function>& matrix_functions() {
    static const std::vector<Function> table = {
        {"mma", address(mma)},
        {"mma_quads", address(mma_quads)},
        {"wmma_load", address(load_fragment)},
        {"wmma_store", address(store_fragment)},
        {"ldmatrix", address(ldmatrix)},
        {"stmatrix", address(stmatrix)},
    };
    return table;
}

}  // namespace pycnn_emu
