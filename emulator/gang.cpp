#include "gang.h"

#include <algorithm>

namespace pycnn_emu {

Gang::Gang(const Launch& launch, Checker* checker, Worker* first) : launch_(launch) {
    const dim3& shape = launch.cluster;
    size_t count = size_t{shape.x} * shape.y * shape.z;
    for (size_t i = 0; i < count; ++i) {
        Worker* worker = first;
        if (i > 0 || !first) {
            own_.push_back(std::make_unique<Worker>());
            worker = own_.back().get();
        }
        worker->begin(launch, checker);
        blocks_.push_back(worker);
    }
    if (count > 1) cluster_ = std::make_unique<Cluster>(blocks_);
    for (Worker* block : blocks_) block->join(cluster_.get());
}

Gang::~Gang() {
    for (Worker* block : blocks_) block->join(nullptr);
    for (const auto& worker : own_) worker->end();
}

Worker::Status Gang::run(uint64_t cluster) {
    const dim3 &grid = launch_.grid, &shape = launch_.cluster;
    dim3 clusters{grid.x / shape.x, grid.y / shape.y, grid.z / shape.z};
    uint3 at{static_cast<unsigned>(cluster % clusters.x),
             static_cast<unsigned>(cluster / clusters.x % clusters.y),
             static_cast<unsigned>(cluster / clusters.x / clusters.y)};
    turn_ = launch_.order == Order::kReverse ? blocks_.size() - 1 : 0;
    started_.assign(blocks_.size(), false);
    for (unsigned rank = 0; rank < blocks_.size(); ++rank) {
        uint3 in{rank % shape.x, rank / shape.x % shape.y, rank / shape.x / shape.y};
        uint64_t x = uint64_t{at.x} * shape.x + in.x, y = uint64_t{at.y} * shape.y + in.y,
                 z = uint64_t{at.z} * shape.z + in.z;
        blocks_[rank]->place() = ClusterPlace{in,       shape, at, clusters, rank,
                                              static_cast<unsigned>(blocks_.size()),
                                              launch_.clustered};
        blocks_[rank]->prepare((z * grid.y + y) * grid.x + x);
    }
    if (cluster_) cluster_->begin();
    return go_on();
}

Worker::Status Gang::resume() {
    next();  // another block's turn, if another can run
    return go_on();
}

// To a block that can run, after the one whose turn it was; or stays with it.
bool Gang::next() {
    for (size_t i = 1; i <= blocks_.size(); ++i) {
        size_t at = (turn_ + i) % blocks_.size();
        if (!blocks_[at]->can_run()) continue;
        turn_ = at;
        return true;
    }
    return false;
}

Worker::Status Gang::go_on() {
    for (;;) {
        Worker& block = *blocks_[turn_];
        Worker::Status status;
        if (!started_[turn_]) {
            started_[turn_] = true;
            status = block.start();
        } else {
            status = block.resume();
        }
        if (status == Worker::Status::kFailed) return status;
        if (status == Worker::Status::kPaused && block.self().poll) return status;
        if (next()) continue;
        // None can run: one that is not done says why, unless all are.
        auto left = std::find_if(blocks_.begin(), blocks_.end(),
                                 [](const Worker* b) { return !b->done(); });
        if (left == blocks_.end()) return Worker::Status::kDone;
        turn_ = static_cast<size_t>(left - blocks_.begin());
    }
}

bool Gang::stalled() const {
    return std::all_of(blocks_.begin(), blocks_.end(),
                       [](const Worker* b) { return b->done() || !b->can_run() || b->stalled(); });
}

void Gang::rested() {
    for (Worker* block : blocks_) block->rested();
}

}  // namespace pycnn_emu
