// Where threads meet: barriers of a block, and calls that the lanes of a warp make together.
#include <algorithm>
#include <cstring>

#include "checker.h"
#include "cluster.h"
#include "units.h"
#include "worker.h"

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

}  // namespace

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
}
