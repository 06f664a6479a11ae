// A worker runs the blocks of a launch, one at a time, each CUDA thread on a fiber.
//
// Fibers start lazily: a fiber runs one thread after another in a plain loop, and only when a
// thread blocks does the next one get a fiber of its own. A kernel without barriers is a loop.
#pragma once

#include <csetjmp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "fiber.h"
#include "include/pycnn_emulator/abi.h"
#include "report.h"

namespace pycnn_emu {

class Checker;
class Cluster;
struct Units;

enum class Order { kForward, kReverse, kRandom };

struct Launch {
    const Entry* entry;
    dim3 grid;
    dim3 block;
    size_t dynamic_shared;
    void* const* args;
    Order order;
    uint64_t seed;
    uintptr_t code;    // where the kernel's instructions are
    size_t code_size;
    double timeout;      // seconds, 0 for none
    uint64_t max_steps;  // memory accesses of a checked launch, 0 for any number
    dim3 cluster = dim3();  // blocks of a cluster
    bool clustered = false;
    // What runs a thread, if it is not the entry's `invoke`: gets args[1] and args[2].
    void (*code_of_thread)(Self*, void*, void*) = nullptr;
};

// What a thread sees of its cluster; at a fixed place behind Self, see pycnn/emulator/ptx/special.py.
struct ClusterPlace {
    uint3 block{0, 0, 0};  // within the cluster
    dim3 blocks;
    uint3 index{0, 0, 0};  // of the cluster
    dim3 clusters;
    unsigned rank = 0, count = 1, is_explicit = 0;
};

// Self is the first member, so that the one thread-local pointer leads to the worker as well.
class Worker;
struct PrivatePage {
    Self self;
    Worker* worker;
    alignas(256) ClusterPlace cluster;
};

constexpr unsigned kWarp = 32;
constexpr unsigned kMaxThreads = 1024;
constexpr size_t kSharedLimit = 227 * 1024;  // the most dynamic shared memory of any architecture
constexpr size_t kStaticLimit = 48 * 1024;
constexpr unsigned kSlice = 1 << 14;  // steps after which it is another thread's turn
constexpr size_t kDynamicSpan = 256 * 1024;    // dynamic shared memory, then a gap
constexpr size_t kStaticSpan = 4 * 1024 * 1024;  // all `__shared__` variables of one module

class Worker {
public:
    Worker();
    ~Worker();

    // Prepares for the blocks of `launch`; `checker` is null in the fast build.
    void begin(const Launch& launch, Checker* checker);
    enum class Status { kDone, kFailed, kPaused };
    // Runs one block until it is done, has failed (a report ends the launch) or wants to be asked
    // whether to go on, which `resume` does.
    Status run_block(uint64_t linear_index) {
        prepare(linear_index);
        return start();
    }
    // The two halves of it: of a cluster, all blocks are prepared before any starts.
    void prepare(uint64_t linear_index);
    Status start();
    Status resume();
    void end();

    const std::optional<Report>& report() const { return report_; }
    Self& self() { return *self_; }
    Stacks& stacks() { return stacks_; }
    char* arena() const { return arena_; }
    static constexpr size_t arena_size() { return kDynamicSpan + kStaticSpan; }
    const Launch& launch() const { return *launch_; }
    unsigned threads() const { return threads_; }
    const uint3& index() const { return self_->blockIdx; }
    bool done() const { return done_ == threads_; }
    // Lanes that the block has and that have not exited.
    unsigned live_lanes(unsigned warp) const { return lanes_of(warp) & ~exited_[warp]; }
    // The blocks that run together with this one, itself included; set where there are several.
    Cluster& cluster();
    void join(Cluster* cluster) { cluster_ = cluster; }
    ClusterPlace& place();
    // The other block of the cluster that an address of shared memory belongs to, or null.
    Worker* peer(uintptr_t address) const;
    // Whether a thread, or an operation beside them, can go on.
    bool can_run() const;
    bool release_polls();
    std::string where_all_wait() const;
    bool running() const { return running_; }
    Checker* checker() const { return checker_; }
    // From the signal handler: abandons the block; run_block makes the report.
    [[noreturn]] void fault(int signal, const void* address, const void* pc);
    // From a signal handler, now and then: the launch wants to look around, and other threads wait.
    void tick(const void* pc);
    // No thread of the block got anywhere although each had its turn: it may wait for other blocks.
    bool stalled() const { return !torn_ && ticks_ > runnable() + 1; }
    void rested() { ticks_ = 0; }
    // Why the launch was ended from outside, and what its threads were doing.
    Report hang(const std::string& why) const;

