// pycnn/chunk_epilogue.cuh: the epilogue of chunks of 16 bytes, of which a thread finishes many with
// the same channels: what there is one of for each channel is loaded, widened and combined once.
#pragma once

#include <pycnn/epilogue.cuh>
#include <pycnn/gemm_mma.cuh>

__device__ __forceinline__ void store_chunk(scalar_t* to, const float (&sum)[CHUNK]) {
    scalar_t done[CHUNK];
#pragma unroll
    for (int e = 0; e < CHUNK; ++e) done[e] = from_acc(sum[e]);
    store_vector(to, done);
}

// Neighbours in memory, `step` apart; in one access where they are aligned.
__device__ __forceinline__ void load_chunk(scalar_t (&to)[CHUNK], const scalar_t* from,
                                           index_t step) {
    if (step == 1 && reinterpret_cast<size_t>(from) % 16 == 0) {
        load_vector(to, from);
    } else {
#pragma unroll
        for (int e = 0; e < CHUNK; ++e) to[e] = from[e * step];
    }
}

__device__ __forceinline__ void add_chunk(float (&sum)[CHUNK], const scalar_t* from, index_t step) {
    scalar_t beside[CHUNK];
    load_chunk(beside, from, step);
#pragma unroll
    for (int e = 0; e < CHUNK; ++e) sum[e] += to_acc(beside[e]);
}

// As activate(x, RELU, 0), but for the sign of zero.
__device__ __forceinline__ float relu(float x) {
#if defined(PYCNN_EMULATOR) || __CUDA_ARCH__ < 800
    return activate(x, RELU, 0);
#else
    float y;
    asm("max.NaN.f32 %0, %1, 0f00000000;" : "=f"(y) : "f"(x));
    return y;
#endif
}

// (sum + bias) scale + shift is sum * factor + summand, with which a thread begins.
struct ChunkEpilogue {
    const Epilogue& e;
    const bool changes;  // whether there is any of the three
    float factor[CHUNK], summand[CHUNK];

    // Reads nothing unless all of its channels exist.
    __device__ __forceinline__ ChunkEpilogue(const Epilogue& e, index_t channel, bool exist)
        : e(e), changes(e.bias || e.scale || e.shift) {
        const auto load = [&](float (&to)[CHUNK], const scalar_t* from, index_t step, float without) {
            scalar_t loaded[CHUNK];
            const bool there = from && exist;
            if (there) load_chunk(loaded, from + channel * step, step);
#pragma unroll
            for (int i = 0; i < CHUNK; ++i) to[i] = there ? to_acc(loaded[i]) : without;
        };
        float shift[CHUNK];
        load(factor, e.scale, e.p.scale_k, 1);
        load(summand, e.bias, e.p.bias_k, 0);
        load(shift, e.shift, e.p.shift_k, 0);
#pragma unroll
        for (int i = 0; i < CHUNK; ++i)
            summand[i] = e.bias ? fmaf(summand[i], factor[i], shift[i]) : shift[i];
    }

    // Whether `finish_plainly` is enough, where chunks of the residual from `first` on are aligned.
    __device__ __forceinline__ bool plain(const scalar_t* first, bool chunked) const {
        const bool none = !e.residual, aligned = chunked && reinterpret_cast<size_t>(first) % 16 == 0;
        return (none || aligned) && (e.p.activation == NONE || e.p.activation == RELU);
    }

    // `residual`: the first one's, where there is one.
    __device__ __forceinline__ void finish_plainly(float (&sum)[CHUNK],
                                                   const scalar_t* residual) const {
        if (changes) change(sum);
        if (e.residual) {
            scalar_t beside[CHUNK];
            load_vector(beside, residual);
#pragma unroll
            for (int i = 0; i < CHUNK; ++i) sum[i] += to_acc(beside[i]);
        }
        if (e.p.activation == RELU)
#pragma unroll
            for (int i = 0; i < CHUNK; ++i) sum[i] = relu(sum[i]);
    }

    __device__ __forceinline__ void finish(float (&sum)[CHUNK], const scalar_t* residual,
                                           index_t residual_step) const {
        if (changes) change(sum);
        if (e.residual) add_chunk(sum, residual, residual_step);
        activate(sum, e.p.activation, e.p.slope);
    }

private:
    __device__ __forceinline__ void change(float (&sum)[CHUNK]) const {
#pragma unroll
        for (int i = 0; i < CHUNK; ++i) sum[i] = fmaf(sum[i], factor[i], summand[i]);
    }
};
