#include "cluster.h"

#include <algorithm>
#include <utility>

#include "checker.h"

namespace pycnn_emu {

namespace {

// How often those that poll are let go with nothing having happened since: a loop may ask twice.
constexpr unsigned kRounds = 4;

[[noreturn]] void refuse(Worker& worker, const char* message, const Site& site) {
    Report report;
    report.kind = "divergent_barrier";
    report.message = message;
    report.where = at(site);
    worker.fail(std::move(report));
}

}  // namespace

void Cluster::begin() {
    state_.assign(blocks_.size(), {});
    alive_ = 0;
    for (const Worker* block : blocks_) alive_ += block->threads();
    missing_ = alive_;
    arriving_ = completed_ = Known{};
    events_ = polled_ = rounds_ = 0;
}

Worker* Cluster::owner(uintptr_t address) const {
    for (Worker* block : blocks_)
        if (address - reinterpret_cast<uintptr_t>(block->arena()) < Worker::arena_size())
            return block;
    return nullptr;
}

bool Cluster::others_can_run(const Worker& worker) const {
    return std::any_of(blocks_.begin(), blocks_.end(), [&](const Worker* block) {
        return block != &worker && block->can_run();
    });
}

bool Cluster::release_polls() {
    rounds_ = polled_ == events_ ? rounds_ + 1 : 1;
    polled_ = events_;
    if (rounds_ > kRounds) return false;
    bool released = false;
    for (Worker* block : blocks_) released |= block->release_polls();
    return released;
}

Cluster::Block& Cluster::of(const Worker& worker) {
    auto at = std::find(blocks_.begin(), blocks_.end(), &worker);
    return state_[static_cast<size_t>(at - blocks_.begin())];
}

void Cluster::arrive(Worker& worker, Known known, const Site& site) {
    unsigned thread = worker.self().thread;
    Block& block = of(worker);
    if (block.owes[thread])
        refuse(worker, "a thread arrives at the cluster's barrier again, and has not waited", site);
    block.owes.set(thread);
    block.arrived.set(thread);
    block.released.reset(thread);
    arriving_.add(known);
    if (--missing_ == 0) complete();
}

void Cluster::wait(Worker& worker, bool acquires, const Site& site) {
    unsigned thread = worker.self().thread;
    Block& block = of(worker);
    if (!block.owes[thread])
        refuse(worker, "a thread waits at the cluster's barrier, and has not arrived", site);
    while (!block.released[thread]) {
        block.waiting.push_back(static_cast<uint16_t>(thread));
        worker.park(site, false);
    }
    block.owes.reset(thread);
    if (acquires && worker.checker()) worker.checker()->learn(thread, completed_);
}

void Cluster::thread_exits(Worker& worker, unsigned thread) {
    --alive_;
    Block& block = of(worker);
    if (!block.arrived[thread] && --missing_ == 0 && alive_) complete();
}

void Cluster::complete() {
    completed_ = std::exchange(arriving_, Known{});
    missing_ = alive_;
    progressed();
    for (size_t i = 0; i < blocks_.size(); ++i) {
        Block& block = state_[i];
        block.released |= block.arrived;
        block.arrived.reset();
        auto waiting = std::exchange(block.waiting, {});
        for (uint16_t thread : waiting) blocks_[i]->wake(thread);
    }
}

std::string Cluster::describe(const Worker& worker) const {
    std::string text;
    if (std::any_of(state_.begin(), state_.end(), [](const Block& b) { return b.arrived.any(); }))
        text += format("\n  barrier.cluster: %zu of %zu threads have yet to arrive", missing_, alive_);
    for (const Worker* block : blocks_)
        if (block != &worker) {
            const uint3& at = block->index();
            text += format("\n  block (%u, %u, %u): ", at.x, at.y, at.z) + block->where_all_wait();
        }
    return text;
}

}  // namespace pycnn_emu
