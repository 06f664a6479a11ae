"""Triton kernels of our own, of the kinds that people write; `triton_cases` says what they do."""

import triton
import triton.language as tl


@triton.jit
def add(x, y, out, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    tl.store(out + at, tl.load(x + at, mask=inside) + tl.load(y + at, mask=inside), mask=inside)


@triton.jit
def softmax(x, out, stride, columns, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    values = tl.load(x + row * stride + at, mask=at < columns, other=-float("inf"))
    powers = tl.exp(values - tl.max(values, axis=0))
    tl.store(out + row * stride + at, powers / tl.sum(powers, axis=0), mask=at < columns)


@triton.jit
def layer_norm(x, weight, bias, out, means, scales, columns, epsilon, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, columns, BLOCK):
        at = start + tl.arange(0, BLOCK)
        total += tl.load(x + row * columns + at, mask=at < columns, other=0.0)
    mean = tl.sum(total, axis=0) / columns
    squares = tl.zeros([BLOCK], tl.float32)
    for start in range(0, columns, BLOCK):
        at = start + tl.arange(0, BLOCK)
        values = tl.load(x + row * columns + at, mask=at < columns, other=mean)
        squares += (values - mean) * (values - mean)
    scale = 1 / tl.sqrt(tl.sum(squares, axis=0) / columns + epsilon)
    tl.store(means + row, mean)
    tl.store(scales + row, scale)
    for start in range(0, columns, BLOCK):
        at = start + tl.arange(0, BLOCK)
        inside = at < columns
        values = (tl.load(x + row * columns + at, mask=inside) - mean) * scale
        values = values * tl.load(weight + at, mask=inside) + tl.load(bias + at, mask=inside)
        tl.store(out + row * columns + at, values, mask=inside)


@triton.jit
def layer_norm_backward(
    dy, x, weight, means, scales, dx, dweight, dbias, locks, columns,
    GROUPS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Gradients of x, and those of weight and bias in GROUPS parts, each behind a lock."""
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    inside = at < columns
    grad = tl.load(dy + row * columns + at, mask=inside, other=0.0)
    mean, scale = tl.load(means + row), tl.load(scales + row)
    normal = (tl.load(x + row * columns + at, mask=inside, other=0.0) - mean) * scale
    normal = tl.where(inside, normal, 0.0)
    scaled = grad * tl.load(weight + at, mask=inside, other=0.0)
    along = tl.sum(normal * scaled, axis=0) / columns
    across = tl.sum(scaled, axis=0) / columns
    tl.store(dx + row * columns + at, (scaled - normal * along - across) * scale, mask=inside)
    group = row % GROUPS
    lock, count = locks + group, locks + GROUPS + group
    sums = group * columns + at
    while tl.atomic_cas(lock, 0, 1) == 1:
        pass
    dw, db = grad * normal, grad
    if tl.load(count) == 0:
        tl.atomic_xchg(count, 1)
    else:
        dw += tl.load(dweight + sums, mask=inside)
        db += tl.load(dbias + sums, mask=inside)
    tl.store(dweight + sums, dw, mask=inside)
    tl.store(dbias + sums, db, mask=inside)
    tl.debug_barrier()
    tl.atomic_xchg(lock, 0)


@triton.jit
def dropout(x, out, n, rate, seed, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    kept = tl.rand(seed, at) > rate
    values = tl.load(x + at, mask=inside)
    tl.store(out + at, tl.where(kept, values / (1 - rate), 0.0), mask=inside)


@triton.jit
def matmul(
    a, b, c, M, N, K,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    deep = tl.arange(0, BLOCK_K)
    total = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    for k in range(0, K, BLOCK_K):
        inside = k + deep < K
        left = tl.load(a + rows[:, None] * K + (k + deep)[None, :],
                       mask=(rows[:, None] < M) & inside[None, :], other=0.0)  # fmt: skip
        right = tl.load(b + (k + deep)[:, None] * N + columns[None, :],
                        mask=inside[:, None] & (columns[None, :] < N), other=0.0)  # fmt: skip
        total = tl.dot(left, right, total)
    tl.store(c + rows[:, None] * N + columns[None, :], total.to(c.dtype.element_ty),
             mask=(rows[:, None] < M) & (columns[None, :] < N))  # fmt: skip


@triton.jit
def matmul_descriptors(
    a, b, c, M, N, K,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """The same with descriptors that the kernel makes: TMA on sm_90a."""
    m, n = tl.program_id(0) * BLOCK_M, tl.program_id(1) * BLOCK_N
    left = tl.make_tensor_descriptor(a, [M, K], [K, 1], [BLOCK_M, BLOCK_K])
    right = tl.make_tensor_descriptor(b, [K, N], [N, 1], [BLOCK_K, BLOCK_N])
    result = tl.make_tensor_descriptor(c, [M, N], [N, 1], [BLOCK_M, BLOCK_N])
    total = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    for k in range(0, K, BLOCK_K):
        total = tl.dot(left.load([m, k]), right.load([k, n]), total)
    result.store([m, n], total.to(c.dtype.element_ty))


@triton.jit
def convolution(
    x, weight, y, C, H, W, K, P, Q,
    R: tl.constexpr, S: tl.constexpr,
    BLOCK_K: tl.constexpr, BLOCK_PIXELS: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """One image of NCHW and a filter of KRSC, stride 1, padding R // 2: an implicit GEMM."""
    n = tl.program_id(2)
    filters = tl.program_id(0) * BLOCK_K + tl.arange(0, BLOCK_K)
    pixels = tl.program_id(1) * BLOCK_PIXELS + tl.arange(0, BLOCK_PIXELS)
    p, q = pixels // Q, pixels % Q
    channels = tl.arange(0, BLOCK_C)
    total = tl.zeros([BLOCK_K, BLOCK_PIXELS], tl.float32)
    for tap in range(R * S):
        h, w = p + tap // S - R // 2, q + tap % S - S // 2
        seen = (pixels < P * Q) & (h >= 0) & (h < H) & (w >= 0) & (w < W)
        for c in range(0, C, BLOCK_C):
            here = c + channels < C
            left = tl.load(weight + (filters[:, None] * R * S + tap) * C + (c + channels)[None, :],
                           mask=(filters[:, None] < K) & here[None, :], other=0.0)  # fmt: skip
            at = ((n * C + c + channels[:, None]) * H + h[None, :]) * W + w[None, :]
            right = tl.load(x + at, mask=here[:, None] & seen[None, :], other=0.0)
            total = tl.dot(left, right, total)
    out = y + (n * K + filters[:, None]) * P * Q + pixels[None, :]
    tl.store(out, total, mask=(filters[:, None] < K) & (pixels[None, :] < P * Q))
