"""Softmax and log-softmax along one axis, and their gradients."""

from typing import Any

from pycnn.define.public import operation
from pycnn.define.softmax import (
    LOG_SOFTMAX,
    LOG_SOFTMAX_BACKWARD,
    SOFTMAX,
    SOFTMAX_BACKWARD,
)


@operation(SOFTMAX)
def softmax(x: Any, axis: int = -1, *, dim: int | None = None, out: Any = None) -> Any:
    """Softmax along one axis: exp(x) / sum(exp(x)), computed so that nothing overflows.

    Parameters
    ----------
    x : array of any shape, any floating dtype
        Any strides.
    axis, dim : int, default -1
        Of any length; counted from the end if negative.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`, memory of its own.

    Returns
    -------
    array like x
        Along the axis it sums to 1. Where `x` has a NaN, plus infinity, or minus infinity alone
        along the axis, all is NaN, as in PyTorch.

    References
    ----------
    M. Milakov, N. Gimelshein: Online normalizer calculation for softmax, arXiv 1805.02867, 2018.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.softmax(np.array([[1000.0, 1000.0], [0.0, -np.inf]]))
    array([[0.5, 0.5],
           [1. , 0. ]])
    """


@operation(LOG_SOFTMAX)
def log_softmax(x: Any, axis: int = -1, *, dim: int | None = None, out: Any = None) -> Any:
    """Logarithm of `softmax` along one axis: x - log(sum(exp(x))), with no overflow.

    Parameters
    ----------
    x, axis, dim, out
        As for `softmax`.

    Returns
    -------
    array like x
        NaN in the same cases as `softmax`.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.log_softmax(np.array([[0.0, -1000.0]]))
    array([[    0., -1000.]])
    """


@operation(SOFTMAX_BACKWARD)
def softmax_backward(
    dy: Any, y: Any, axis: int = -1, *, dim: int | None = None, out: Any = None
) -> Any:
    """Gradient of `softmax`: y * (dy - sum(dy * y)) along the axis.

    Parameters
    ----------
    dy : array, any floating dtype
        Gradient with respect to `y`. Any strides.
    y : array of the same shape and dtype
        What `softmax` returned. Any strides.
    axis, dim, out
        As for `softmax`.

    Returns
    -------
    array like y
        Gradient with respect to x.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.softmax_backward(np.array([1.0, 0.0]), np.array([0.5, 0.5]))
    array([ 0.25, -0.25])
    """


@operation(LOG_SOFTMAX_BACKWARD)
def log_softmax_backward(
    dy: Any, y: Any, axis: int = -1, *, dim: int | None = None, out: Any = None
) -> Any:
    """Gradient of `log_softmax`: dy - exp(y) * sum(dy) along the axis.

    Parameters
    ----------
    dy : array, any floating dtype
        Gradient with respect to `y`. Any strides.
    y : array of the same shape and dtype
        What `log_softmax` returned. Any strides.
    axis, dim, out
        As for `softmax`.

    Returns
    -------
    array like y
        Gradient with respect to x.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.log_softmax_backward(np.array([1.0, 0.0]), np.log([0.5, 0.5]))
    array([ 0.5, -0.5])
    """
