#include "named_barrier.h"

#include <cstring>

#include "checker.h"

namespace pycnn_emu {

namespace {

// `bar` is short for `barrier ... .aligned`: a warp executes it as one, and arrives as one.
bool is_aligned(const Site& site) {
    return std::strncmp(site.what, "bar.", 4) == 0 || std::strstr(site.what, ".aligned");
}

bool same_instruction(const Site& a, const Site& b) {
    return a.line == b.line && std::strcmp(a.what, b.what) == 0 && std::strcmp(a.file, b.file) == 0;
}

}  // namespace

pycnn_emu_votes NamedBarriers::arrive(Worker& worker, unsigned number, unsigned count, bool waits,
                                      int predicate, const Site& site) {
    unsigned thread = worker.self().thread, threads = worker.threads();
    auto refuse = [&](std::string message, const Barrier* other) {
        Report report;
        report.kind = "divergent_barrier";
        report.message = std::move(message);
        report.where = at(site);
        if (other) report.other = at(other->site);
        worker.fail(std::move(report));
    };
    if (number >= kCount) refuse(format("barrier %u; allowed: 0 to 15", number), nullptr);
    if (count == 0) count = threads;
    if (count != threads && (count % kWarp || count > (threads + kWarp - 1) / kWarp * kWarp))
        refuse(format("barrier %u of %u threads; allowed: multiples of 32 up to the %u of the block",
                      number, count, threads),
               nullptr);
    Barrier& b = all_[number];
    if (b.arrived.none()) {
        b.count = count;
        b.site = site;
    } else if (b.count != count) {
        refuse(format("barrier %u is of %u threads here, and of %u where others have arrived "
                      "(%s:%d)",
                      number, count, b.count, b.site.file, b.site.line),
               &b);
    }
    if (b.arrived[thread])
        refuse(format("thread %u arrives at barrier %u again, before the %u threads have that it is "
                      "of",
                      thread, number, count),
               &b);
    if (worker.checker() && is_aligned(site)) {
        Site& first = b.sites[thread / kWarp];
        if (!first.what) first = site;
        if (!same_instruction(first, site))
            refuse(format("lanes of one warp are at different instructions of barrier %u: lane %u at "
                          "%s, another at %s (%s:%d); they are .aligned, for a whole warp",
                          number, thread % kWarp, site.what, first.what, first.file, first.line),
                   nullptr);
    }
    b.arrived.set(thread);
    bool yes = predicate != 0;
    b.votes.count += yes;
    b.votes.all &= yes;
    b.votes.any |= yes;
    if (waits)
        b.waiting.push_back(static_cast<uint16_t>(thread));
    else if (worker.checker())
        b.known.add(worker.checker()->publish(thread));
    if (b.arrived.count() == count)
        complete(worker, b);
    else if (waits)
        while (!worker.park(site, false)) {
        }
    return result_[thread];
}

void NamedBarriers::complete(Worker& worker, Barrier& b) {
    Checker* checker = worker.checker();
    if (checker) check_warps(worker, b);
    if (checker && b.waiting.size() == worker.threads()) {
        checker->barrier();
    } else if (checker) {
        for (uint16_t thread : b.waiting) b.known.add(checker->publish(thread));
        for (uint16_t thread : b.waiting) checker->learn(thread, b.known);
    }
    std::vector<uint16_t> waiting = std::move(b.waiting);
    pycnn_emu_votes votes = b.votes;
    b = Barrier{};
    for (uint16_t thread : waiting) {
        result_[thread] = votes;
        worker.wake(thread);  // not the one that runs
    }
}

// A part of a warp counts as the whole: others are let go before the rest has come.
void NamedBarriers::check_warps(Worker& worker, const Barrier& b) {
    for (unsigned warp = 0; warp < b.sites.size(); ++warp) {
        const Site& site = b.sites[warp];
        if (!site.what) continue;
        for (unsigned rest = worker.live_lanes(warp); rest; rest &= rest - 1) {
            unsigned lane = static_cast<unsigned>(__builtin_ctz(rest));
            if (b.arrived[warp * kWarp + lane]) continue;
            Report report;
            report.kind = "divergent_barrier";
            report.message = format("%s is for a whole warp, lane %u of warp %u has not come to it",
                                    site.what, lane, warp);
            report.where = at(site);
            report.thread = static_cast<int>(warp * kWarp + lane);
            worker.fail(std::move(report));
        }
    }
}

std::string NamedBarriers::describe() const {
    std::string text;
    for (unsigned i = 0; i < kCount; ++i)
        if (all_[i].arrived.any())
            text += format("\n  barrier %u: %zu of %u threads have arrived", i,
                           all_[i].arrived.count(), all_[i].count);
    return text;
}

}  // namespace pycnn_emu
