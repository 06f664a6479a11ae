// The watch: while a launch runs, every thread that runs blocks is sent a tick now and then.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <new>
#include <vector>

#include <pthread.h>

namespace pycnn_emu {

struct OutOfThreads : std::bad_alloc {
    const char* what() const noexcept override {
        return "the system allows no more threads; set PYCNN_EMULATOR_THREADS to fewer";
    }
};

// How often this process was forked off: what a launch holds is of no use in the child.
unsigned forks();

class Watch {
public:
    // The calling thread runs blocks while this lives.
    class Guard {
    public:
        explicit Guard(Watch& watch) : watch_(watch) { watch_.enter(); }
        ~Guard() {
            if (forks() == forks_) watch_.leave();
        }
        Guard(const Guard&) = delete;
        Guard& operator=(const Guard&) = delete;

    private:
        Watch& watch_;
        const unsigned forks_ = forks();
    };

    // Asks for the next tick soon: a thread made no progress. From a signal handler, too.
    static void hurry() { hurry_.store(true, std::memory_order_relaxed); }

private:
    struct Watched {
        pthread_t thread;
        bool seen;  // at a tick: only then is the launch long enough to be disturbed
    };

    void enter();
    void leave();
    void serve();

    static std::atomic<bool> hurry_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::vector<Watched> threads_;
    bool started_ = false, asleep_ = false;
};

}  // namespace pycnn_emu
