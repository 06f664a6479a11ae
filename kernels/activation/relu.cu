// activation/relu.cu: rectified linear unit, and its gradient.
//
// Computes   y[i] = max(x[i], 0)            dx[i] = x[i] <= 0 ? 0 : dy[i]
// Layout     relu, relu_backward: all contiguous. *_strided: x and dy of any strides
// Launch     contiguous: block 256, 16 bytes a thread; strided: block 256, one element a thread;
//            grid of as many blocks as the elements need; no shared memory
// Traffic    |x| + |y|, backward |dy| + |x| + |dx| bytes: bound by bandwidth; 1 flop an element
// Range      any length, 64-bit index arithmetic; NaN stays NaN, and lets its gradient through,
//            as in PyTorch
// Siblings   the contiguous entries move 128 bits an instruction (where a base address is not
//            16-byte aligned: an element, still coalesced). The strided ones divide once per
//            axis, and are as fast as the memory order of x lets them be.
// Source     Nair, Hinton: Rectified linear units improve restricted Boltzmann machines, 2010
//
// entry relu                   maximum of x and zero, contiguous
// entry relu_strided           maximum of x and zero, any strides
// entry relu_backward          gradient of relu, contiguous
// entry relu_backward_strided  gradient of relu, any strides
// variant SCALAR = float, double
#include <pycnn/kernel.cuh>
#include <pycnn/strided.cuh>

constexpr int THREADS = 256;
constexpr int WIDTH = 16 / sizeof(scalar);

struct alignas(16) Pack {  // loaded and stored by one instruction
    scalar at[WIDTH];
};

__device__ __forceinline__ bool aligned(const void* pointer) {
    return reinterpret_cast<unsigned long long>(pointer) % sizeof(Pack) == 0;
}

// Results may lie where an input does (in-place use), so no pointer here is __restrict__.
__device__ __forceinline__ scalar rectify(scalar x) { return x < 0 ? scalar(0) : x; }
__device__ __forceinline__ scalar gate(scalar dy, scalar x) { return x <= 0 ? scalar(0) : dy; }

extern "C" __global__ void __launch_bounds__(THREADS)
    relu(const scalar* x, scalar* y, index_t count) {
    const index_t first = static_cast<index_t>(blockIdx.x) * THREADS * WIDTH;
    const index_t mine = first + threadIdx.x * WIDTH;
    if (first + THREADS * WIDTH <= count && aligned(x) && aligned(y)) {
        Pack pack = *reinterpret_cast<const Pack*>(x + mine);
#pragma unroll
        for (int k = 0; k < WIDTH; ++k) pack.at[k] = rectify(pack.at[k]);
        *reinterpret_cast<Pack*>(y + mine) = pack;
        return;
    }
    for (int k = 0; k < WIDTH; ++k) {
        const index_t i = first + k * THREADS + threadIdx.x;
        if (i < count) y[i] = rectify(x[i]);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    relu_strided(const scalar* x, scalar* y, index_t count, Strided<1> p) {
    const index_t i = flat_thread();
    if (i >= count) return;
    index_t at[1];
    p.locate(i, at);
    y[i] = rectify(x[at[0]]);
}

extern "C" __global__ void __launch_bounds__(THREADS)
    relu_backward(const scalar* dy, const scalar* x, scalar* dx, index_t count) {
    const index_t first = static_cast<index_t>(blockIdx.x) * THREADS * WIDTH;
    const index_t mine = first + threadIdx.x * WIDTH;
    if (first + THREADS * WIDTH <= count && aligned(dy) && aligned(x) && aligned(dx)) {
        Pack pack = *reinterpret_cast<const Pack*>(dy + mine);
        const Pack input = *reinterpret_cast<const Pack*>(x + mine);
#pragma unroll
        for (int k = 0; k < WIDTH; ++k) pack.at[k] = gate(pack.at[k], input.at[k]);
        *reinterpret_cast<Pack*>(dx + mine) = pack;
        return;
    }
    for (int k = 0; k < WIDTH; ++k) {
        const index_t i = first + k * THREADS + threadIdx.x;
        if (i < count) dx[i] = gate(dy[i], x[i]);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    relu_backward_strided(const scalar* dy, const scalar* x, scalar* dx, index_t count,
                          Strided<2> p) {
    const index_t i = flat_thread();
    if (i >= count) return;
    index_t at[2];
    p.locate(i, at);
    dx[i] = gate(dy[at[0]], x[at[1]]);
}
