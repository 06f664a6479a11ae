#include "watch.h"

#include <algorithm>
#include <system_error>
#include <thread>

#include "faults.h"

namespace pycnn_emu {

namespace {

// Long enough to cost nothing, and short where threads wait for each other in loops.
constexpr auto kPeriod = std::chrono::milliseconds(20);
constexpr auto kShortPeriod = std::chrono::milliseconds(1);
// With no launch for so many periods it sleeps, and the next launch must wake it.
constexpr int kIdlePeriods = 10;

}  // namespace

std::atomic<bool> Watch::hurry_{false};

void Watch::enter() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!started_) {
        try {
            std::thread([this] { serve(); }).detach();
        } catch (const std::system_error&) {
            throw OutOfThreads();
        }
        started_ = true;
    }
    threads_.push_back(Watched{pthread_self(), false});
    if (asleep_) wake_.notify_one();
}

void Watch::leave() {
    std::lock_guard<std::mutex> lock(mutex_);
    auto mine = std::find_if(threads_.rbegin(), threads_.rend(), [](const Watched& w) {
        return pthread_equal(w.thread, pthread_self());
    });
    if (mine != threads_.rend()) threads_.erase(std::next(mine).base());  // a child's are not there
}

void Watch::serve() {
    std::unique_lock<std::mutex> lock(mutex_);
    int idle = 0;
    for (;;) {
        if (threads_.empty() && ++idle > kIdlePeriods) {
            asleep_ = true;
            wake_.wait(lock, [this] { return !threads_.empty(); });
            asleep_ = false;
        }
        auto period = hurry_.exchange(false, std::memory_order_relaxed) ? kShortPeriod : kPeriod;
        wake_.wait_for(lock, period, [] { return false; });
        if (!threads_.empty()) idle = 0;
        for (Watched& watched : threads_) {
            if (watched.seen) pthread_kill(watched.thread, kTick);
            watched.seen = true;
        }
    }
}

}  // namespace pycnn_emu
