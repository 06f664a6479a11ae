// Streams over arrays of doubles, an element a thread, and chains of multiply-adds: the designs of
// gpu-stream and gpu-roofline of RRZE-HPC/gpu-benches, for model_truth.py alone. The code is ours.
#define STREAM(name, first, last, value)                                                          \
    extern "C" __global__ void name(double* a, const double* __restrict__ b,                     \
                                    const double* __restrict__ c, const double* __restrict__ d,  \
                                    long n) {                                                    \
        const int i = threadIdx.x + blockIdx.x * blockDim.x;                                     \
        if (i < first || i >= n - last) return;                                                  \
        a[i] = value;                                                                            \
    }

STREAM(init, 0, 0, 0.25)
STREAM(scale, 0, 0, b[i] * 1.25)
STREAM(triad, 0, 0, b[i] * d[i] + c[i])
STREAM(triad_of_two, 0, 0, b[i] * 1.25 + c[i])
STREAM(three_point, 1, 1, 0.5 * b[i - 1] - b[i] + 0.5 * b[i + 1])
STREAM(five_point, 2, 2, 0.25 * (b[i - 2] + b[i - 1]) - b[i] + 0.5 * (b[i + 1] + b[i + 2]))

extern "C" __global__ void read(double* a, const double* __restrict__ b,
                                const double* __restrict__ c, const double* __restrict__ d,
                                long n) {
    const int i = threadIdx.x + blockIdx.x * blockDim.x;
    if (i >= n) return;
    const double value = b[i];
    if (value == 123.0) a[i] = value;
}

// Two chains of LENGTH multiply-adds for every two pairs that are read.
template <int LENGTH, int PAIRS>
__global__ void chains(const float* __restrict__ a, const float* __restrict__ b, float* c) {
    a += threadIdx.x + blockIdx.x * 256 * PAIRS, b += threadIdx.x + blockIdx.x * 256 * PAIRS;
    float sum = 0;
    for (int i = 0; i < PAIRS; i += 2) {
        const float x = a[i * 256], y = b[i * 256];
        float u = x - y, v = a[(i + 1) * 256] - b[(i + 1) * 256];
        for (int k = 0; k < LENGTH; ++k) u = u * x - y, v = v * x - y;
        sum += u + v;
    }
    if (threadIdx.x == 0) c[blockIdx.x] = sum;
}
