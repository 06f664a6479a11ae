"""A convolution kernel in thirty lines, run and checked without a GPU, and what is wrong with it.

python examples/first_convolution.py
"""

import sys

import numpy as np

import pycnn
from pycnn.emulator import KernelError, RawKernel

SOURCE = r"""
extern "C" __global__ void conv(const float* x, const float* w, float* y,  // one thread an output
                                int C, int H, int W, int R, int S, int P, int Q, int padding) {
    const int q = blockIdx.x * blockDim.x + threadIdx.x, p = blockIdx.y, k = blockIdx.z;
    if (q >= Q) return;
    float sum = 0;
    for (int c = 0; c < C; ++c)
        for (int r = 0; r < R; ++r)
            for (int s = 0; s < S; ++s) {
                const int h = p + r - padding, v = q + s - padding;
                if (h < 0 || h >= H || v < 0 || v >= W) continue;  // the padding is zero
                sum += x[(c * H + h) * W + v] * w[((k * C + c) * R + r) * S + s];
            }
    y[(k * P + p) * Q + q] = sum;
}
"""
BROKEN = SOURCE.replace("|| v >= W", "")  # forgets the right edge


def convolve(source: str, x: np.ndarray, w: np.ndarray, padding: int) -> RawKernel:
    """Run `source` on one image, compare with pycnn's own result, and return what was run."""
    (C, H, W), (K, _, R, S) = x.shape, w.shape
    P, Q = H + 2 * padding - R + 1, W + 2 * padding - S + 1
    y = np.empty((K, P, Q), np.float32)
    kernel = RawKernel(source, "conv", checked=True)
    kernel(((Q + 31) // 32, P, K), (32,), (x, w, y, C, H, W, R, S, P, Q, padding))
    assert np.allclose(y, pycnn.conv2d(x, w, padding=padding), rtol=1e-4, atol=1e-4)
    return kernel


def main() -> int:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((16, 28, 30), dtype=np.float32)
    w = rng.standard_normal((24, 16, 3, 3), dtype=np.float32)
    counters = convolve(SOURCE, x, w, 1).counters
    ratio = counters.bytes_moved / counters.bytes_necessary
    print(f"right; {counters.global_load_requests:,} loads move {ratio:.0f} times what is needed")
    try:
        convolve(BROKEN, x, w, 1)
    except KernelError as report:
        print(f"{type(report).__name__}: {report}")
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
