"""Padding on the CPU: an index array for each padded axis; gradients are added slice by slice."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pycnn.reference.cpu._common import quiet

Pads = Sequence[tuple[int, int]]


def pad(
    x: np.ndarray, pads: Pads, mode: str, value: Any, *, out: np.ndarray | None = None
) -> np.ndarray:
    """x with `pads` (before, after) around every axis; negative ones crop.

    Examples
    --------
    >>> pad(np.array([1, 2, 3]), [(-1, 2)], "reflect", 0).tolist()
    [2, 3, 2, 1]
    """
    if mode != "constant":
        for axis, (before, after) in enumerate(pads):
            if before or after:
                x = x.take(_indices(x.shape[axis], before, after, mode), axis)
        if out is None:
            return x.copy()
        np.copyto(out, x)
        return out
    shape = [extent + before + after for extent, (before, after) in zip(x.shape, pads, strict=True)]
    y = np.empty(shape, x.dtype) if out is None else out
    y[...] = value
    inner, outer = _overlap(x.shape, pads)
    y[outer] = x[inner]
    return y


@quiet
def pad_backward(
    dy: np.ndarray, pads: Pads, mode: str, *, out: np.ndarray | None = None
) -> np.ndarray:
    """dx from dy: every position of dy goes to what it is a copy of."""
    shape = [
        extent - before - after for extent, (before, after) in zip(dy.shape, pads, strict=True)
    ]
    dx = np.empty(shape, dy.dtype) if out is None else out
    if mode == "constant":
        dx[...] = 0
        inner, outer = _overlap(shape, pads)
        dx[inner] = dy[outer]
        return dx
    for axis, (before, after) in enumerate(pads):
        if before or after:
            dy = _gather(dy, axis, _indices(shape[axis], before, after, mode), shape[axis])
    np.copyto(dx, dy)
    return dx


def _indices(extent: int, before: int, after: int, mode: str) -> np.ndarray:
    """For every position of y, the one of x."""
    at = np.arange(-before, extent + after)
    if mode == "replicate":
        return at.clip(0, extent - 1)
    if mode == "reflect":
        at = np.abs(at)
        return np.where(at < extent, at, 2 * (extent - 1) - at)
    begin, end = max(0, -before), extent - max(0, -after)
    return begin + (at - begin) % (end - begin)


def _gather(dy: np.ndarray, axis: int, indices: np.ndarray, extent: int) -> np.ndarray:
    """Sums of the slices of dy that have the same index."""
    shape = (*dy.shape[:axis], extent, *dy.shape[axis + 1 :])
    sums = np.zeros(shape, dy.dtype)
    if indices.size == 0:  # all was cropped
        return sums
    to, from_ = np.moveaxis(sums, axis, 0), np.moveaxis(dy, axis, 0)
    # Runs of neighbours that stay neighbours are added at once.
    breaks = np.flatnonzero(np.diff(indices) != 1) + 1
    for begin, end in zip([0, *breaks], [*breaks, len(indices)], strict=True):
        to[indices[begin] : indices[begin] + end - begin] += from_[begin:end]
    return sums


def _overlap(shape: Sequence[int], pads: Pads) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """What x and y have in common: where it is in x, and where in y."""
    inner = [slice(max(0, -b), e - max(0, -a)) for e, (b, a) in zip(shape, pads, strict=True)]
    outer = [slice(max(0, b), e + b + a - max(0, a)) for e, (b, a) in zip(shape, pads, strict=True)]
    return tuple(inner), tuple(outer)
