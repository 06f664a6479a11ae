#include "launch.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <thread>
#include <unordered_map>

#include <dlfcn.h>
#include <pthread.h>

namespace pycnn_emu {

namespace {

using Clock = std::chrono::steady_clock;

// Order of the blocks: a permutation only where one is asked for.
class BlockOrder {
public:
    explicit BlockOrder(const Launch& launch)
        : count_(uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z),
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

// ---- Faults -----------------------------------------------------------------------------------

struct sigaction previous_action[3];
constexpr int kSignals[3] = {SIGSEGV, SIGBUS, SIGFPE};

void on_fault(int signal, siginfo_t* info, void*) {
    Worker* worker = Worker::current();
    if (worker && worker->running()) {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, signal);
        pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
        worker->fault(signal, info->si_addr);
    }
    // Not ours: whoever was there before sees it when the instruction runs again.
    for (int i = 0; i < 3; ++i)
        if (kSignals[i] == signal) sigaction(signal, &previous_action[i], nullptr);
}

void install_fault_handler() {
    static std::once_flag once;
    std::call_once(once, [] {
        struct sigaction action {};
        action.sa_sigaction = on_fault;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigemptyset(&action.sa_mask);
        for (int i = 0; i < 3; ++i) sigaction(kSignals[i], &action, &previous_action[i]);
    });
}

// A stack for the handler: the fiber's own may be what overflowed.
class AlternateStack {
public:
    AlternateStack() {
        sigaltstack(nullptr, &old_);
        if (!(old_.ss_flags & SS_DISABLE)) return;
        memory_.reset(new char[kSize]);  // not cleared: few launches ever use it
        stack_t mine{};
        mine.ss_sp = memory_.get();
        mine.ss_size = kSize;
        sigaltstack(&mine, nullptr);
    }
    ~AlternateStack() {
        if (memory_) sigaltstack(&old_, nullptr);
    }
    AlternateStack(const AlternateStack&) = delete;
    AlternateStack& operator=(const AlternateStack&) = delete;

private:
    static constexpr size_t kSize = 64 * 1024;
    stack_t old_{};
    std::unique_ptr<char[]> memory_;
};

// ---- The pool ---------------------------------------------------------------------------------

struct Job {
    Job(const Launch& l, const BlockOrder& o, uint64_t c) : launch(l), order(o), chunk(c) {}

    const Launch& launch;
    const BlockOrder& order;
    const uint64_t chunk;  // blocks a worker takes at a time
    std::atomic<uint64_t> next{0};
    std::atomic<bool> stop{false};
    std::mutex mutex;
    Outcome outcome;

