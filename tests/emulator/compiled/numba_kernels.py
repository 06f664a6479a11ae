"""Numba kernels of our own; `compiled_cases` says what they do."""

import numpy as np
from numba import cuda


def block_sums(x, sums):
    """A block's sum: in a warp by shuffles, between warps by shared memory."""
    parts = cuda.shared.array(32, np.float32)
    i = cuda.grid(1)
    value = x[i] if i < x.size else np.float32(0)
    for step in (16, 8, 4, 2, 1):
        value += cuda.shfl_down_sync(0xFFFFFFFF, value, step)
    warp, lane = cuda.threadIdx.x // 32, cuda.threadIdx.x % 32
    if lane == 0:
        parts[warp] = value
    cuda.syncthreads()
    if cuda.threadIdx.x == 0:
        total = np.float32(0)
        for k in range(cuda.blockDim.x // 32):
            total += parts[k]
        sums[cuda.blockIdx.x] = total


def histogram(x, counts):
    """Counts of small numbers: each block its own, added in the end."""
    own = cuda.shared.array(16, np.int32)
    t = cuda.threadIdx.x
    if t < 16:
        own[t] = 0
    cuda.syncthreads()
    for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        cuda.atomic.add(own, x[i], 1)
    cuda.syncthreads()
    if t < 16:
        cuda.atomic.add(counts, t, own[t])


def tiled_product(a, b, c):
    """A matrix product by tiles of 8 x 8."""
    left = cuda.shared.array((8, 8), np.float32)
    right = cuda.shared.array((8, 8), np.float32)
    m, n = cuda.grid(2)
    i, j = cuda.threadIdx.x, cuda.threadIdx.y
    total = np.float32(0)
    for start in range(0, a.shape[1], 8):
        left[i, j] = a[m, start + j] if m < a.shape[0] and start + j < a.shape[1] else 0
        right[i, j] = b[start + i, n] if start + i < b.shape[0] and n < b.shape[1] else 0
        cuda.syncthreads()
        for k in range(8):
            total += left[i, k] * right[k, j]
        cuda.syncthreads()
    if m < c.shape[0] and n < c.shape[1]:
        c[m, n] = total
