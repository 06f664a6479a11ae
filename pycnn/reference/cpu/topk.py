"""The k largest or smallest elements along an axis on the CPU."""

import numpy as np


def topk(x: np.ndarray, k: int, axis: int, largest: bool) -> tuple[np.ndarray, np.ndarray]:
    """Values and indices as the oracle defines them.

    NumPy sorts NaN last. Turned round before and after, equal elements stay in order.

    Parameters
    ----------
    x : array of rank 1 or more
    k : int
    axis : int
    largest : bool

    Returns
    -------
    (values, indices) : array, dtype of x; array, int64
    """
    moved = np.moveaxis(x, axis, -1)
    if largest and k == 1:
        order = np.argmax(moved, axis=-1, keepdims=True)
    elif largest:
        back = np.argsort(moved[..., ::-1], axis=-1, kind="stable")
        order = moved.shape[-1] - 1 - back[..., ::-1][..., :k]
    else:
        order = np.argsort(moved, axis=-1, kind="stable")[..., :k]
    values = np.take_along_axis(moved, order, axis=-1)
    return np.moveaxis(values, -1, axis), np.moveaxis(order, -1, axis)


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
    array of that shape, dtype of dy
    """
    dx = np.zeros(shape, dy.dtype)
    np.put_along_axis(dx, indices, dy, axis)
    return dx
