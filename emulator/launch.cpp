#include "launch.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <ctime>
#include <memory>
#include <mutex>
#include <new>
#include <numeric>
#include <random>
#include <system_error>
#include <thread>

#include <pthread.h>

#include "faults.h"
#include "gang.h"
#include "watch.h"

namespace pycnn_emu {

namespace {

using Clock = std::chrono::steady_clock;

// Order of the blocks, or of the clusters of them: a permutation only where one is asked for.
class BlockOrder {
public:
    explicit BlockOrder(const Launch& launch)
        : count_(uint64_t{launch.grid.x / launch.cluster.x} * (launch.grid.y / launch.cluster.y) *
                 (launch.grid.z / launch.cluster.z)),
          reverse_(launch.order == Order::kReverse) {
        if (launch.order != Order::kRandom || count_ > kLargestShuffle) return;
        shuffled_.resize(count_);
        std::iota(shuffled_.begin(), shuffled_.end(), 0u);
        std::mt19937_64 random(launch.seed);
        std::shuffle(shuffled_.begin(), shuffled_.end(), random);
    }
    uint64_t count() const { return count_; }
    uint64_t operator[](uint64_t position) const {
        if (!shuffled_.empty()) return shuffled_[position];
        return reverse_ ? count_ - 1 - position : position;
    }

private:
    static constexpr uint64_t kLargestShuffle = uint64_t{1} << 22;
    uint64_t count_;
    bool reverse_;
    std::vector<uint32_t> shuffled_;
};

// Blocks that wait for other blocks, with the workers that hold them. Their threads are limited: each
// has a stack, and the guards of the stacks use up what a process may map.
constexpr size_t kWaitingThreads = 16384;

struct Job {
    Job(const Launch& l, const BlockOrder& o, unsigned workers)
        : launch(l),
          order(o),
          chunk(std::max<uint64_t>(1, o.count() / (uint64_t{workers} * 64))),
          most_waiting(std::max<size_t>(2, kWaitingThreads / workers / l.block.x / l.block.y /
                                               l.block.z / l.cluster.x / l.cluster.y /
                                               l.cluster.z)),
          deadline(l.timeout > 0 ? Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                                      std::chrono::duration<double>(l.timeout))
                                 : Clock::time_point::max()) {}

    const Launch& launch;
    const BlockOrder& order;
    const uint64_t chunk;  // clusters a worker takes at a time
    const size_t most_waiting;
    const Clock::time_point deadline;
    const std::clock_t begun = std::clock();
    // Both clocks: other processes may keep this one from the processors for any time.
    bool late(Clock::time_point now) const {
        return now > deadline &&
               static_cast<double>(std::clock() - begun) > launch.timeout * CLOCKS_PER_SEC;
    }
    std::atomic<uint64_t> next{0};
    std::atomic<bool> stop{false};
    std::mutex mutex;
    Outcome outcome;

    void fail(Report report) {
        std::lock_guard<std::mutex> lock(mutex);
        if (!outcome.report) outcome.report = std::move(report);
        stop = true;
    }
};

// One operating-system thread's part of a launch.
class Share {
public:
    Share(Job& job, Worker& own, Checker* checker, const Interrupted* interrupted)
        : job_(job), own_(own), checker_(checker), interrupted_(interrupted) {}

    void work() {
        Self* outer = pycnn_emu_self;  // of the launch that a signal handler interrupted
        try {
            more_.push_back(std::make_unique<Gang>(job_.launch, checker_, &own_));
            free_.push_back(more_.back().get());
            while (step()) {
            }
        } catch (const std::bad_alloc&) {
            Report report;
            report.kind = "memory";
            report.message = "out of memory";
            job_.fail(std::move(report));
        }
        pycnn_emu_self = outer;  // before the stacks go that it points into: the watch may look
        more_.clear();
        own_.end();
    }

private:
    using Status = Worker::Status;

