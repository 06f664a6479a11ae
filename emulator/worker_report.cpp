// What a worker says of its threads when they get no further.
#include "cluster.h"
#include "units.h"
#include "worker.h"

namespace pycnn_emu {

std::string Worker::where_all_wait() const {
    std::string text;
    unsigned shown = 0;
    for (unsigned t = 0; t < threads_;) {
        unsigned end = t + 1;
        const Thread& a = thread_[t];
        while (end < threads_ && thread_[end].state == a.state &&
               (a.state == State::kDone || thread_[end].site.line == a.site.line))
            ++end;
        if (shown++ == 8) return text + "; ...";
        if (!text.empty()) text += "; ";
        text += end - t > 1 ? format("threads %u-%u ", t, end - 1) : format("thread %u ", t);
        bool one = end - t == 1;
        if (a.state == State::kDone)
            text += one ? "has exited" : "have exited";
        else if (a.state == State::kUnstarted)
            text += one ? "has not started" : "have not started";
        else if (!a.site.what)
            text += one ? "runs" : "run";
        else
            text += format("%s at %s (%s:%d)", one ? "waits" : "wait", a.site.what, a.site.file,
                           a.site.line);
        t = end;
    }
    return text;
}

void Worker::deadlock() {
    Report report;
    bool barrier = false, collective = false, parked = false;
    const Thread* waiting = nullptr;
    for (const Thread& t : thread_) {
        barrier |= t.state == State::kBarrier;
        collective |= t.state == State::kCollective;
        parked |= t.state == State::kParked;
        if (t.state != State::kDone && !waiting) waiting = &t;
    }
    report.kind = barrier && !collective && !parked   ? "divergent_barrier"
                  : collective && !barrier && !parked ? "divergent_collective"
                                                      : "deadlock";
    report.message = "no thread of the block can go on: " + where_all_wait();
    if (units_) report.message += units_->describe([this](uintptr_t a) { return name_of(a); });
    if (cluster_ || alone_) report.message += cluster().describe(*this);
    if (waiting) {
        report.where = at(waiting->site);
        report.thread = static_cast<int>(waiting - thread_.data());
    }
    fail(std::move(report));
}

Report Worker::hang(const std::string& why) const {
    Report report;
    report.kind = "timeout";
    report.message = why + ": " + where_all_wait();
    report.block = self_->blockIdx;
    // Rather one that runs than one that waits for it.
    const Thread* shown = nullptr;
    for (const Thread& t : thread_) {
        bool runs = (t.state == State::kReady || t.state == State::kRunning) && !t.site.what;
        bool begun = t.state != State::kDone && t.state != State::kUnstarted;
        if (runs || (!shown && begun)) shown = &t;
        if (runs) break;
    }
    if (shown) {
        auto thread = static_cast<size_t>(shown - thread_.data());
        report.where = shown->site.what ? at(shown->site) : at(pc_[thread]);
        report.thread = static_cast<int>(thread);
    }
    return report;
}

}  // namespace pycnn_emu
