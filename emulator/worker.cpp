#include "worker.h"

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <new>
#include <numeric>

#include <sys/mman.h>

#include "checker.h"
#include "cluster.h"
#include "units.h"
#include "watch.h"

extern "C" {
PYCNN_EMU_API PYCNN_EMU_TLS pycnn_emu::Self* pycnn_emu_self = nullptr;
}

namespace pycnn_emu {

namespace {

static_assert(offsetof(PrivatePage, cluster) == 256);

}  // namespace

Worker* Worker::current() {
    return pycnn_emu_self ? &of(*pycnn_emu_self) : nullptr;
}

ClusterPlace& Worker::place() { return reinterpret_cast<PrivatePage*>(self_)->cluster; }

Worker::Worker() {
    auto* page = new (stacks_.private_page()) PrivatePage{};
    page->worker = this;
    self_ = &page->self;
    self_->stacks = stacks_.base();
    self_->stacks_size = stacks_.size();
    void* memory = mmap(nullptr, arena_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                        -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    arena_ = static_cast<char*>(memory);
    self_->dynamic_shared = arena_;
    self_->static_shared = arena_ + kDynamicSpan;
}

Worker::~Worker() { munmap(arena_, arena_size()); }

void Worker::begin(const Launch& launch, Checker* checker) {
    launch_ = &launch;
    fiber_own_stack(main_);
    checker_ = checker;
    threads_ = launch.block.x * launch.block.y * launch.block.z;
    self_->blockDim = launch.block;
    self_->gridDim = launch.grid;
    self_->dynamic_size = launch.dynamic_shared;
    // None: each use of a static variable is counted again, where not all would fit beside so much.
    self_->kernel = launch.dynamic_shared + kStaticLimit > kSharedLimit ? nullptr : launch.entry;
    steps_ = 0;
    order_.resize(threads_);
    std::iota(order_.begin(), order_.end(), uint16_t{0});
    if (launch.order == Order::kReverse) std::reverse(order_.begin(), order_.end());
    thread_.resize(threads_);
    pc_.resize(threads_);
    index_.resize(threads_);
    const dim3& block = launch.block;
    for (unsigned t = 0; t < threads_; ++t)  // once: a switch is too short for divisions
        index_[t] = uint3{t % block.x, t / block.x % block.y, t / (block.x * block.y)};
    pending_.resize((threads_ + kWarp - 1) / kWarp);
    exited_.resize(pending_.size());
    ready_.reserve(threads_);
    report_.reset();
}

void Worker::end() {
    launch_ = nullptr;
    checker_ = nullptr;
}

void Worker::prepare(uint64_t index) {
    const dim3& grid = launch_->grid;
    self_->blockIdx = uint3{static_cast<unsigned>(index % grid.x),
                            static_cast<unsigned>(index / grid.x % grid.y),
                            static_cast<unsigned>(index / grid.x / grid.y)};
    if (launch_->order == Order::kRandom) {
        std::iota(order_.begin(), order_.end(), uint16_t{0});  // whatever ran here before
        random_.seed(launch_->seed * 0x9e3779b97f4a7c15ull + index);
        std::shuffle(order_.begin(), order_.end(), random_);
    }
    std::fill(thread_.begin(), thread_.end(), Thread{});
    for (auto& list : pending_) list.clear();
    std::fill(exited_.begin(), exited_.end(), 0u);
    next_ = done_ = arrived_ = waiting_ = 0;
    ticks_ = 0;
    in_combine_ = torn_ = false;
    self_->poll = 0;
    arriving_ = pycnn_emu_votes{0, 1, 0};
    ready_.clear();
    ready_head_ = 0;
    fibers_used_ = 0;
    alone_.reset();
    if (units_) units_->begin();
    if (checker_) checker_->begin_block(*this, index);
}

Worker::Status Worker::start() {
    pycnn_emu_self = self_;
    if (checker_) checker_->resume_block(*this);
    Fiber& first = stacks_.at(fibers_used_++);
    fiber_prepare(first, &Worker::fiber_main, this);
    return enter(first);
}

Worker::Status Worker::resume() {
    pycnn_emu_self = self_;
    self_->poll = 0;
    if (checker_) checker_->resume_block(*this);
    return enter(*paused_);
}

Worker::Status Worker::enter(Fiber& fiber) {
    active_ = &fiber;
    running_ = true;
    if (setjmp(fault_exit_) == 0) {
        fiber_switch(main_, fiber);
    } else {
        fiber_jump(nullptr);
        report_fault();
    }
    running_ = false;
    if (!report_ && done_ < threads_) return Status::kPaused;
    if (checker_ && !report_)
        if (auto late = checker_->end_block()) set_report(*std::move(late));
    return report_ ? Status::kFailed : Status::kDone;
}

void Worker::fiber_main(void* worker) {
    fiber_begun();
    try {
        static_cast<Worker*>(worker)->loop();
    } catch (const std::bad_alloc&) {
    }
    static_cast<Worker*>(worker)->out_of_memory();
}

void Worker::loop() {
    for (;;) {
        while (next_ < threads_) {
            unsigned thread = order_[next_++];
            thread_[thread].state = State::kRunning;
            thread_[thread].fiber = active_;
            set_thread(thread);
            if (launch_->code_of_thread)
                launch_->code_of_thread(self_, launch_->args[1], launch_->args[2]);
            else
                launch_->entry->invoke(launch_->args);
            if (checker_ || cluster_ || alone_ || arrived_ || waiting_)
                finish_thread();
            else
                count_done();
        }
        leave();
    }
}

void Worker::set_thread(unsigned thread) {
    current_ = thread;
    self_->thread = thread;
    self_->threadIdx = index_[thread];
    slice_ = 0;
}

// That a thread is done: all there is to do where nobody waits for it.
void Worker::count_done() {
    unsigned thread = current_;
    thread_[thread].state = State::kDone;
    ++done_;
    ticks_ = 0;
    exited_[thread / kWarp] |= 1u << (thread % kWarp);
}

void Worker::leave() {
    Fiber* to = next_fiber();
    switch_to(to ? to : &main_);
}

void Worker::block_current(State state) {
    thread_[current_].state = state;
    wait();
}

void Worker::wait() {
    unsigned thread = current_;
    Fiber* to = next_fiber();  // never null: this thread is not done
    if (to != thread_[thread].fiber) switch_to(to);
    thread_[thread].state = State::kRunning;  // whoever came back here took it from ready_
    set_thread(thread);
}

// Leaves the block as it is and lets run_block or resume return.
void Worker::pause() {
    paused_ = active_;
    switch_to(&main_);
}

void Worker::yield(const Site& site) {
    thread_[current_].site = site;
    make_ready(current_);
    wait();
}

void Worker::give_way(const void* pc) {
    pc_[current_] = pc;
    yield(Site{});
}

void Worker::out_of_steps() {
    thread_[current_].site = Site{};
    fail(hang(format("not done after %llu steps", static_cast<unsigned long long>(steps_))));
}

void Worker::end_slice() {
    ++ticks_;
    yield(Site{});
}

void Worker::tick(const void* pc) {
    self_->poll = 1;  // the runtime looks at it where it can
    if (++ticks_ > 1) Watch::hurry();
    auto offset = reinterpret_cast<uintptr_t>(pc) - launch_->code;
    if (offset >= launch_->code_size || in_combine_) return;
    thread_[current_].site = Site{};
    // Where the call that led to an access returns to, if there was one.
    if (!checker_) pc_[current_] = static_cast<const char*>(pc) + 1;
    if (!checker_) {
        yield(Site{});
        return;
    }
    // The checked build's atomics are plain: no other thread may come between, of this block or of
    // another. The launch looks around, and others have their turn at the next access.
    torn_ = true;
    pause();
    torn_ = false;
    self_->poll = 1;
}

Fiber* Worker::next_fiber() {
    if (done_ == threads_) {  // before the launch looks around: a block with no threads is not resumed
        while (advance_units()) {
        }
        return nullptr;
    }
    if (self_->poll) pause();
    if (next_ < threads_) {
        Fiber& fiber = stacks_.at(fibers_used_++);
        fiber_prepare(fiber, &Worker::fiber_main, this);
        return &fiber;
    }
    if (units_ && launch_->order == Order::kRandom && random_() % 4 == 0) advance_units();
    for (;;) {
        if (ready_head_ < ready_.size()) return thread_[take_ready()].fiber;
        if (!release_active() && !advance_units() && !idle()) deadlock();
    }
}

unsigned Worker::take_ready() {
    if (launch_->order == Order::kRandom) {
        size_t pick = ready_head_ + random_() % (ready_.size() - ready_head_);
        std::swap(ready_[ready_head_], ready_[pick]);
    }
    unsigned thread = ready_[ready_head_++];
    if (ready_head_ == ready_.size()) {
        ready_.clear();
        ready_head_ = 0;
    }
    return thread;
}

void Worker::make_ready(unsigned thread) {
    thread_[thread].state = State::kReady;
    if (ready_head_ >= kMaxThreads) {  // threads that yield to each other never empty it
        ready_.erase(ready_.begin(), ready_.begin() + static_cast<std::ptrdiff_t>(ready_head_));
        ready_head_ = 0;
    }
    ready_.push_back(static_cast<uint16_t>(thread));
}

void Worker::switch_to(Fiber* to) {
    Fiber* from = active_;
    active_ = to;
    fiber_switch(*from, *to);
}

void Worker::set_report(Report report) {
    if (report.thread < 0) report.thread = static_cast<int>(current_);
    report.block = self_->blockIdx;
    report_ = std::move(report);
}

void Worker::out_of_memory() {
    Report report;
    report.kind = "memory";
    report.message = "out of memory";  // short enough to need none
    fail(std::move(report));
}

void Worker::fault(int signal, const void* address, const void* pc) {
    fault_signal_ = signal;
    fault_pc_ = pc;
    fault_address_ = address;
    running_ = false;
    fiber_jump(&main_);
    std::longjmp(fault_exit_, 1);
}

void Worker::report_fault() {
    Report report;
    report.address = fault_address_;
    report.kind = "fault";
    auto offset = reinterpret_cast<uintptr_t>(fault_pc_) - launch_->code;
    if (offset < launch_->code_size) report.where = at(static_cast<const char*>(fault_pc_) + 1);
    if (fault_signal_ == SIGILL || fault_signal_ == SIGTRAP) {
        report.kind = "assertion";
        report.message = "the kernel traps";
    } else if (fault_signal_ == SIGFPE)
        report.message = "arithmetic that the processor refuses";
    else if (stacks_.in_guard_page(fault_address_))
        report.message = "stack overflow: the local variables of one thread need over 250 KiB";
    else
        report.message = format("memory fault at address %p; checked=True names the array and line",
                                fault_address_);
    set_report(std::move(report));
}

void Worker::fail(Report report) {
    set_report(std::move(report));
    Fiber abandoned;
    active_ = &main_;
    fiber_switch(abandoned, main_);
    __builtin_unreachable();
}

}  // namespace pycnn_emu

extern "C" {

void pycnn_emu_yield(pycnn_emu::Site site) { pycnn_emu::Worker::current()->yield(site); }
}
