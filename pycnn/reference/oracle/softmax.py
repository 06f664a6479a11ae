"""Softmax and log-softmax along one axis, shifted by the maximum so that nothing overflows.

A slice holding NaN, plus infinity, or minus infinity alone becomes NaN throughout, as in PyTorch.
"""

import numpy as np


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """exp(x) / sum(exp(x)) along `axis`, which may be empty.

    Parameters
    ----------
    x : array of any shape
    axis : int

    Returns
    -------
    array like x, float64

    Examples
    --------
    >>> softmax(np.array([0.0, 0.0]), 0).tolist()
    [0.5, 0.5]
    """
    with np.errstate(invalid="ignore"):
        e = np.exp(_shifted(x, axis))
        return e / e.sum(axis=axis, keepdims=True)


def softmax_backward(dy: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
    """y * (dy - sum(dy * y)) along `axis`.

    Parameters
    ----------
    dy : array, gradient with respect to y
    y : array, the output of `softmax`
    axis : int

    Returns
    -------
    array like y, float64
    """
    dy, y = dy.astype(np.float64), y.astype(np.float64)
    return y * (dy - (dy * y).sum(axis=axis, keepdims=True))


def log_softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """x - log(sum(exp(x))) along `axis`, which may be empty.

    Parameters
    ----------
    x : array of any shape
    axis : int

    Returns
    -------
    array like x, float64

    Examples
    --------
    >>> log_softmax(np.array([0.0, -np.inf]), 0).tolist()
    [0.0, -inf]
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        shifted = _shifted(x, axis)
        return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def log_softmax_backward(dy: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
    """dy - exp(y) * sum(dy) along `axis`.

    Parameters
    ----------
    dy : array, gradient with respect to y
    y : array, the output of `log_softmax`
    axis : int

    Returns
    -------
    array like y, float64
    """
    dy, y = dy.astype(np.float64), y.astype(np.float64)
    return dy - np.exp(y) * dy.sum(axis=axis, keepdims=True)


def _shifted(x: np.ndarray, axis: int) -> np.ndarray:
    x = x.astype(np.float64)
    return x - x.max(axis=axis, keepdims=True, initial=-np.inf)
