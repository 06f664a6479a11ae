"""Batch normalisation by compiled loops (`cpu/norm.h`): two or three passes over a channel.

A sum with a residual and the rectified linear unit behind it, and its mask on the way back, are
part of these passes.

Where a number on the way is not finite, nothing is returned, and NumPy's way says what comes out.
"""

from collections.abc import Callable

import numpy as np

from pycnn.reference.cpu import _loops
from pycnn.reference.cpu._threads import each, thread_count

Array = np.ndarray


def take(axis: int, *arrays: Array) -> bool:
    """Whether the loops are there, and take these (images, channels, ...)."""
    x = arrays[0]
    return axis % x.ndim == 1 and x.size > 0 and _loops.take(*arrays)


def apply(
    x: Array,
    mean: Array,
    scale: Array,
    shift: Array,
    y: Array,
    residual: Array | None = None,
    rectified: bool = False,
) -> Array:
    """(x - mean) * scale + shift + residual, rectified if asked for, written to y."""
    each = _whole(mean, scale, shift)
    _share(_loops.compiled.scale_shift, x.shape[1], x, residual, rectified, *each, y)
    return y


def train(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    eps: float,
    residual: Array | None,
    rectified: bool,
) -> tuple[Array, Array, Array, Array] | None:
    """y, mean, rstd and unbiased variance, of every channel."""
    c, count = x.shape[1], x.size // x.shape[1]
    mean, variance = np.empty((2, c))
    _share(_loops.compiled.moments, c, x, mean, variance)
    rstd = (1 / np.sqrt(variance + eps)).astype(x.dtype)
    scale = rstd if weight is None else rstd * weight
    if not all(np.isfinite(a).all() for a in (variance.astype(x.dtype), scale)):
        return None
    narrow = mean.astype(x.dtype)
    # x less its rounded mean is exact where the mean is large; what rounding took off follows.
    shift = ((0 if bias is None else bias) - (mean - narrow) * scale).astype(x.dtype)
    y = apply(x, narrow, scale, shift, np.empty(x.shape, x.dtype), residual, rectified)
    return y, narrow, rstd, (variance * count / (count - 1)).astype(x.dtype)


def train_backward(
    dy: Array, x: Array, mean: Array, rstd: Array, weight: Array | None, y: Array | None
) -> tuple[Array, Array, Array, Array] | None:
    """Gradients with respect to x, weight and bias; and dy, of a rectified y what came through."""
    c, count = x.shape[1], x.size // x.shape[1]
    total, product = np.empty((2, c))
    mean, rstd = _whole(mean, rstd)
    masked = None if y is None else np.empty(dy.shape, dy.dtype)
    passed = dy if masked is None else masked
    _share(_loops.compiled.norm_sums, c, dy, y, masked, x, mean, rstd, total, product)
    scale = rstd if weight is None else rstd * weight
    means = [(sums / count).astype(x.dtype) for sums in (total, product)]
    if not all(np.isfinite(a).all() for a in (*means, scale, rstd * means[1])):
        return None
    dx = np.empty(x.shape, x.dtype)
    _share(_loops.compiled.norm_gradient, c, passed, x, mean, rstd, *means, *_whole(scale), dx)
    return dx, product.astype(x.dtype), total.astype(x.dtype), passed


def _whole(*vectors: Array) -> list[Array]:
    return [np.ascontiguousarray(vector) for vector in vectors]


def _share(function: Callable[..., None], channels: int, *arrays: Array | bool | None) -> None:
    """Channels go to all cores."""

    def part(share: tuple[int, int]) -> None:
        function(*arrays, *share)

    each(part, _loops.shares(channels, thread_count()))
