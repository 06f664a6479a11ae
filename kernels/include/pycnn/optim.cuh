// pycnn/optim.cuh: many arrays in one launch, by a table of where they begin. The plan is in
// pycnn/plan/optim.py.
//
// The table is a kernel argument, so that no copy to the GPU goes before the launch: gradients lie
// elsewhere after every way back. Every array has blocks of its own, of CHUNK elements each.
#pragma once

#include <pycnn/kernel.cuh>

constexpr int MOST = 64;  // parameters of a launch: an argument has at most 4 KB
constexpr int THREADS = 256;
constexpr int VECTORS = 2;                       // of a thread, of each array
constexpr int VEC_SIZE = 16 / sizeof(scalar_t);  // elements of one instruction
constexpr int CHUNK = THREADS * VECTORS * VEC_SIZE;

// Of `rates`: numbers for all parameters; HEAD of them go before (rate, decay) of each.
constexpr int SKIP = 0;   // not 0: nothing is moved
constexpr int SCALE = 1;  // gradients are divided by it,
constexpr int CLIP = 2;   // then multiplied by it
constexpr int ROOT = 3;   // Adam: of the root of the mean square, what corrects its bias
constexpr int HEAD = 4;

struct Table {
    unsigned long long value[MOST], grad[MOST], first[MOST], second[MOST];  // addresses
    index_t count[MOST];  // elements
    int end[MOST];        // the block after the last of each; beyond all where there is none
};

struct alignas(16) Vec {  // loaded and stored by one instruction
    scalar_t at[VEC_SIZE];
};

__device__ __forceinline__ bool aligned(const void* pointer) {
    return reinterpret_cast<unsigned long long>(pointer) % sizeof(Vec) == 0;
}

// The elements of this block.
struct Chunk {
    int tensor, size;
    index_t begin;

    __device__ __forceinline__ explicit Chunk(const Table& table) : tensor(0) {
#pragma unroll
        for (int half = MOST / 2; half > 0; half /= 2)
            if (static_cast<int>(blockIdx.x) >= table.end[tensor + half - 1]) tensor += half;
        const int first = tensor > 0 ? table.end[tensor - 1] : 0;
        begin = static_cast<index_t>(blockIdx.x - first) * CHUNK;
        const index_t left = table.count[tensor] - begin;
        size = static_cast<int>(left < CHUNK ? left : CHUNK);
    }

    // Where they begin in one of the table's arrays; null where there is none.
    template <typename T>
    __device__ __forceinline__ T* array(const unsigned long long (&addresses)[MOST]) const {
        T* const whole = reinterpret_cast<T*>(addresses[tensor]);
        return whole ? whole + begin : nullptr;
    }
};
