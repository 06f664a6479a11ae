"""ReLU and its gradient."""

import numpy as np


def relu(x: np.ndarray) -> np.ndarray:
    """max(x, 0); NaN stays NaN.

    Parameters
    ----------
    x : array of any shape

    Returns
    -------
    array like x, float64

    Examples
    --------
    >>> relu(np.array([-2.0, 3.0])).tolist()
    [0.0, 3.0]
    """
    return np.where(x < 0, 0.0, x.astype(np.float64))


def relu_backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dy where x > 0, else 0. A NaN in x lets dy through, as in PyTorch.

    Parameters
    ----------
    dy, x : arrays of one shape

    Returns
    -------
    array like x, float64
    """
    return np.where(x <= 0, 0.0, dy.astype(np.float64))
