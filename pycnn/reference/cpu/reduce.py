"""Reductions over axes on the CPU, by NumPy's own pairwise sums."""

import math
from typing import Any

import numpy as np

from pycnn.reference.cpu._common import quiet

Axes = tuple[int, ...]


@quiet
def total(x: np.ndarray, axes: Axes, keepdims: bool, out: np.ndarray | None) -> Any:
    """Sum over `axes`, into `out` if it is given."""
    return np.sum(x, axis=axes, keepdims=keepdims, out=out)


@quiet
def mean(x: np.ndarray, axes: Axes, keepdims: bool, out: np.ndarray | None) -> Any:
    """Sum over `axes` by the number of terms."""
    summed = np.asarray(np.sum(x, axis=axes, keepdims=keepdims, out=out))
    return np.divide(summed, math.prod(x.shape[a] for a in axes), out=summed)


@quiet
def amax(x: np.ndarray, axes: Axes, keepdims: bool, out: np.ndarray | None) -> Any:
    """Largest value over `axes`, NaN if there is one."""
    return _extreme(np.max, x, axes, keepdims, out)


@quiet
def amin(x: np.ndarray, axes: Axes, keepdims: bool, out: np.ndarray | None) -> Any:
    """Smallest value over `axes`, NaN if there is one."""
    return _extreme(np.min, x, axes, keepdims, out)


def argmax(x: np.ndarray, axis: int | None, keepdims: bool, out: np.ndarray | None) -> Any:
    """First place of the largest value, a NaN if there is one."""
    return _extreme(np.argmax, x, axis, keepdims, out)


def _extreme(function: Any, x: np.ndarray, axes: Any, keepdims: bool, out: Any) -> Any:
    """By NumPy, which refuses to reduce an empty axis even where no result is asked for."""
    if x.size:
        return function(x, axis=axes, keepdims=keepdims, out=out)
    return np.zeros(np.sum(x, axis=axes, keepdims=keepdims).shape, x.dtype)


def argmin(x: np.ndarray, axis: int | None, keepdims: bool, out: np.ndarray | None) -> Any:
    """First place of the smallest value, a NaN if there is one."""
    return np.argmin(x, axis=axis, keepdims=keepdims, out=out)


@quiet
def total_backward(
    dy: np.ndarray, shape: tuple[int, ...], axes: Axes, divisor: int, out: np.ndarray | None
) -> np.ndarray:
    """dy / divisor for every element of an array of this shape."""
    dx = np.empty(shape, dy.dtype) if out is None else out
    kept = tuple(1 if axis in axes else extent for axis, extent in enumerate(shape))
    dx[...] = dy.reshape(kept) / dy.dtype.type(divisor)
    return dx


@quiet
def extreme_backward(
    dy: np.ndarray, x: np.ndarray, y: np.ndarray, axes: Axes, out: np.ndarray | None
) -> np.ndarray:
    """dy shared by the elements of x that equal y."""
    kept = tuple(1 if axis in axes else extent for axis, extent in enumerate(x.shape))
    equal = x == y.reshape(kept)
    share = dy.reshape(kept) / equal.sum(axis=axes, keepdims=True, dtype=x.dtype)
    return np.multiply(equal, share, out=out, dtype=x.dtype)
