// Threads of a block that wait for something other than the block's barrier or their warp.
#include "checker.h"
#include "units.h"

namespace pycnn_emu {

namespace {

// How often those that poll are let go with nothing having happened since: a loop may ask twice.
constexpr unsigned kRounds = 4;

}  // namespace

Units& Worker::units() {
    if (!units_) units_ = std::make_unique<Units>();
    return *units_;
}

uint64_t Worker::run_beside(std::function<void()> operation) {
    if (checker_) return units().queue.submit(std::move(operation));
    operation();
    return 0;
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

// Nobody can go on: those that poll are told that it is not so yet, unless it leads nowhere.
bool Worker::release_polls() {
    rounds_ = polled_ == events_ ? rounds_ + 1 : 1;
    polled_ = events_;
    if (rounds_ > kRounds) return false;
    bool released = false;
    for (uint16_t thread : order_) {
        if (thread_[thread].state != State::kParked || !thread_[thread].polls) continue;
        make_ready(thread);
        released = true;
    }
    return released;
}

}  // namespace pycnn_emu
