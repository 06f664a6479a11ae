#include "async.h"

#include <algorithm>

namespace pycnn_emu {

AsyncQueue::Ticket AsyncQueue::submit(Run run) {
    pending_.emplace_back(++last_, std::move(run));
    return last_;
}

void AsyncQueue::run(size_t index) {
    Run run = std::move(pending_[index].second);
    pending_.erase(pending_.begin() + static_cast<std::ptrdiff_t>(index));
    run();
}

void AsyncQueue::finish(Ticket ticket) {
    auto at = std::find_if(pending_.begin(), pending_.end(),
                           [&](const auto& entry) { return entry.first == ticket; });
    if (at != pending_.end()) run(static_cast<size_t>(at - pending_.begin()));
}

bool AsyncQueue::advance(Order order, std::mt19937_64& random) {
    if (pending_.empty()) return false;
    run(order == Order::kForward   ? 0
        : order == Order::kReverse ? pending_.size() - 1
                                   : random() % pending_.size());
    return true;
}

}  // namespace pycnn_emu
