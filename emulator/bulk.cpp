#include "bulk.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "ptx_calls.h"
#include "units.h"

namespace pycnn_emu {

namespace {

// To the nearest number of 10 bits of mantissa, and of two to the even one; infinities and NaN stay.
void round_to_tf32(char* at, size_t bytes) {
    for (char* end = at + bytes; at < end; at += sizeof(uint32_t)) {
        uint32_t bits;
        std::memcpy(&bits, at, sizeof(bits));
        if ((bits & 0x7f800000u) == 0x7f800000u) continue;
        bits = (bits + 0xfffu + (bits >> 13 & 1)) & 0xffffe000u;
        std::memcpy(at, &bits, sizeof(bits));
    }
}

void move(const Piece& piece, uint32_t fill, Reduce operation, Number number) {
    auto* to = reinterpret_cast<char*>(piece.to);
    if (piece.from && number == Number::kTf32) {
        std::memcpy(to, reinterpret_cast<const char*>(piece.from), piece.size);
        round_to_tf32(to, piece.size);
    } else if (piece.from) {
        reduce(operation, number, to, reinterpret_cast<const char*>(piece.from), piece.size);
    } else {
        for (uint32_t at = 0; at < piece.size; at += sizeof(fill))
            std::memcpy(to + at, &fill, std::min<size_t>(sizeof(fill), piece.size - at));
    }
}

Operation issue(uint32_t site) {
    Worker* worker = Worker::current();
    auto thread = static_cast<uint16_t>(worker->self().thread);
    return worker->checker()->issue({thread}, pc_of(site));
}

// Whether a copy that the running thread issues needs no proxy fence after the init of the barrier
// that it signals on: behind fence.mbarrier_init; or of no tensor, in its own block, for libcu++ has
// no fence where it makes such copies.
bool sees_init(uintptr_t address, bool of_tensor, uint32_t site) {
    Worker* worker = Worker::current();
    const Record& fence = find_barrier(address, "a bulk copy", site).fence;
    if (fence.mask && worker->checker()->before(fence, worker->self().thread)) return true;
    return !of_tensor && &block_of(address, site) == worker;
}

const void* pointer(uintptr_t address) { return reinterpret_cast<const void*>(address); }

}  // namespace

void bulk_load(std::vector<Target> targets, uint32_t fill, Reduce operation, Number number,
               bool of_tensor, uint32_t site) {
    Worker* worker = Worker::current();
    Checker* checker = worker->checker();
    for (const Target& target : targets) {
        if (&block_of(target.signal.barrier, site) != &block_of(target.pieces.front().to, site))
            fail("mbarrier", format("the mbarrier at %s is in another block than what is written",
                                    name_of(target.signal.barrier).c_str()), site);
        find_barrier(target.signal.barrier, "a bulk copy", site);
    }
    Known known;
    if (checker) {
        Operation copy = issue(site);
        for (const Target& target : targets) {
            uintptr_t barrier = target.signal.barrier;
            checker->operation_access(copy, pointer(barrier), 8,
                                      kAtomic | (sees_init(barrier, of_tensor, site) ? kFenced : 0));
            for (const Piece& piece : target.pieces) {
                if (piece.from)
                    checker->operation_access(copy, pointer(piece.from), piece.size, kRead);
                checker->operation_access(copy, pointer(piece.to), piece.size,
                                          operation == Reduce::kCopy ? kWrite : kAtomic);
            }
        }
        checker->must_end(copy);
        known = Checker::completion(copy);
    }
    worker->run_beside([=, targets = std::move(targets)] {
        for (const Target& target : targets) {
            for (const Piece& piece : target.pieces) move(piece, fill, operation, number);
            bytes_come(target.signal.barrier, target.signal.bytes, known, site);
        }
    });
}

void send(uintptr_t to, const void* words, uint32_t size, uintptr_t barrier, Reduce operation,
          Number number, uint32_t site) {
    auto data = std::make_shared<std::vector<char>>(static_cast<const char*>(words),
                                                    static_cast<const char*>(words) + size);
    Worker* worker = Worker::current();
    if (&block_of(barrier, site) != &block_of(to, site))
        fail("mbarrier", format("the mbarrier at %s is in another block than what is written",
                                name_of(barrier).c_str()), site);
    find_barrier(barrier, "a store", site);
    Known known;
    if (Checker* checker = worker->checker()) {
        Operation store = issue(site);
        checker->operation_access(store, pointer(barrier), 8, kAtomic | kFenced);
        checker->operation_access(store, pointer(to), size,
                                  (operation == Reduce::kCopy ? kWrite : kAtomic) | kFenced);
        known = Checker::completion(store);
    }
    worker->run_beside([=] {
        reduce(operation, number, reinterpret_cast<char*>(to), data->data(), size);
        bytes_come(barrier, size, known, site);
    });
}

void bulk_store(Pieces pieces, Reduce operation, Number number, uint32_t site) {
    Worker* worker = Worker::current();
    Checker* checker = worker->checker();
    if (!checker) {
        for (const Piece& piece : pieces) move(piece, 0, operation, number);
        return;
    }
    Operation reads = issue(site), writes = issue(site);
    for (const Piece& piece : pieces) {
        checker->operation_access(reads, pointer(piece.from), piece.size, kRead);
        checker->operation_access(writes, pointer(piece.to), piece.size,
                                  operation == Reduce::kCopy ? kWrite : kAtomic);
    }
    checker->must_end(reads);
    auto data = std::make_shared<std::vector<char>>();
    auto read = worker->run_beside([=] {
        for (const Piece& piece : pieces) {
            auto* from = reinterpret_cast<const char*>(piece.from);
            data->insert(data->end(), from, from + piece.size);
        }
    });
    auto write = worker->run_beside([=] {
        worker->units().queue.finish(read);
        size_t at = 0;
        for (const Piece& piece : pieces) {
            reduce(operation, number, reinterpret_cast<char*>(piece.to), data->data() + at,
                   piece.size);
            at += piece.size;
        }
    });
    worker->units().bulk.add(worker->self().thread, std::move(reads), std::move(writes), read, write);
}

void BulkGroups::commit(unsigned thread) {
    Groups& groups = threads_[thread];
    groups.committed.push_back(std::exchange(groups.open, {}));
}

void BulkGroups::wait(Worker& worker, unsigned thread, size_t in_flight, bool read) {
    Groups& groups = threads_[thread];
    size_t& reached = read ? groups.read : groups.done;
    size_t count = groups.committed.size();
    for (; reached + in_flight < count; ++reached) {
        for (const Store& store : groups.committed[reached]) {
            worker.units().queue.finish(store.read);
            worker.checker()->learn(thread, Checker::completion(store.reads));
            if (read) continue;
            worker.units().queue.finish(store.write);
            worker.checker()->learn(thread, Checker::completion(store.writes));
        }
    }
}

}  // namespace pycnn_emu
