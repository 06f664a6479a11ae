"""Sum, mean, largest and smallest value over axes, and the place of the largest."""

import numpy as np

Axes = tuple[int, ...]


def total(x: np.ndarray, axes: Axes, keepdims: bool) -> np.ndarray:
    """Sum over `axes`; 0 over nothing.

    Parameters
    ----------
    x : array of any shape
    axes : tuple of int
    keepdims : bool
        Whether axes stay, with extent 1.

    Returns
    -------
    array, float64

    Examples
    --------
    >>> total(np.ones((2, 3)), (1,), False).tolist()
    [3.0, 3.0]
    """
    return np.asarray(x.astype(np.float64).sum(axis=axes, keepdims=keepdims))


def mean(x: np.ndarray, axes: Axes, keepdims: bool) -> np.ndarray:
    """Sum over `axes` by the number of terms; NaN over nothing."""
    count = np.prod([x.shape[axis] for axis in axes])
    with np.errstate(invalid="ignore"):
        return np.asarray(total(x, axes, keepdims) / count)


def amax(x: np.ndarray, axes: Axes, keepdims: bool) -> np.ndarray:
    """Largest value over `axes`, NaN if there is one."""
    return np.asarray(x.astype(np.float64).max(axis=axes, keepdims=keepdims))


def amin(x: np.ndarray, axes: Axes, keepdims: bool) -> np.ndarray:
    """Smallest value over `axes`, NaN if there is one."""
    return np.asarray(x.astype(np.float64).min(axis=axes, keepdims=keepdims))


def argmax(x: np.ndarray, axis: int | None, keepdims: bool) -> np.ndarray:
    """First place of the largest value; NaN counts as larger than any number."""
    x = x.astype(np.float64)
    return np.asarray(np.argmax(x, axis=axis, keepdims=keepdims))


def argmin(x: np.ndarray, axis: int | None, keepdims: bool) -> np.ndarray:
    """First place of the smallest value; NaN counts as smaller than any number."""
    x = x.astype(np.float64)
    return np.asarray(np.argmin(x, axis=axis, keepdims=keepdims))


def total_backward(dy: np.ndarray, shape: tuple[int, ...], axes: Axes) -> np.ndarray:
    """Every term gets the gradient of its sum.

    Parameters
    ----------
    dy : array
        With the reduced axes or without.
    shape : tuple of int
        Of x.
    axes : tuple of int

    Returns
    -------
    array of that shape, float64
    """
    kept = tuple(1 if axis in axes else extent for axis, extent in enumerate(shape))
    return np.broadcast_to(dy.astype(np.float64).reshape(kept), shape).copy()


def extreme_backward(dy: np.ndarray, x: np.ndarray, y: np.ndarray, axes: Axes) -> np.ndarray:
    """Elements equal to the extreme share its gradient evenly; where that is NaN, all is NaN."""
    kept = tuple(1 if axis in axes else extent for axis, extent in enumerate(x.shape))
    equal = x.astype(np.float64) == y.astype(np.float64).reshape(kept)
    count = equal.sum(axis=axes, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(dy.astype(np.float64).reshape(kept) * equal / count)