    // Runs one cluster until it is done or waits for others; false when there is nothing left to do.
    bool step() {
        if (job_.stop.load(std::memory_order_relaxed)) return false;
        Gang* gang;
        Status status;
        if (!free_.empty() && take()) {
            gang = free_.back();
            free_.pop_back();
            status = gang->run(job_.order[first_++]);
        } else if (!waiting_.empty()) {
            gang = waiting_.front();
            waiting_.erase(waiting_.begin());
            status = gang->resume();
        } else {
            return false;
        }
        while (status == Status::kPaused) {
            if (!go_on(gang->worker())) return false;
            if (gang->stalled() && make_way()) {
                gang->rested();
                waiting_.push_back(gang);
                return true;
            }
            status = gang->resume();
        }
        free_.push_back(gang);
        if (status == Status::kFailed) job_.fail(*gang->worker().report());
        return status == Status::kDone && (!gang->worker().self().poll || go_on(gang->worker()));
    }

    // Whether there is a cluster that has not begun, the next of which is first_.
    bool take() {
        if (first_ < end_) return true;
        first_ = job_.next.fetch_add(job_.chunk);
        end_ = std::min(first_ + job_.chunk, job_.order.count());
        return first_ < end_;
    }

    // Whether something else can run while a cluster waits: another that does, or a new one.
    bool make_way() {
        if (free_.empty() && waiting_.size() < job_.most_waiting && take()) {
            try {
                more_.push_back(std::make_unique<Gang>(job_.launch, checker_, nullptr));
                free_.push_back(more_.back().get());
            } catch (const std::bad_alloc&) {  // then those there are must do
            }
        }
        return !free_.empty() || !waiting_.empty();
    }

    // Asked at every tick: whether the launch is to go on.
    bool go_on(Worker& worker) {
        if (job_.stop) return false;
        auto now = Clock::now();
        if (job_.late(now)) {
            job_.fail(worker.hang(format("not done after %g s", job_.launch.timeout)));
            return false;
        }
        if (!interrupted_ || now - asked_ < std::chrono::milliseconds(50)) return true;
        asked_ = now;
        unsigned before = forks();
        if ((*interrupted_)()) {
            job_.outcome.interrupted = true;
            job_.stop = true;
        } else if (forks() != before) {
            Report report = worker.hang("the process was forked in a signal handler");
            report.kind = "forked";
            job_.fail(std::move(report));
        }
        return !job_.stop;
    }

    Job& job_;
    Worker& own_;
    Checker* const checker_;
    const Interrupted* const interrupted_;
    Clock::time_point asked_ = Clock::now();
    uint64_t first_ = 0, end_ = 0;  // clusters that were taken and have not begun
    std::vector<Gang*> free_;
    std::vector<Gang*> waiting_;  // the one that has waited longest first
    std::vector<std::unique_ptr<Gang>> more_;
};

// ---- The pool ---------------------------------------------------------------------------------

// Helpers live as long as the process; threads made for each launch would cost more than it.
class Pool {
public:
    explicit Pool(Watch& watch) : watch_(watch) {}

    void start(unsigned helpers) {
        while (threads_ < helpers) {
            auto* worker = new Worker;  // here, where its failure can be told
            try {
                std::thread([this, worker] { serve(*worker); }).detach();
            } catch (const std::system_error&) {
                delete worker;
                throw OutOfThreads();
            }
            ++threads_;
        }
    }
    void run(Job& job, unsigned helpers) {
        std::unique_lock<std::mutex> lock(mutex_);
        job_ = &job;
        wanted_ = helpers;
        busy_ = 0;
        wake_.notify_all();
    }
    void finish() {
        std::unique_lock<std::mutex> lock(mutex_);
        wanted_ = 0;  // whoever has not started need not
        idle_.wait(lock, [this] { return busy_ == 0; });
        job_ = nullptr;
    }

private:
    void serve(Worker& worker) {
        handle_faults();
        std::unique_lock<std::mutex> lock(mutex_);
        for (;;) {
            wake_.wait(lock, [this] { return wanted_ > 0; });
            --wanted_;
            ++busy_;
            Job* job = job_;
            lock.unlock();
            {
                Watch::Guard watched(watch_);
                Share(*job, worker, nullptr, nullptr).work();
            }
            lock.lock();
            if (--busy_ == 0) idle_.notify_all();
        }
    }

