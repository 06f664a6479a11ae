#include "worker.h"

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstring>
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

bool same_call(const Site& a, const Site& b) {
    auto same = [](const char* x, const char* y) { return x == y || std::strcmp(x, y) == 0; };
    return a.line == b.line && a.place == b.place && same(a.what, b.what) && same(a.file, b.file);
}

// CUDA lets a mask name lanes that have exited, or that a block of few threads does not have. What
// hands values from lane to lane is held to more: what they would hand over is undefined.
bool needs_every_lane(const Site& site) {
    for (const char* whole : {"__syncwarp", "__ballot", "__any", "__all", "__match", "__reduce",
                              "bar.warp", "vote.", "match.", "redux."})
        if (std::strncmp(site.what, whole, std::strlen(whole)) == 0) return false;
    return true;
}

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

void Worker::finish_thread() {
    unsigned thread = current_;
    if (checker_) checker_->thread_exits(thread);
    count_done();
    if (cluster_ || alone_) cluster().thread_exits(*this, thread);
    progressed();
    if (barrier_complete()) release_barrier();
    unsigned warp = thread / kWarp, lane = 1u << (thread % kWarp);
    auto& list = pending_[warp];
    for (size_t i = list.size(); i-- > 0;) {
        if (!(list[i].expected & lane)) continue;
        list[i].expected &= ~lane;
        if (checker_ && needs_every_lane(list[i].site)) {
            Report report;
            report.kind = "divergent_collective";
            report.message = format("%s with mask 0x%08x waits for lane %u, which has exited",
                                    list[i].site.what, list[i].mask, thread % kWarp);
            report.where = at(list[i].site);
            fail(std::move(report));
        }
        if (list[i].arrived == list[i].expected) complete(warp, i);
    }
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

pycnn_emu_votes Worker::barrier(int predicate, const Site& site) {
    Thread& me = thread_[current_];
    me.site = site;
    me.state = State::kBarrier;
    bool yes = predicate != 0;
    arriving_.count += yes;
    arriving_.all &= yes;
    arriving_.any |= yes;
    ++arrived_;
    if (checker_) checker_->waits_at_barrier(current_);
    if (barrier_complete()) release_barrier();  // makes this thread ready like the others
    wait();
    return votes_;  // the next barrier cannot complete before every thread has been here
}

void Worker::release_barrier() {
    progressed();
    if (checker_) check_barrier();
    if (done_ == 0)
        ready_.assign(order_.begin(), order_.end());
    else
        for (uint16_t thread : order_)
            if (thread_[thread].state != State::kDone) ready_.push_back(thread);
    votes_ = arriving_;
    arriving_ = pycnn_emu_votes{0, 1, 0};
    arrived_ = 0;
    if (checker_) checker_->barrier();
}

// A barrier must be reached by all threads of the block, and be the same one.
void Worker::check_barrier() {
    unsigned first = 0;
    while (thread_[first].state == State::kDone) ++first;
    Report report;
    report.kind = "divergent_barrier";
    report.where = at(thread_[first].site);
    report.thread = static_cast<int>(first);
    if (done_ > 0) {
        report.message = format("%u of %u threads of the block have exited and never reach %s",
                                done_, threads_, thread_[first].site.what);
        fail(std::move(report));
    }
    for (unsigned t = first + 1; t < threads_; ++t) {
        const Site &mine = thread_[t].site, &theirs = thread_[first].site;
        if (same_call(mine, theirs)) continue;
        report.message = format("threads of one block wait at different barriers: thread %u at %s, "
                                "thread %u at %s",
                                t, mine.what, first, theirs.what);
        report.where = at(mine);
        report.other = at(theirs);
        report.thread = static_cast<int>(t);
        report.other_thread = static_cast<int>(first);
        fail(std::move(report));
    }
}

unsigned Worker::lanes_of(unsigned warp) const {
    unsigned count = std::min(kWarp, threads_ - warp * kWarp);
    return count == kWarp ? 0xffffffffu : (1u << count) - 1;
}

void Worker::collective(unsigned mask, void* data, pycnn_emu_combine combine, const Site& site) {
    unsigned thread = current_, warp = thread / kWarp, lane = thread % kWarp;
    auto refuse = [&](std::string message, const Site* other) {
        Report report;
        report.kind = "divergent_collective";
        report.message = std::move(message);
        report.where = at(site);
        if (other) report.other = at(*other);
        report.thread = static_cast<int>(thread);
        fail(std::move(report));
    };
    if (!(mask >> lane & 1))
        refuse(format("%s is called by lane %u, which its mask 0x%08x leaves out", site.what, lane,
                      mask),
               nullptr);
    unsigned exited = mask & exited_[warp];
    unsigned missing = mask & ~lanes_of(warp);
    if (checker_ && (exited | missing) && needs_every_lane(site))
        refuse(format("%s with mask 0x%08x waits for lanes 0x%08x, which %s", site.what, mask,
                      exited ? exited : missing,
                      exited ? "have exited" : "the block does not have"),
               nullptr);
    auto& list = pending_[warp];
    size_t index = list.size();
    for (size_t i = 0; i < list.size(); ++i) {
        if (list[i].mask == mask && same_call(list[i].site, site)) {
            index = i;
            break;
        }
        // Each waits for the other. (A lane may well come by another call first.)
        if (checker_ && list[i].mask >> lane & 1 && list[i].arrived & mask)
            refuse(format("lanes of one warp wait at different calls: lane %u at %s with mask "
                          "0x%08x, lanes 0x%08x at %s with mask 0x%08x",
                          lane, site.what, mask, list[i].arrived, list[i].site.what, list[i].mask),
                   &list[i].site);
    }
    if (index == list.size()) {
        list.push_back(Pending{mask, mask & lanes_of(warp) & ~exited, 0, combine, site, {}});
        ++waiting_;
    }
    Pending& pending = list[index];
    pending.arrived |= 1u << lane;
    pending.data[lane] = data;
    Thread& me = thread_[thread];
    me.site = site;
    if (pending.arrived == pending.expected) {
        me.state = State::kRunning;
        complete(warp, index);
        if (self_->poll) pause();  // there may be no other lane to wait for, ever
        return;
    }
    block_current(State::kCollective);
}

void Worker::complete(unsigned warp, size_t index) {
    Pending pending = pending_[warp][index];
    pending_[warp].erase(pending_[warp].begin() + static_cast<std::ptrdiff_t>(index));
    --waiting_;
    progressed();
    combining_ = pending.site;
    if (pending.combine) {
        in_combine_ = true;
        pending.combine(pending.arrived, pending.data);
        in_combine_ = false;
    } else if (checker_)
        checker_->warp_synchronised(warp, pending.arrived);
    for (unsigned lane = 0; lane < kWarp; ++lane) {
        unsigned thread = warp * kWarp + lane;
        if (pending.arrived >> lane & 1 && thread_[thread].state == State::kCollective)
            make_ready(thread);
    }
}

void Worker::absent_lane(int lane, int source, unsigned mask) {
    if (!checker_) return;
    Report report;
    report.kind = "divergent_collective";
    report.message = format("%s with mask 0x%08x: lane %d reads from lane %d, which takes no part",
                            combining_.what, mask, lane, source);
    report.where = at(combining_);
    report.thread = static_cast<int>(current_ / kWarp * kWarp) + lane;
    fail(std::move(report));
}

// __activemask() has no answer in a program order; lanes that reach the same call before anything
// else holds them are taken as converged there.
unsigned Worker::activemask(const Site& site) {
    unsigned thread = current_;
    thread_[thread].site = site;
    block_current(State::kActive);
    return thread_[thread].result;
}

bool Worker::release_active() {
    bool released = false;
    for (unsigned warp = 0; warp < pending_.size(); ++warp) {
        unsigned end = std::min(threads_, (warp + 1) * kWarp);
        for (unsigned t = warp * kWarp; t < end; ++t) {
            if (thread_[t].state != State::kActive) continue;
            unsigned mask = 0;
            for (unsigned u = t; u < end; ++u)
                if (thread_[u].state == State::kActive && thread_[u].site.line == thread_[t].site.line)
                    mask |= 1u << (u % kWarp);
            for (unsigned u = t; u < end; ++u) {
                if (!(mask >> (u % kWarp) & 1)) continue;
                thread_[u].result = mask;
                make_ready(u);
            }
            released = true;
        }
    }
    return released;
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

using pycnn_emu::Site;
using pycnn_emu::Worker;

extern "C" {

pycnn_emu_votes pycnn_emu_barrier(int predicate, Site site) {
    return Worker::current()->barrier(predicate, site);
}

void pycnn_emu_collective(unsigned mask, void* data, pycnn_emu_combine combine, Site site) {
    Worker::current()->collective(mask, data, combine, site);
}

void pycnn_emu_absent_lane(int lane, int source, unsigned mask) {
    Worker::current()->absent_lane(lane, source, mask);
}

unsigned pycnn_emu_activemask(Site site) { return Worker::current()->activemask(site); }

void pycnn_emu_yield(Site site) { Worker::current()->yield(site); }
}
