"""The k largest or smallest elements along an axis, by sorting."""

import numpy as np


def topk(x: np.ndarray, k: int, axis: int, largest: bool) -> tuple[np.ndarray, np.ndarray]:
    """Values and indices in order; of equal elements the first, NaN counts as the largest.

    Parameters
    ----------
    x : array of rank 1 or more
    k : int
    axis : int
    largest : bool

    Returns
    -------
    (values, indices) : array, float64; array, int64

    Examples
    --------
    >>> values, indices = topk(np.array([3.0, np.nan, 5.0, 5.0]), 3, 0, True)
    >>> indices.tolist()
    [1, 2, 3]
    """
    wide = np.moveaxis(x.astype(np.float64), axis, -1)
    nan = np.isnan(wide)
    number = np.where(nan, 0.0, wide)
    keys = (-number, ~nan) if largest else (number, nan)  # the last key counts first
    order = np.lexsort(keys, axis=-1)[..., :k]  # stable: equal elements stay in order
    values = np.take_along_axis(wide, order, axis=-1)
    return np.moveaxis(values, -1, axis), np.moveaxis(order, -1, axis).astype(np.int64)


def topk_backward(
    dy: np.ndarray, indices: np.ndarray, shape: tuple[int, ...], axis: int
) -> np.ndarray:
    """dy in the places that `indices` names, zero elsewhere.

    Parameters
    ----------
    dy, indices : array of one shape
    shape : tuple of int
        Of x.
    axis : int

    Returns
    -------
    array of that shape, float64
    """
    dx = np.zeros(shape)
    np.put_along_axis(dx, indices, dy.astype(np.float64), axis)
    return dx
