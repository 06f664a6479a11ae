// wgmma as compiled PTX calls it.
#include <algorithm>
#include <cstring>

#include "checker.h"
#include "matrix_fragment.h"
#include "matrix_product.h"
#include "ptx.h"
#include "ptx_calls.h"
#include "units.h"
#include "wgmma_descriptor.h"

namespace pycnn_emu {

namespace {

constexpr uint32_t kRows = 16;           // of a warp
constexpr uint32_t kWindow = 256 * 1024;  // of what a descriptor can name

// As pycnn/emulator/ptx/wgmma.py has it: which operands lie transposed, are negated, ...
enum How : uint32_t {
    kSaturated = 1, kAnd = 2, kRegisters = 4, kNegateA = 8, kNegateB = 16, kTransposeA = 32,
    kTransposeB = 64, kAdd = 128
};

// A lane's part of an instruction. `words`: D's registers, then A's if it is in registers.
struct WgmmaLane {
    MatrixShape shape;
    uint32_t how;
    uint64_t a, b;
    uint32_t* words;
    uint32_t site;
};

// Of the checked build.
Wgmma& state() {
    Worker* worker = Worker::current();
    Wgmma& wgmma = worker->units().wgmma;
    if (!wgmma.begun()) wgmma.begin(worker->threads());
    return wgmma;
}

char* arena() { return Worker::current()->arena(); }

// Shared memory of a block is larger here than a descriptor's 18 bits: static variables lie beyond.
WgmmaDescriptor located(uint64_t bits) {
    WgmmaDescriptor descriptor(bits);
    const Launch& launch = Worker::current()->launch();
    if (descriptor.start < launch.dynamic_shared) return descriptor;
    for (const SharedVariable& variable : static_cast<const PtxKernel*>(launch.args[3])->shared()) {
        uint64_t begin = kDynamicSpan + static_cast<uint64_t>(variable.offset);
        uint64_t at = begin + (descriptor.start - begin) % kWindow;
        if (at >= begin + variable.size) continue;
        descriptor.start = static_cast<uint32_t>(at);
        break;
    }
    return descriptor;
}

void refuse_descriptor(const WgmmaDescriptor& descriptor, char name, uint32_t site) {
    if (descriptor.reserved)
        fail("wgmma", format("the descriptor of %c has bits set that mean nothing on this GPU", name),
             site);
    std::string fault = descriptor.fault();
    if (!fault.empty()) fail("misaligned", format("descriptor of %c: %s", name, fault.c_str()), site);
}

WgmmaOperand operand_a(const WgmmaLane& lane, unsigned warp) {
    return {located(lane.a), kRows * (warp % 4), kRows, lane.shape.a, (lane.how & kTransposeA) != 0};
}

WgmmaOperand operand_b(const WgmmaLane& lane) {
    return {located(lane.b), 0, lane.shape.columns, lane.shape.b, (lane.how & kTransposeB) != 0};
}

// Gives the elements of an operand in shared memory to `put`.
template <typename Put>
void gather(const WgmmaOperand& operand, Put put) {
    uint32_t bits = bits_of(operand.element), per = kPieceBytes * 8 / bits;
    operand.each_piece([&](uint32_t row, uint32_t k, uint32_t offset) {
        uint32_t words[kPieceBytes / sizeof(uint32_t)] = {};
        if (offset <= Worker::arena_size() - kPieceBytes)
            std::memcpy(words, arena() + offset, sizeof(words));
        for (uint32_t i = 0; i < per; ++i)
            put(operand.transposed ? row + i : row, operand.transposed ? k : k + i,
                packed_element(words, bits, i));
    });
}

void compute(WgmmaLane* const* lanes, unsigned warp) {
    const WgmmaLane& first = *lanes[0];
    const MatrixShape& s = first.shape;
    MatrixProduct product(s);
    ResultFragment d(kRows, s.columns, s.d);
    OperandFragment a(kRows, s.depth, s.a);
    for (uint32_t lane = 0; lane < kMatrixLanes; ++lane) {
        const uint32_t* words = lanes[lane]->words;
        for (uint32_t i = 0; i < d.count && first.how & kAdd; ++i) {
            Place at = d.at(lane, i);
            product.c(at.row, at.column, packed_element(words, d.bits, i));
        }
        for (uint32_t i = 0; i < a.count && first.how & kRegisters; ++i) {
            Place at = a.at(lane, i);
            product.a(at.row, at.column, packed_element(words + d.words(), a.bits, i));
        }
    }
    if (!(first.how & kRegisters))
        gather(operand_a(first, warp), [&](uint32_t row, uint32_t k, uint64_t bits) {
            product.a(row % kRows, k, bits);
        });
    gather(operand_b(first), [&](uint32_t column, uint32_t k, uint64_t bits) {
        product.b(k, column, bits);
    });
    if (first.how & kNegateA) product.negate_a();
    if (first.how & kNegateB) product.negate_b();
    product.run();
    for (uint32_t lane = 0; lane < kMatrixLanes; ++lane)
        for (uint32_t i = 0; i < d.count; ++i) {
            Place at = d.at(lane, i);
            pack_element(lanes[lane]->words, d.bits, i, product.d(at.row, at.column));
        }
}

// The checked build: what the product reads is read by the asynchronous proxy from here on.
void watch(const WgmmaLane& lane, unsigned warp) {
    Worker* worker = Worker::current();
    Checker* checker = worker->checker();
    std::vector<uint16_t> issuers(kWarp);
    for (unsigned i = 0; i < kWarp; ++i) issuers[i] = static_cast<uint16_t>(warp * kWarp + i);
    Operation operation = checker->issue(std::move(issuers), pc_of(lane.site));
    Wgmma& wgmma = state();
    auto read = [&](const WgmmaOperand& operand, char name) {
        uint32_t swizzle = operand.descriptor.swizzle;
        operand.each_piece([&](uint32_t, uint32_t, uint32_t offset) {
            checker->operation_access(operation, arena() + offset, kPieceBytes, kRead);
            auto loaded = wgmma.swizzle_of(checker->loader(reinterpret_cast<uintptr_t>(arena()) + offset));
            if (loaded.value_or(swizzle) != swizzle)
                fail("wgmma", format("the descriptor of %c has a swizzle of %u bytes, the tensor map by "
                                     "which the matrix was loaded one of %u", name, swizzle, *loaded),
                     lane.site);
        });
    };
    if (!(lane.how & kRegisters)) read(operand_a(lane, warp), 'A');
    read(operand_b(lane), 'B');
    unsigned thread = warp * kWarp;
    Wgmma::Issue other;
    Wgmma::Issue mine{site_of(lane.site), lane.how & kRegisters ? 0 : lane.a, lane.b};
    mine.site.place = static_cast<int>(lane.site);
    if (!wgmma.issue(thread, mine, Checker::completion(operation), other)) {
        Report report;
        report.kind = "divergent_collective";
        report.message = format("warps of one warpgroup issue different products: warp %u another "
                                "instruction, or other matrices, than those before it", warp);
        report.where = at(pc_of(lane.site));
        report.other = at(pc_of(static_cast<uint32_t>(other.site.place)));
        worker->fail(std::move(report));
    }
    for (unsigned sleeper : wgmma.sleepers(thread)) worker->wake(sleeper);
}

void do_wgmma(uint32_t, WgmmaLane** lanes) {
    const WgmmaLane& first = *lanes[0];
    for (unsigned i = 1; i < kWarp; ++i)
        if (lanes[i]->b != first.b || lanes[i]->how != first.how ||
            (!(first.how & kRegisters) && lanes[i]->a != first.a))
            fail("divergent_collective",
                 format("lanes 0 and %u of a warp give one product different matrices or scales", i),
                 first.site);
    if (!(first.how & kRegisters)) refuse_descriptor(located(first.a), 'A', first.site);
    refuse_descriptor(located(first.b), 'B', first.site);
    unsigned warp = Worker::current()->self().thread / kWarp;
    if (Worker::current()->checker()) watch(first, warp);
    compute(lanes, warp);
}

// The number of the product, by which its accumulators are known until it is waited for.
uint32_t wgmma(uint32_t columns, uint32_t types, uint32_t how, uint64_t a, uint64_t b, void* words,
               uint32_t site) {
    Worker* worker = Worker::current();
    unsigned thread = worker->self().thread;
    if ((thread / kWarpgroup + 1) * kWarpgroup > worker->threads())
        fail("divergent_collective",
             "a warpgroup is four warps, the first of them a multiple of four; the block has too few",
             site);
    auto element = [&](unsigned i) { return static_cast<Element>(types >> (4 * i) & 15); };
    MatrixShape shape{kRows, columns, kWgmmaBytes * 8 / bits_of(element(0)), element(0), element(1),
                      element(2), element(2), (how & kSaturated) != 0, (how & kAnd) != 0};
    WgmmaLane mine{shape, how, a, b, static_cast<uint32_t*>(words), site};
    together<WgmmaLane, do_wgmma>(0xffffffffu, mine, site);
    return worker->checker() ? state().issued(thread) : 0;
}

// ---- The checked build alone calls the rest -----------------------------------------------------

uint32_t wgmma_fence() { return state().fence(pycnn_emu_self->thread); }
uint32_t wgmma_fences() { return state().fences(pycnn_emu_self->thread); }
uint32_t wgmma_done() { return state().done(pycnn_emu_self->thread); }
void wgmma_commit() { state().commit(pycnn_emu_self->thread); }

// The last product that is done.
uint32_t wgmma_wait(uint32_t pending, uint32_t site) {
    Worker* worker = Worker::current();
    unsigned thread = worker->self().thread;
    uint32_t before = state().done(thread), product = state().close(thread, pending);
    while (!state().complete(thread, product)) {
        state().sleep(thread);
        worker->park(site_of(site), false);
    }
    if (product != before) worker->checker()->learn(thread, state().known(thread, product));
    return product;
}

void wgmma_early(uint32_t site) {
    fail("wgmma", "a register of a wgmma.mma_async that no wgmma.wait_group has waited for is used",
         site);
}

void wgmma_unfenced(uint32_t site) {
    fail("wgmma",
         "registers of wgmma.mma_async with no wgmma.fence between other use of them and it", site);
}

}  // namespace

const std::vector<Function>& wgmma_functions() {
    static const std::vector<Function> table = {
        {"wgmma", address(wgmma)},
        {"wgmma_fence", address(wgmma_fence)},
        {"wgmma_fences", address(wgmma_fences)},
        {"wgmma_done", address(wgmma_done)},
        {"wgmma_commit", address(wgmma_commit)},
        {"wgmma_wait", address(wgmma_wait)},
        {"wgmma_early", address(wgmma_early)},
        {"wgmma_unfenced", address(wgmma_unfenced)},
    };
    return table;
}

}  // namespace pycnn_emu
