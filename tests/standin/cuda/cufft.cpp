// cuFFT, as far as cupy.fft uses it on one device: plans here, the transforms by NumPy.

#include <algorithm>
#include <map>
#include <mutex>

#include <cufft.h>

#include "standin.h"

using namespace standin;

namespace {

std::mutex mutex;
std::map<cufftHandle, Transform> plans;
cufftHandle last = 0;

// Extents of one side of a transform when none are given: those of a half spectrum are shorter.
void contiguous(const Transform& plan, bool half, int* embed, int& stride, int& distance) {
    std::copy_n(plan.n, plan.rank, embed);
    int& columns = embed[plan.rank - 1];
    if (half) columns = columns / 2 + 1;
    stride = distance = 1;
    for (int i = 0; i < plan.rank; ++i) distance *= embed[i];
}

cufftResult execute(cufftHandle handle, void* from, void* to, int direction) {
    Transform plan;
    {
        std::lock_guard<std::mutex> lock(mutex);
        auto found = plans.find(handle);
        if (found == plans.end()) return CUFFT_INVALID_PLAN;
        plan = found->second;
    }
    if (device_of(from, 0) < 0 || device_of(to, 0) < 0) return CUFFT_EXEC_FAILED;
    ++counters.transforms;
    return hooks.transform(&plan, from, to, direction) ? CUFFT_EXEC_FAILED : CUFFT_SUCCESS;
}

}  // namespace

extern "C" {

cufftResult cufftGetVersion(int* version) {
    *version = CUFFT_VERSION;
    return CUFFT_SUCCESS;
}

cufftResult cufftCreate(cufftHandle* handle) {
    std::lock_guard<std::mutex> lock(mutex);
    plans[*handle = ++last] = Transform{};
    return CUFFT_SUCCESS;
}

cufftResult cufftDestroy(cufftHandle handle) {
    std::lock_guard<std::mutex> lock(mutex);
    return plans.erase(handle) ? CUFFT_SUCCESS : CUFFT_INVALID_PLAN;
}

cufftResult cufftSetAutoAllocation(cufftHandle, int) { return CUFFT_SUCCESS; }
cufftResult cufftSetWorkArea(cufftHandle, void*) { return CUFFT_SUCCESS; }
cufftResult cufftSetStream(cufftHandle, cudaStream_t) { return CUFFT_SUCCESS; }

cufftResult cufftMakePlanMany(cufftHandle handle, int rank, int* n, int* from_embed,
                              int from_stride, int from_distance, int* to_embed, int to_stride,
                              int to_distance, cufftType type, int batch, size_t* work) {
    if (rank < 1 || rank > 3) return CUFFT_INVALID_VALUE;
    Transform plan{};
    plan.type = type;
    plan.rank = rank;
    plan.batch = batch;
    std::copy_n(n, rank, plan.n);
    bool from_half = type == CUFFT_C2R || type == CUFFT_Z2D;
    bool to_half = type == CUFFT_R2C || type == CUFFT_D2Z;
    if (from_embed) {
        std::copy_n(from_embed, rank, plan.from_embed);
        plan.from_stride = from_stride;
        plan.from_distance = from_distance;
    } else {
        contiguous(plan, from_half, plan.from_embed, plan.from_stride, plan.from_distance);
    }
    if (to_embed) {
        std::copy_n(to_embed, rank, plan.to_embed);
        plan.to_stride = to_stride;
        plan.to_distance = to_distance;
    } else {
        contiguous(plan, to_half, plan.to_embed, plan.to_stride, plan.to_distance);
    }
    *work = 0;
    std::lock_guard<std::mutex> lock(mutex);
    plans[handle] = plan;
    return CUFFT_SUCCESS;
}

cufftResult cufftMakePlan1d(cufftHandle handle, int n, cufftType type, int batch, size_t* work) {
    return cufftMakePlanMany(handle, 1, &n, nullptr, 1, 0, nullptr, 1, 0, type, batch, work);
}

cufftResult cufftExecC2C(cufftHandle h, cufftComplex* from, cufftComplex* to, int direction) {
    return execute(h, from, to, direction);
}
cufftResult cufftExecZ2Z(cufftHandle h, cufftDoubleComplex* from, cufftDoubleComplex* to,
                         int direction) {
    return execute(h, from, to, direction);
}
cufftResult cufftExecR2C(cufftHandle h, cufftReal* from, cufftComplex* to) {
    return execute(h, from, to, CUFFT_FORWARD);
}
cufftResult cufftExecD2Z(cufftHandle h, cufftDoubleReal* from, cufftDoubleComplex* to) {
    return execute(h, from, to, CUFFT_FORWARD);
}
cufftResult cufftExecC2R(cufftHandle h, cufftComplex* from, cufftReal* to) {
    return execute(h, from, to, CUFFT_INVERSE);
}
cufftResult cufftExecZ2D(cufftHandle h, cufftDoubleComplex* from, cufftDoubleReal* to) {
    return execute(h, from, to, CUFFT_INVERSE);
}

}  // extern "C"