    Watch& watch_;
    std::mutex mutex_;
    std::condition_variable wake_, idle_;
    Job* job_ = nullptr;
    unsigned threads_ = 0, wanted_ = 0, busy_ = 0;
};

struct Emulator {
    std::timed_mutex launching;  // one launch at a time, as on one stream
    Watch watch;
    Pool pool{watch};
    Worker caller;  // runs on whichever thread launches
};

Emulator* instance = nullptr;
std::atomic<unsigned> fork_count{0};

Emulator& emulator() {
    std::lock_guard<std::mutex> lock(fork_lock);
    static bool registered = false;
    if (!registered) {
        registered = true;
        // A forked child has none of the helpers: it starts afresh and leaves the rest behind.
        pthread_atfork([] { fork_lock.lock(); }, [] { fork_lock.unlock(); },
                       [] {
                           instance = nullptr;
                           ++fork_count;
                           fork_lock.unlock();
                       });
    }
    if (!instance) instance = new Emulator;
    return *instance;
}

// The right to launch. A launch from a signal handler that interrupts one on the same thread gets
// it at once, with a worker of its own: to wait for the other would be to wait for itself.
class Turn {
public:
    Turn(Emulator& e, const Interrupted& interrupted) : lock_(e.launching, std::defer_lock) {
        if (depth_ == 0)
            while (!lock_.try_lock_for(std::chrono::milliseconds(50)))
                if (interrupted()) return;
        if (depth_ > 0) own_ = std::make_unique<Worker>();
        ++depth_;
        granted_ = true;
        worker_ = own_ ? own_.get() : &e.caller;
    }
    ~Turn() {
        if (granted_) --depth_;
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

    bool granted() const { return granted_; }
    bool nested() const { return own_ != nullptr; }
    Worker& worker() { return *worker_; }

private:
    static thread_local unsigned depth_;
    std::unique_lock<std::timed_mutex> lock_;
    std::unique_ptr<Worker> own_;
    Worker* worker_ = nullptr;
    bool granted_ = false;
};

thread_local unsigned Turn::depth_ = 0;

}  // namespace

std::mutex fork_lock;

unsigned forks() { return fork_count.load(std::memory_order_relaxed); }

Outcome run(const Launch& launch, unsigned workers, const Interrupted& interrupted) {
    Emulator& e = emulator();
    Turn turn(e, interrupted);
    if (!turn.granted()) return Outcome{{}, {}, true};
    if (turn.nested()) workers = 1;
    handle_faults();
    BlockOrder order(launch);
    auto helpers = static_cast<unsigned>(std::min<uint64_t>(workers, order.count())) - 1;
    Job job(launch, order, workers);
    unsigned before = forks();
    if (helpers) e.pool.start(helpers);
    Watch::Guard watched(e.watch);
    if (helpers) e.pool.run(job, helpers);
    Share(job, turn.worker(), nullptr, &interrupted).work();
    if (helpers && forks() == before) e.pool.finish();  // a child has no helpers
    return std::move(job.outcome);
}

Outcome run_checked(const Launch& launch, Knowledge knowledge, const Interrupted& interrupted) {
    Emulator& e = emulator();
    Turn turn(e, interrupted);
    if (!turn.granted()) return Outcome{{}, {}, true};
    handle_faults();
    BlockOrder order(launch);
    Checker checker(std::move(knowledge), reinterpret_cast<const void*>(launch.entry));
    Job job(launch, order, 1);
    Watch::Guard watched(e.watch);
    Share(job, turn.worker(), &checker, &interrupted).work();
    job.outcome.counters = checker.counters();
    return std::move(job.outcome);
}

}  // namespace pycnn_emu
