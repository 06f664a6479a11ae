// Streams and events. All work is done when it is asked for, so that every stream is idle and there
// is nothing to wait for: waiting is only counted. A wait that the caller forgot is not seen.

#include <chrono>

#include <cuda_runtime_api.h>

#include "standin.h"

using namespace standin;

struct CUstream_st {
    unsigned flags;
};

struct CUevent_st {
    using Clock = std::chrono::steady_clock;
    unsigned flags;
    bool recorded;
    Clock::time_point time;
};

extern "C" {

cudaError_t cudaDeviceSynchronize() {
    if (captures_any()) return cudaErrorStreamCaptureUnsupported;
    ++counters.synchronisations;
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
    *stream = new CUstream_st{flags};
    return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, 0); }

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
    return cudaStreamCreateWithFlags(stream, flags);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    if (captures(stream)) return static_cast<cudaError_t>(spoil(stream));
    ++counters.synchronisations;
    return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
    return captures(stream) ? static_cast<cudaError_t>(spoil(stream)) : cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }

cudaError_t cudaStreamGetFlags(cudaStream_t stream, unsigned* flags) {
    // The default streams have handles that are no pointers.
    *flags = reinterpret_cast<uintptr_t>(stream) > 2 ? stream->flags : 0;
    return cudaSuccess;
}

cudaError_t cudaStreamGetPriority(cudaStream_t, int* priority) {
    *priority = 0;
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
    *event = new CUevent_st{flags, false, {}};
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
    ++counters.events;
    event->recorded = true;
    event->time = CUevent_st::Clock::now();
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t) { return cudaSuccess; }

cudaError_t cudaEventSynchronize(cudaEvent_t) {
    ++counters.synchronisations;
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
    bool timed = !((begin->flags | end->flags) & cudaEventDisableTiming);
    if (!begin->recorded || !end->recorded || !timed) return cudaErrorInvalidResourceHandle;
    *milliseconds = std::chrono::duration<float, std::milli>(end->time - begin->time).count();
    return cudaSuccess;
}

}  // extern "C"
