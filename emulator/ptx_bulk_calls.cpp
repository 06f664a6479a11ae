// cp.async.bulk as compiled PTX calls it.
#include "bulk.h"
#include "ptx_calls.h"
#include "units.h"

namespace pycnn_emu {

namespace {

constexpr uint32_t kChunk = 16;

void need_chunks(uint64_t to, uint64_t from, uint32_t size, uint32_t site) {
    if (to % kChunk || from % kChunk)
        fail("misaligned", format("a bulk copy %s an address that is %u past a multiple of 16",
                                  to % kChunk ? "to" : "from",
                                  static_cast<unsigned>((to % kChunk ? to : from) % kChunk)), site);
    if (size % kChunk)
        fail("misaligned", format("a bulk copy of %u bytes; allowed: multiples of 16", size), site);
}

// `code`: the reduction, and above it the type.
Reduce operation_of(uint32_t code) { return static_cast<Reduce>(code & 15); }
Number number_of(uint32_t code) { return static_cast<Number>(code >> 4); }

// `mask`: the blocks of the cluster that it goes to, each to the place that `to` is in its own; 0
// for that of `to` alone.
void load(uint64_t to, uint64_t from, uint32_t size, uint64_t barrier, uint32_t mask, uint32_t code,
          uint32_t site) {
    need_chunks(to, from, size, site);
    std::vector<Target> targets;
    for (auto [there, signal] : in_blocks(to, barrier, mask, site))
        targets.push_back({{Piece{there, from, size}}, {signal, size}});
    bulk_load(std::move(targets), 0, operation_of(code), number_of(code), false, site);
}

void store(uint64_t to, uint64_t from, uint32_t size, uint32_t code, uint32_t site) {
    need_chunks(to, from, size, site);
    bulk_store({Piece{to, from, size}}, operation_of(code), number_of(code), site);
}

void commit() {
    Worker* worker = Worker::current();
    if (worker->checker()) worker->units().bulk.commit(worker->self().thread);
}

void wait(uint32_t groups, uint32_t read) {
    Worker* worker = Worker::current();
    if (worker->checker())
        worker->units().bulk.wait(*worker, worker->self().thread, groups, read != 0);
}

// st.async and red.async: a few bytes, which arrive like those of a bulk copy.
void store_async(uint64_t to, const void* words, uint32_t size, uint64_t barrier, uint32_t code,
                 uint32_t site) {
    if (to % size) fail("misaligned", format("%u bytes to an address that is no multiple of it", size),
                        site);
    send(to, words, size, barrier, operation_of(code), number_of(code), site);
}

}  // namespace

const std::vector<Function>& bulk_functions() {
    static const std::vector<Function> table = {
        {"bulk_load", address(load)},     {"bulk_store", address(store)},
        {"bulk_commit", address(commit)}, {"bulk_wait", address(wait)},
        {"store_async", address(store_async)},
    };
    return table;
}

}  // namespace pycnn_emu
