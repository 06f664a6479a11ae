// optim/gradients.cu: what one step needs to know of all gradients together, on the GPU itself.
//
// Computes   the sum of squares of all gradients, and from it what optim/step.cu reads: whether the
//            step is left out (a gradient is not finite), what gradients are divided by (the scale
//            of the loss) and multiplied by (so that they are together at most `most` long), and the
//            scale and the number of steps afterwards: half and as before, or one step more, and
//            the double of the scale after every `every` steps without an overflow
// Layout     gradients contiguous, where the table says; parts one double a block; state is (scale,
//            steps since an overflow, steps taken), all whole numbers or powers of two in float64
// Launch     gradient_squares: as optim/step.cu. gradient_verdict: one block of 256
// Traffic    every gradient once, and 8 bytes a block
// Range      any length; sums in float64, in an order that depends on the lengths alone. Squares of
//            float32 do not overflow there; those of float64 may, and count as not finite
// Siblings   step, which nobody has to wait for: the host reads nothing in between
// Source     Micikevicius et al., "Mixed precision training", 2018, section 3.2; Pascanu, Mikolov,
//            Bengio, "On the difficulty of training recurrent neural networks", 2013, algorithm 1
//
// entry gradient_squares  the sum of squares of every block's elements
// entry gradient_verdict  what the step reads
// variant SCALAR = native
#include <pycnn/optim.cuh>
#include <pycnn/reduce.cuh>

struct Total {
    static __device__ __forceinline__ double identity() { return 0; }
    __device__ __forceinline__ double operator()(double a, double b) const { return a + b; }
};

__device__ __forceinline__ double square(scalar_t value) {
    const double wide = to_acc(value);
    return wide * wide;
}

extern "C" __global__ void __launch_bounds__(THREADS)
gradient_squares(const __grid_constant__ Table table, double* __restrict__ parts) {
    __shared__ double partial[WARP];
    const Chunk chunk(table);
    const scalar_t* const grad = chunk.array<scalar_t>(table.grad);
    double sum = 0;
    if (chunk.size == CHUNK && aligned(grad)) {
        Vec vec[VECTORS];
#pragma unroll
        for (int k = 0; k < VECTORS; ++k)
            vec[k] = *reinterpret_cast<const Vec*>(grad + (k * THREADS + threadIdx.x) * VEC_SIZE);
#pragma unroll
        for (int k = 0; k < VECTORS; ++k)
#pragma unroll
            for (int e = 0; e < VEC_SIZE; ++e) sum += square(vec[k].at[e]);
    } else {
#pragma unroll 1
        for (int i = threadIdx.x; i < chunk.size; i += THREADS) sum += square(grad[i]);
    }
    sum = block_reduce(sum, Total(), partial);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

__device__ __forceinline__ double power(double base, index_t exponent) {
    double result = 1;
    for (; exponent > 0; exponent /= 2, base *= base)
        if (exponent % 2) result *= base;
    return result;
}

// From `given` to `rates`. `first` and `second`: how slowly Adam's means change, zero elsewhere.
// Without a state the host has counted the step, and corrected the bias.
extern "C" __global__ void __launch_bounds__(THREADS)
gradient_verdict(const double* __restrict__ parts, int count, const double* __restrict__ given,
                 double* __restrict__ rates, int parameters, double* __restrict__ state, double most,
                 index_t every, double first, double second) {
    __shared__ double partial[WARP];
    __shared__ double correction;
    double sum = 0;
    for (int i = threadIdx.x; i < count; i += THREADS) sum += ldg(parts + i);
    sum = block_reduce(sum, Total(), partial);
    if (threadIdx.x == 0) {
        const bool finite = sum < limits<double>::infinity();
        const double scale = state ? state[0] : 1;
        const double norm = sqrt(sum) / scale;
        rates[SKIP] = state && !finite;
        rates[SCALE] = scale;
        rates[CLIP] = finite && most < norm ? most / norm : 1;
        rates[ROOT] = ldg(given + ROOT);
        correction = 1;
        if (state) {
            const index_t quiet = finite ? static_cast<index_t>(state[1]) + 1 : 0;
            const index_t steps = static_cast<index_t>(state[2]) + finite;
            state[0] = !finite ? scale / 2 : quiet % every ? scale : scale * 2;
            state[1] = static_cast<double>(quiet);
            state[2] = static_cast<double>(steps);
            rates[ROOT] = 1 / sqrt(1 - power(second, steps));
            correction = 1 - power(first, steps);
        }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < parameters; i += THREADS) {
        rates[HEAD + 2 * i] = ldg(given + HEAD + 2 * i) / correction;
        rates[HEAD + 2 * i + 1] = ldg(given + HEAD + 2 * i + 1);
    }
}
