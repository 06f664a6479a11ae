// Stream capture and graphs. While a stream captures, what it is given is kept and not done; a launch
// of the graph does it, in that order. A wait for such a stream, or a copy from or to memory of the
// host that is not pinned, is refused and spoils the capture, as the runtime has it.

#include <map>
#include <utility>
#include <vector>

#include <cuda_runtime_api.h>

#include "standin.h"

using namespace standin;

struct CUgraph_st {
    std::vector<Work> work;
};

struct CUgraphExec_st {
    std::vector<Work> work;
};

namespace {

struct Capture {
    std::vector<Work> work;
    bool spoilt = false;
};

std::map<const void*, Capture> all;  // by stream

}  // namespace

bool standin::captures_any() { return !all.empty(); }

bool standin::captures(const void* stream) { return all.count(stream) > 0; }

void standin::keep(const void* stream, Work work) {
    all.at(stream).work.push_back(std::move(work));
}

int standin::spoil(const void* stream) {
    all.at(stream).spoilt = true;
    return cudaErrorStreamCaptureUnsupported;
}

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
    // The default streams have handles that are no pointers, and cannot capture.
    if (reinterpret_cast<uintptr_t>(stream) <= 2) return cudaErrorStreamCaptureUnsupported;
    if (captures(stream)) return cudaErrorIllegalState;
    all[stream];
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
    if (!captures(stream)) return cudaErrorIllegalState;
    Capture capture = std::move(all.at(stream));
    all.erase(stream);
    *graph = nullptr;
    if (capture.spoilt) return cudaErrorStreamCaptureInvalidated;
    *graph = new CUgraph_st{std::move(capture.work)};
    return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
    *status = !captures(stream)               ? cudaStreamCaptureStatusNone
              : all.at(stream).spoilt  ? cudaStreamCaptureStatusInvalidated
                                              : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* made, cudaGraph_t graph, unsigned long long) {
    *made = new CUgraphExec_st{graph->work};
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) { return cudaSuccess; }

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t) {
    ++counters.graphs;
    for (const Work& one : graph->work)
        if (int error = one()) return static_cast<cudaError_t>(error);
    return cudaSuccess;
}

}  // extern "C"