    // Called by a running thread.
    pycnn_emu_votes barrier(int predicate, const Site& site);
    void collective(unsigned mask, void* data, pycnn_emu_combine combine, const Site& site);
    unsigned activemask(const Site& site);
    void yield(const Site& site);
    void give_way(const void* pc);  // of a thread that runs
    // One memory access of the checked build. A thread that reads and reads may wait for another to
    // write.
    void step(const void* pc) {
        pc_[current_] = pc;
        if (++steps_ == launch_->max_steps) out_of_steps();
        if (++slice_ >= kSlice && !in_combine_) end_slice();
    }
    // Until another calls `wake`, or nobody else can go on: then it returns false to one that
    // `polls`, which asks again, and is the end of a launch with any other.
    bool park(const Site& site, bool polls);
    void wake(unsigned thread);
    // What works beside the threads of the block, and what they wait for there: units.h.
    Units& units();
    // Runs at once in the fast build, and beside the threads in the checked one.
    uint64_t run_beside(std::function<void()> operation);
    // What lies at an address of shared memory, in words.
    std::string name_of(uintptr_t address) const;
    // From a collective's combine function.
    void absent_lane(int lane, int source, unsigned mask);
    [[noreturn]] void fail(Report report);
    [[noreturn]] void out_of_memory();
    static Worker* current();
    static Worker& of(Self& self) { return *reinterpret_cast<PrivatePage&>(self).worker; }

private:
    enum class State : uint8_t {
        kUnstarted, kRunning, kReady, kBarrier, kCollective, kActive, kParked, kDone
    };

    struct Thread {
        State state = State::kUnstarted;
        Fiber* fiber = nullptr;
        Site site{};
        unsigned result = 0;  // of __activemask
        bool polls = false, woken = false;  // while parked
    };

    struct Pending {  // a warp collective that waits for lanes
        unsigned mask;      // as the callers gave it
        unsigned expected;  // lanes of it that exist and have not exited
        unsigned arrived;
        pycnn_emu_combine combine;
        Site site;
        void* data[kWarp];
    };

    Status enter(Fiber& fiber);
    static void fiber_main(void* worker);
    void loop();
    void finish_thread();
    void count_done();
    void leave();                 // this fiber has no thread: continue elsewhere
    void block_current(State s);  // this thread waits for an event
    __attribute__((noinline, cold)) void pause();
    void wait();                  // continue elsewhere until this thread is ready
    Fiber* next_fiber();          // one to continue on, or null when the block is done
    void switch_to(Fiber* to);
    void out_of_steps();
    void end_slice();
    void make_ready(unsigned thread);
    unsigned take_ready();
    void set_thread(unsigned thread);
    bool barrier_complete() const { return arrived_ > 0 && arrived_ == threads_ - done_; }
    void release_barrier();
    void check_barrier();
    void complete(unsigned warp, size_t index);
    bool release_active();
    bool advance_units();
    bool idle();
    void progressed();  // a thread got somewhere
    void set_report(Report report);
    void report_fault();
    [[noreturn]] void deadlock();
    unsigned lanes_of(unsigned warp) const;
    size_t runnable() const { return threads_ - next_ + ready_.size() - ready_head_; }

    Stacks stacks_;
    Self* self_;
    char* arena_;
    Fiber main_;
    std::jmp_buf fault_exit_;
    volatile int fault_signal_ = 0;
    const void* volatile fault_address_ = nullptr;
    const void* volatile fault_pc_ = nullptr;

    const Launch* launch_ = nullptr;
    Checker* checker_ = nullptr;
    bool running_ = false;
    bool in_combine_ = false;  // kernel code runs, but on behalf of the runtime
    unsigned threads_ = 0;
    std::vector<uint16_t> order_;
    std::vector<uint3> index_;  // threadIdx of each thread
    std::vector<Thread> thread_;
    std::vector<const void*> pc_;  // where a thread was that gave way, and has no site
    std::vector<std::vector<Pending>> pending_;  // one list a warp

    // State of the running block.
    unsigned next_ = 0;  // position in order_ of the first thread not started
    unsigned done_ = 0;
    unsigned slice_ = 0;  // accesses since the running thread's turn began
    size_t ticks_ = 0;  // since a thread last got somewhere
    bool torn_ = false;  // stopped where it stood, perhaps within an atomic: no other may run
    unsigned arrived_ = 0;
    unsigned waiting_ = 0;  // entries of pending_
    pycnn_emu_votes arriving_{0, 1, 0};  // of the threads that wait at the barrier
    pycnn_emu_votes votes_{0, 1, 0};     // of the barrier released last
    std::vector<unsigned> exited_;       // lanes of each warp
    unsigned current_ = 0;
    Site combining_{};  // whose values are being exchanged
    Fiber* active_ = nullptr;
    Fiber* paused_ = nullptr;  // where resume continues
    size_t fibers_used_ = 0;
    std::vector<uint16_t> ready_;
    size_t ready_head_ = 0;
    std::mt19937_64 random_;
    uint64_t steps_ = 0;
    std::optional<Report> report_;
    std::unique_ptr<Units> units_;
    Cluster* cluster_ = nullptr;
    std::unique_ptr<Cluster> alone_;  // of this block only
};

}  // namespace pycnn_emu
