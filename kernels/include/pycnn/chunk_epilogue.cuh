// pycnn/chunk_epilogue.cuh: the epilogue of chunks of 16 bytes, of which a thread finishes many with
// the same channels: what there is one of for each channel is loaded and widened once.
#pragma once

#include <pycnn/epilogue.cuh>
#include <pycnn/gemm_mma.cuh>

__device__ __forceinline__ void store_chunk(scalar_t* to, const float (&sum)[CHUNK]) {
    scalar_t done[CHUNK];
#pragma unroll
    for (int e = 0; e < CHUNK; ++e) done[e] = from_acc(sum[e]);
    store_vector(to, done);
}

// Adds neighbours in memory, `step` apart; in one access where they are aligned.
__device__ __forceinline__ void add_chunk(float (&sum)[CHUNK], const scalar_t* from, index_t step) {
    scalar_t beside[CHUNK];
    if (step == 1 && reinterpret_cast<size_t>(from) % 16 == 0) {
        load_vector(beside, from);
    } else {
#pragma unroll
        for (int e = 0; e < CHUNK; ++e) beside[e] = from[e * step];
    }
#pragma unroll
    for (int e = 0; e < CHUNK; ++e) sum[e] += to_acc(beside[e]);
}

struct ChunkEpilogue {
    const Epilogue& e;
    float bias[CHUNK], scale[CHUNK], shift[CHUNK];

    // Reads nothing unless all of its channels exist.
    __device__ __forceinline__ ChunkEpilogue(const Epilogue& e, index_t channel, bool exist)
        : e(e), bias{}, scale{}, shift{} {
        const auto load = [&](float (&to)[CHUNK], const scalar_t* from, index_t step) {
            if (!from || !exist) return;
#pragma unroll
            for (int i = 0; i < CHUNK; ++i) to[i] = to_acc(from[(channel + i) * step]);
        };
        load(bias, e.bias, e.p.bias_k);
        load(scale, e.scale, e.p.scale_k);
        load(shift, e.shift, e.p.shift_k);
    }

    // `residual`: the first one's, where there is one.
    __device__ __forceinline__ void finish(float (&sum)[CHUNK], const scalar_t* residual,
                                           index_t residual_step) const {
        const auto each = [&](const float (&with)[CHUNK], auto combine) {
#pragma unroll
            for (int i = 0; i < CHUNK; ++i) sum[i] = combine(sum[i], with[i]);
        };
        const auto add = [](float a, float b) { return a + b; };
        if (e.bias) each(bias, add);
        if (e.scale) each(scale, [](float a, float b) { return a * b; });
        if (e.shift) each(shift, add);
        if (e.residual) add_chunk(sum, residual, residual_step);
        if (e.p.activation == RELU) {  // what comes most often is asked first
#pragma unroll
            for (int i = 0; i < CHUNK; ++i) sum[i] = activate(sum[i], RELU, 0);
        } else if (e.p.activation != NONE) {
            activate(sum, e.p.activation, e.p.slope);
        }
    }
};
