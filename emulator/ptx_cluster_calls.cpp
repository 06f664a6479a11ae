// Clusters as compiled PTX calls them: addresses in other blocks' shared memory, and their barrier.
#include "checker.h"
#include "cluster.h"
#include "ptx_calls.h"
#include "units.h"

namespace pycnn_emu {

namespace {

// An address of shared::cluster has the rank of its block, from 1 on, above that within the block;
// without a rank it is the running block's own.
constexpr unsigned kRankShift = 24;
static_assert(Worker::arena_size() < size_t{1} << kRankShift);

Worker& block_of_rank(uint32_t rank, uint32_t site) {
    const auto& blocks = Worker::current()->cluster().blocks();
    if (rank >= blocks.size())
        fail("out_of_bounds", format("block %u of a cluster that has %zu", rank, blocks.size()),
             site);
    return *blocks[rank];
}

uint64_t start_of(const Worker& block) { return reinterpret_cast<uintptr_t>(block.arena()); }

// Where an address of shared::cluster is.
uint64_t cluster_address(uint64_t address, uint32_t site) {
    auto rank = static_cast<uint32_t>(address) >> kRankShift;
    const Worker& block = rank ? block_of_rank(rank - 1, site) : *Worker::current();
    return start_of(block) + (address & ((1u << kRankShift) - 1));
}

// The same place in another block: of a generic address, and of one of shared::cta.
uint64_t map_generic(uint64_t address, uint32_t rank, uint32_t site) {
    return address - start_of(block_of(address, site)) + start_of(block_of_rank(rank, site));
}

uint64_t map_shared(uint64_t address, uint32_t rank, uint32_t site) {
    block_of_rank(rank, site);
    return (address & ((1u << kRankShift) - 1)) | uint64_t{rank + 1} << kRankShift;
}

uint32_t rank_of_generic(uint64_t address, uint32_t site) {
    return block_of(address, site).place().rank;
}

uint32_t rank_of_shared(uint64_t address, uint32_t site) {
    auto rank = static_cast<uint32_t>(address) >> kRankShift;
    return rank ? block_of_rank(rank - 1, site).place().rank : Worker::current()->place().rank;
}

// The address of shared::cluster of a generic one.
uint64_t to_cluster(uint64_t address, uint32_t site) {
    const Worker& block = block_of(address, site);
    uint64_t offset = address - start_of(block);
    return &block == Worker::current() ? offset : map_shared(offset, rank_of_generic(address, site), site);
}

uint32_t in_cluster(uint64_t address) {
    return Worker::current()->cluster().owner(address) != nullptr;
}

void arrive(uint32_t relaxed, uint32_t site) {
    Worker* worker = Worker::current();
    Checker* checker = worker->checker();
    unsigned thread = worker->self().thread;
    Known known;
    if (checker) known = relaxed ? checker->published(thread) : checker->publish(thread);
    worker->cluster().arrive(*worker, std::move(known), site_of(site));
}

void wait(uint32_t acquires, uint32_t site) {
    Worker* worker = Worker::current();
    worker->cluster().wait(*worker, acquires != 0, site_of(site));
}

}  // namespace

Worker& block_of(uint64_t address, uint32_t site) {
    Worker* worker = Worker::current();
    if (address - start_of(*worker) < Worker::arena_size()) return *worker;
    if (Worker* peer = worker->peer(address)) return *peer;
    fail("out_of_bounds", format("address %#llx is not in shared memory",
                                 static_cast<unsigned long long>(address)), site);
}

std::string name_of(uint64_t address) { return Worker::current()->name_of(address); }

std::vector<std::pair<uint64_t, uint64_t>> in_blocks(uint64_t to, uint64_t barrier, uint32_t mask,
                                                     uint32_t site) {
    if (!mask) return {{to, barrier}};
    std::vector<std::pair<uint64_t, uint64_t>> found;
    for (uint32_t rest = mask; rest; rest &= rest - 1) {
        auto rank = static_cast<uint32_t>(__builtin_ctz(rest));
        found.emplace_back(map_generic(to, rank, site), map_generic(barrier, rank, site));
    }
    return found;
}

const std::vector<Function>& cluster_functions() {
    static const std::vector<Function> table = {
        {"cluster_address", address(cluster_address)},
        {"map_generic", address(map_generic)},
        {"map_shared", address(map_shared)},
        {"rank_of_generic", address(rank_of_generic)},
        {"rank_of_shared", address(rank_of_shared)},
        {"to_cluster", address(to_cluster)},
        {"in_cluster", address(in_cluster)},
        {"cluster_arrive", address(arrive)},
        {"cluster_wait", address(wait)},
    };
    return table;
}

}  // namespace pycnn_emu
