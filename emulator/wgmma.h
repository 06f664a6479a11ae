// What the checked build knows of the wgmma products of a block: which are under way, what groups
// they are in, and who waits for them.
//
// A warpgroup is four warps. Each of them computes its own rows when it comes to an instruction,
// but a product is done for all only when all four have issued it and somebody has waited: that is
// what wait_group tells, of shared memory that others will write again and of the accumulators.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "causality.h"
#include "report.h"

namespace pycnn_emu {

constexpr unsigned kWarpgroup = 4 * kWarp;

class Wgmma {
public:
    // An instruction, as one of the warps came to it.
    struct Issue {
        Site site;
        uint64_t a, b;  // descriptors; of registers 0
    };

    void begin(unsigned threads);
    bool begun() const { return !threads_.empty(); }
    void clear() {
        threads_.clear();
        swizzles_.clear();
    }

    // The warp of `thread` issues its next product, which `done` tells of. False if another warp of
    // the warpgroup has something else in its place: `other` says what.
    bool issue(unsigned thread, const Issue& issue, const Known& done, Issue& other);
    // The number of the last product of the warp of `thread`, counted from 1.
    uint32_t issued(unsigned thread) const { return warps_[thread / kWarp].issued; }

    // A tensor copy, known by its instruction, has filled memory with this swizzle, in bytes.
    void loaded(uint32_t site, uint32_t swizzle);
    // The swizzle that the copies of an instruction had, if they had one alone.
    std::optional<uint32_t> swizzle_of(uint32_t site) const;

    // Of one thread.
    uint32_t fence(unsigned thread) { return ++threads_[thread].fences; }
    uint32_t fences(unsigned thread) const { return threads_[thread].fences; }
    void commit(unsigned thread);
    // The last product of all groups but the `pending` youngest; they are no longer waited for.
    uint32_t close(unsigned thread, uint32_t pending);
    // Whether all four warps have issued a product.
    bool complete(unsigned thread, uint32_t product) const;
    const Known& known(unsigned thread, uint32_t product) const;
    uint32_t done(unsigned thread) const { return threads_[thread].done; }

    // Threads that wait until their warpgroup issues more; taken when it has.
    void sleep(unsigned thread);
    std::vector<unsigned> sleepers(unsigned thread);

private:
    struct Product {
        Issue issue;
        unsigned warps = 0;  // bits of those that have issued it
        Known done;          // of it and all before it
    };
    struct Warpgroup {
        std::vector<Product> products;
        std::vector<unsigned> sleepers;
    };
    struct Warp {
        uint32_t issued = 0;
    };
    struct Thread {
        uint32_t fences = 0, done = 0;
        std::vector<uint32_t> groups;  // the last product of each
    };

    std::unordered_map<uint32_t, uint32_t> swizzles_;
    std::vector<Warpgroup> warpgroups_;
    std::vector<Warp> warps_;
    std::vector<Thread> threads_;
};

}  // namespace pycnn_emu
