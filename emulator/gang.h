// The blocks of one cluster, of one block where there are none, on one operating-system thread.
#pragma once

#include <memory>
#include <vector>

#include "cluster.h"
#include "worker.h"

namespace pycnn_emu {

class Gang {
public:
    // `first` runs the first block; workers for the others are made.
    Gang(const Launch& launch, Checker* checker, Worker* first);
    ~Gang();

    // Runs the blocks of one cluster until they are done, one has failed, or one wants to be asked
    // whether to go on, which `resume` does.
    Worker::Status run(uint64_t cluster);
    Worker::Status resume();
    // The one that ran last.
    Worker& worker() { return *blocks_[turn_]; }
    bool stalled() const;
    void rested();
    size_t threads() const { return blocks_.size() * blocks_.front()->threads(); }

private:
    Worker::Status go_on();
    bool next();

    const Launch& launch_;
    std::vector<std::unique_ptr<Worker>> own_;
    std::vector<Worker*> blocks_;
    std::vector<bool> started_;
    std::unique_ptr<Cluster> cluster_;  // null for one block
    size_t turn_ = 0;
};

}  // namespace pycnn_emu
