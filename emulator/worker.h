// A worker runs the blocks of a launch, one at a time, each CUDA thread on a fiber.
//
// Fibers start lazily: a fiber runs one thread after another in a plain loop, and only when a
// thread blocks does the next one get a fiber of its own. A kernel without barriers is a loop.
#pragma once

#include <csetjmp>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "fiber.h"
#include "include/pycnn_emulator/abi.h"
#include "report.h"

namespace pycnn_emu {

class Checker;

enum class Order { kForward, kReverse, kRandom };

struct Launch {
    const Entry* entry;
    dim3 grid;
    dim3 block;
    size_t dynamic_shared;
    void* const* args;
    Order order;
    uint64_t seed;
};

constexpr unsigned kWarp = 32;
constexpr unsigned kMaxThreads = 1024;
constexpr size_t kSharedLimit = 227 * 1024;  // the most dynamic shared memory of any architecture
constexpr size_t kStaticLimit = 48 * 1024;
constexpr size_t kDynamicSpan = 256 * 1024;    // dynamic shared memory, then a gap
constexpr size_t kStaticSpan = 4 * 1024 * 1024;  // all `__shared__` variables of one module

class Worker {
public:
    Worker();
    ~Worker();

    // Prepares for the blocks of `launch`; `checker` is null in the fast build.
    void begin(const Launch& launch, Checker* checker);
    // Runs one block; false when a report was made, which ends the launch.
    bool run_block(uint64_t linear_index);
    void end();

    const std::optional<Report>& report() const { return report_; }
    Self& self() { return *self_; }
    Stacks& stacks() { return stacks_; }
    char* arena() const { return arena_; }
    static constexpr size_t arena_size() { return kDynamicSpan + kStaticSpan; }
    const Launch& launch() const { return *launch_; }
    unsigned threads() const { return threads_; }
    bool running() const { return running_; }
    Checker* checker() const { return checker_; }
    // From the signal handler: abandons the block; run_block makes the report.
    [[noreturn]] void fault(int signal, const void* address);

    // Called by a running thread.
    pycnn_emu_votes barrier(int predicate, const Site& site);
    void collective(unsigned mask, void* data, pycnn_emu_combine combine, const Site& site);
    unsigned activemask(const Site& site);
    // From a collective's combine function.
    void absent_lane(int lane, int source, unsigned mask);
    [[noreturn]] void fail(Report report);
    static Worker* current();

private:
    enum class State : uint8_t { kUnstarted, kRunning, kReady, kBarrier, kCollective, kActive, kDone };

    struct Thread {
        State state = State::kUnstarted;
        Fiber* fiber = nullptr;
        Site site{};
        unsigned result = 0;  // of __activemask
    };

    struct Pending {  // a warp collective that waits for lanes
        unsigned mask;      // as the callers gave it
        unsigned expected;  // lanes of it that exist and have not exited
        unsigned arrived;
        pycnn_emu_combine combine;
        Site site;
        void* data[kWarp];
    };

    static void fiber_main(void* worker);
    void loop();
    void finish_thread();
    void leave();                 // this fiber has no thread: continue elsewhere
    void block_current(State s);  // this thread waits for an event
    void wait();                  // continue elsewhere until this thread is ready
    Fiber* next_fiber();          // one to continue on, or null when the block is done
    void switch_to(Fiber* to);
    void make_ready(unsigned thread);
    unsigned take_ready();
    void set_thread(unsigned thread);
    bool barrier_complete() const { return arrived_ > 0 && arrived_ == threads_ - done_; }
    void release_barrier();
    void check_barrier();
    void complete(unsigned warp, size_t index);
    bool release_active();
    void set_report(Report report);
    void report_fault();
    [[noreturn]] void deadlock();
    std::string where_all_wait() const;
    unsigned lanes_of(unsigned warp) const;

    Stacks stacks_;
    Self* self_;
    char* arena_;
    Fiber main_;
    std::jmp_buf fault_exit_;
    volatile int fault_signal_ = 0;
    const void* volatile fault_address_ = nullptr;

    const Launch* launch_ = nullptr;
    Checker* checker_ = nullptr;
    bool running_ = false;
    unsigned threads_ = 0;
    std::vector<uint16_t> order_;
    std::vector<uint3> index_;  // threadIdx of each thread
    std::vector<Thread> thread_;
    std::vector<std::vector<Pending>> pending_;  // one list a warp

    // State of the running block.
    unsigned next_ = 0;  // position in order_ of the first thread not started
    unsigned done_ = 0;
    unsigned arrived_ = 0;
    pycnn_emu_votes arriving_{0, 1, 0};  // of the threads that wait at the barrier
    pycnn_emu_votes votes_{0, 1, 0};     // of the barrier released last
    std::vector<unsigned> exited_;       // lanes of each warp
    unsigned current_ = 0;
    Site combining_{};  // whose values are being exchanged
    Fiber* active_ = nullptr;
    size_t fibers_used_ = 0;
    std::vector<uint16_t> ready_;
    size_t ready_head_ = 0;
    std::mt19937_64 random_;
    std::optional<Report> report_;
};

}  // namespace pycnn_emu
