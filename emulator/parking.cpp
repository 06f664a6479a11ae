// Threads of a block that wait for something other than the block's barrier or their warp.
#include "checker.h"
#include "cluster.h"
#include "units.h"

namespace pycnn_emu {

Units& Worker::units() {
    if (!units_) units_ = std::make_unique<Units>();
    return *units_;
}

uint64_t Worker::run_beside(std::function<void()> operation) {
    if (checker_) return units().queue.submit(std::move(operation));
    operation();
    return 0;
}

std::string Worker::name_of(uintptr_t address) const {
    if (checker_) return checker_->array_at(address);
    return format("byte %zu of shared memory", address - reinterpret_cast<uintptr_t>(arena_));
}

bool Worker::park(const Site& site, bool polls) {
    Thread& me = thread_[current_];
    me.site = site;
    me.polls = polls;
    me.woken = false;
    block_current(State::kParked);
    return me.woken;
}

void Worker::wake(unsigned thread) {
    Thread& sleeper = thread_[thread];
    if (sleeper.state != State::kParked) return;
    sleeper.woken = true;
    progressed();
    make_ready(thread);
}

bool Worker::advance_units() {
    if (!units_ || !units_->queue.advance(launch_->order, random_)) return false;
    progressed();
    return true;
}

void Worker::progressed() {
    ticks_ = 0;
    if (cluster_ || alone_) cluster().progressed();
}

Cluster& Worker::cluster() {
    if (cluster_) return *cluster_;
    if (!alone_) {
        alone_ = std::make_unique<Cluster>(std::vector<Worker*>{this});
        alone_->begin();
        for (unsigned t = 0; t < threads_; ++t)
            if (thread_[t].state == State::kDone) alone_->thread_exits(*this, t);
    }
    return *alone_;
}

Worker* Worker::peer(uintptr_t address) const {
    Worker* owner = cluster_ ? cluster_->owner(address) : nullptr;
    return owner == this ? nullptr : owner;
}

bool Worker::can_run() const {
    if (done_ == threads_) return false;
    // One may have been stopped as it ran, to let the launch look around.
    bool stopped = thread_[current_].state == State::kRunning;
    return stopped || runnable() > 0 || (units_ && !units_->queue.empty());
}

// No thread of this block can go on, and nothing beside them: it is the turn of the cluster's other
// blocks, and if those cannot either, of the threads that poll. False if that is no use.
bool Worker::idle() {
    if (cluster().others_can_run(*this)) {
        pause();
        return true;
    }
    return cluster().release_polls();
}

// Those that poll are told that it is not so yet.
bool Worker::release_polls() {
    bool released = false;
    for (uint16_t thread : order_) {
        if (thread_[thread].state != State::kParked || !thread_[thread].polls) continue;
        make_ready(thread);
        released = true;
    }
    return released;
}

}  // namespace pycnn_emu
