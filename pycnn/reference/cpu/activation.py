"""ReLU and its gradient on the CPU."""

import numpy as np


def relu(x: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """max(x, 0); NaN stays NaN.

    Parameters
    ----------
    x : array of any shape
    out : array like x, default None
        Where to put the result; x itself is allowed.

    Returns
    -------
    array like x

    Examples
    --------
    >>> relu(np.array([-2.0, 3.0])).tolist()
    [0.0, 3.0]
    """
    return np.maximum(x, x.dtype.type(0), out=out)


def relu_backward(dy: np.ndarray, x: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """dy where x > 0, else 0. A NaN in x lets dy through, as in PyTorch.

    Parameters
    ----------
    dy, x : arrays of one shape
    out : array like dy, default None
        Where to put the result; dy itself is allowed.

    Returns
    -------
    array like dy
    """
    dx = np.empty(dy.shape, dy.dtype) if out is None else out
    np.copyto(dx, dy)
    np.copyto(dx, 0, where=x <= 0)
    return dx
