"""Softmax and log-softmax along one axis on the CPU, in place on the result.

The maximum is taken off first, so nothing overflows; special values go as in the oracle.
"""

import numpy as np

from pycnn.reference.cpu._common import quiet


@quiet
def softmax(x: np.ndarray, axis: int, *, out: np.ndarray | None = None) -> np.ndarray:
    """exp(x) / sum(exp(x)) along `axis`, which may be empty.

    Parameters
    ----------
    x : array of any shape
    axis : int
    out : array like x, default None
        Where to put the result; x itself is allowed.

    Returns
    -------
    array like x

    Examples
    --------
    >>> softmax(np.array([0.0, 0.0]), 0).tolist()
    [0.5, 0.5]
    """
    y = _shifted(x, axis, out)
    np.exp(y, out=y)
    y /= y.sum(axis=axis, keepdims=True)
    return y


@quiet
def softmax_backward(dy: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
    """y * (dy - sum(dy * y)) along `axis`.

    Parameters
    ----------
    dy : array, gradient with respect to y
    y : array, the output of `softmax`
    axis : int

    Returns
    -------
    array like y
    """
    dx = dy * y
    dx -= y * dx.sum(axis=axis, keepdims=True)
    return dx


@quiet
def log_softmax(x: np.ndarray, axis: int, *, out: np.ndarray | None = None) -> np.ndarray:
    """x - log(sum(exp(x))) along `axis`, which may be empty.

    Parameters
    ----------
    x : array of any shape
    axis : int
    out : array like x, default None
        Where to put the result; x itself is allowed.

    Returns
    -------
    array like x

    Examples
    --------
    >>> log_softmax(np.array([0.0, -np.inf]), 0).tolist()
    [0.0, -inf]
    """
    y = _shifted(x, axis, out)
    y -= np.log(np.exp(y).sum(axis=axis, keepdims=True))
    return y


@quiet
def log_softmax_backward(dy: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
    """dy - exp(y) * sum(dy) along `axis`.

    Parameters
    ----------
    dy : array, gradient with respect to y
    y : array, the output of `log_softmax`
    axis : int

    Returns
    -------
    array like y
    """
    dx = np.exp(y)
    dx *= dy.sum(axis=axis, keepdims=True)
    np.subtract(dy, dx, out=dx)
    return dx


def _shifted(x: np.ndarray, axis: int, out: np.ndarray | None) -> np.ndarray:
    """x less its maximum along the axis, which is then exactly 0."""
    y = np.empty(x.shape, x.dtype) if out is None else out
    return np.subtract(x, x.max(axis=axis, keepdims=True, initial=-np.inf), out=y)