    void work(Worker& worker, const std::function<bool()>* interrupted) {
        auto asked = Clock::now();
        worker.begin(launch, nullptr);
        while (!stop.load(std::memory_order_relaxed)) {
            uint64_t first = next.fetch_add(chunk);
            if (first >= order.count()) break;
            uint64_t end = std::min(first + chunk, order.count());
            for (uint64_t i = first; i < end; ++i) {
                if (worker.run_block(order[i])) continue;
                std::lock_guard<std::mutex> lock(mutex);
                if (!outcome.report) outcome.report = worker.report();
                stop = true;
                break;
            }
            if (interrupted && Clock::now() - asked > std::chrono::milliseconds(50)) {
                asked = Clock::now();
                if ((*interrupted)()) {
                    outcome.interrupted = true;
                    stop = true;
                }
            }
        }
        worker.end();
    }
};

// Helpers live as long as the process; threads made for each launch would cost more than it.
class Pool {
public:
    void start(unsigned helpers) {
        while (threads_ < helpers) {
            ++threads_;
            std::thread([this] { serve(); }).detach();
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
    void serve() {
        AlternateStack stack;
        Worker worker;
        std::unique_lock<std::mutex> lock(mutex_);
        for (;;) {
            wake_.wait(lock, [this] { return wanted_ > 0; });
            --wanted_;
            ++busy_;
            Job* job = job_;
            lock.unlock();
            job->work(worker, nullptr);
            lock.lock();
            if (--busy_ == 0) idle_.notify_all();
        }
    }

    std::mutex mutex_;
    std::condition_variable wake_, idle_;
    Job* job_ = nullptr;
    unsigned threads_ = 0, wanted_ = 0, busy_ = 0;
};

struct Emulator {
    std::mutex launching;  // one launch at a time, as on one stream
    Pool pool;
    Worker caller;  // runs on whichever thread launches
};

Emulator* instance = nullptr;

Emulator& emulator() {
    static std::once_flag once;
    std::call_once(once, [] {
        instance = new Emulator;
        // A forked child has none of the helpers: it starts afresh and leaves the rest behind.
        pthread_atfork(nullptr, nullptr, [] { instance = new Emulator; });
    });
    return *instance;
}

}  // namespace

Outcome run(const Launch& launch, unsigned workers, const std::function<bool()>& interrupted) {
    Emulator& e = emulator();
    std::lock_guard<std::mutex> lock(e.launching);
    install_fault_handler();
    AlternateStack stack;
    BlockOrder order(launch);
    auto helpers = static_cast<unsigned>(std::min<uint64_t>(workers, order.count())) - 1;
    Job job(launch, order, std::max<uint64_t>(1, order.count() / (uint64_t{workers} * 64)));
    if (helpers) {
        e.pool.start(workers - 1);
        e.pool.run(job, helpers);
    }
    job.work(e.caller, &interrupted);
    if (helpers) e.pool.finish();
    return std::move(job.outcome);
}

Outcome run_checked(const Launch& launch, Knowledge knowledge,
                    const std::function<bool()>& interrupted) {
    Emulator& e = emulator();
    std::lock_guard<std::mutex> lock(e.launching);
    install_fault_handler();
    AlternateStack stack;
    BlockOrder order(launch);
    Checker checker(std::move(knowledge), reinterpret_cast<const void*>(launch.entry));
    Outcome outcome;
    Worker& worker = e.caller;
    worker.begin(launch, &checker);
    auto asked = Clock::now();
    for (uint64_t i = 0; i < order.count(); ++i) {
        if (!worker.run_block(order[i])) {
            outcome.report = worker.report();
            break;
        }
        if (Clock::now() - asked > std::chrono::milliseconds(50)) {
            asked = Clock::now();
            if ((outcome.interrupted = interrupted())) break;
        }
    }
    worker.end();
    outcome.counters = checker.counters();
    return outcome;
}

}  // namespace pycnn_emu

using pycnn_emu::Checker;
using pycnn_emu::SharedVariable;
using pycnn_emu::Worker;

extern "C" {

void pycnn_emu_register_shared(SharedVariable* variable) {
    static std::mutex mutex;
    static std::unordered_map<void*, long> used;  // bytes of each library
    constexpr long kGap = 64;                      // so that one array does not run into the next
    {
        std::lock_guard<std::mutex> lock(mutex);
        if (variable->offset < 0) {
            Dl_info info;
            dladdr(variable, &info);
            long& end = used[info.dli_fbase];
            auto align = static_cast<long>(std::max<size_t>(variable->align, 16));
            long offset = (end + align - 1) / align * align;
            end = offset + static_cast<long>(variable->size) + kGap;
            __atomic_store_n(&variable->offset, offset, __ATOMIC_RELEASE);
        }
    }
    if (Checker* checker = Worker::current()->checker()) checker->register_shared(*variable);
}

void pycnn_emu_name_dynamic(const char* name) {
    if (Checker* checker = Worker::current()->checker()) checker->name_dynamic(name);
}

void pycnn_emu_access(const void* address, size_t size, int access, void* pc) {
    Worker* worker = Worker::current();
    if (worker && worker->checker())
        worker->checker()->access(worker->self().thread, address, size, access, pc);
}

void pycnn_emu_lane_access(int lane, const void* address, size_t size, int access, void* pc) {
    Worker* worker = Worker::current();
    unsigned thread = worker->self().thread / pycnn_emu::kWarp * pycnn_emu::kWarp +
                      static_cast<unsigned>(lane);
    if (worker->checker()) worker->checker()->access(thread, address, size, access, pc);
}

void pycnn_emu_compare_access(const void* address, const void* expected, size_t size, void* pc) {
    Worker* worker = Worker::current();
    if (worker && worker->checker())
        worker->checker()->compare_and_swap(worker->self().thread, address, expected, size, pc);
}

void pycnn_emu_fence() {
    Worker* worker = Worker::current();
    if (worker->checker())
        worker->checker()->fence(worker->self().thread, true);
    else
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void pycnn_emu_fence_block() {
    Worker* worker = Worker::current();
    if (worker->checker()) worker->checker()->fence(worker->self().thread, false);
}

void* pycnn_emu_malloc(size_t size) { return pycnn_emu::Heap::allocate(size); }

void pycnn_emu_free(void* pointer, void* pc) {
    Worker* worker = Worker::current();
    worker->checker()->release_memory(worker->self().thread, pointer, pc);
}

void pycnn_emu_copy_async(void* shared, const void* global, size_t size, size_t source_size,
                          void* pc) {
    Worker* worker = Worker::current();
    worker->checker()->copy_async(worker->self().thread, shared, global, size, source_size, pc);
}

void pycnn_emu_copy_commit() {
    Worker* worker = Worker::current();
    worker->checker()->copy_commit(worker->self().thread);
}

void pycnn_emu_copy_wait(int groups_in_flight) {
    Worker* worker = Worker::current();
    worker->checker()->copy_wait(worker->self().thread, static_cast<size_t>(groups_in_flight));
}

void pycnn_emu_index_out_of_bounds(const char* file, int line, long long index) {
    pycnn_emu::Report report;
    report.kind = "out_of_bounds";
    report.message = pycnn_emu::format("index %lld is outside the extent of an array", index);
    report.where = pycnn_emu::Position{file, line, nullptr};
    Worker::current()->fail(std::move(report));
}

void pycnn_emu_outside_object(const char* file, int line, const void* address) {
    pycnn_emu::Report report;
    report.kind = "out_of_bounds";
    report.message = "access outside the variable that the pointer points into";
    report.where = pycnn_emu::Position{file, line, nullptr};
    report.address = address;
    Worker::current()->fail(std::move(report));
}
}
