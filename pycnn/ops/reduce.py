"""Sums and means over axes, and their gradients."""

from typing import Any

from pycnn.define.public import operation
from pycnn.define.reduce import MEAN, MEAN_BACKWARD, SUM, SUM_BACKWARD

Axis = int | tuple[int, ...] | None


@operation(SUM)
def sum(
    x: Any,
    axis: Axis = None,
    keepdims: bool = False,
    *,
    dim: Axis = None,
    keepdim: bool | None = None,
    out: Any = None,
) -> Any:
    """Sum of the elements along axes.

    Parameters
    ----------
    x : array of any shape, any floating dtype
        Any strides.
    axis, dim : int, tuple of int or None, default None
        What to sum over, counted from the end if negative; all axes by default.
    keepdims, keepdim : bool, default False
        Whether these axes stay, with extent 1.
    out : array, optional
        Takes the result: contiguous, dtype of `x`, memory of its own.

    Returns
    -------
    array, dtype of x
        Sums are formed in float32 for the 16-bit dtypes, and rounded once. Over nothing: 0.

    Notes
    -----
    Deterministic: the order of the terms depends on shape and strides alone.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.sum(np.array([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    array([4., 6.])
    """


@operation(SUM_BACKWARD)
def sum_backward(
    dy: Any,
    shape: tuple[int, ...],
    axis: Axis = None,
    keepdims: bool = False,
    *,
    dim: Axis = None,
    keepdim: bool | None = None,
    out: Any = None,
) -> Any:
    """Gradient of `sum`: every term gets that of its sum.

    Parameters
    ----------
    dy : array, any floating dtype
        Gradient with respect to the result. Any strides.
    shape : tuple of int
        Of `x`, whose values do not matter.
    axis, dim, keepdims, keepdim
        As given to `sum`.
    out : array, optional
        Takes the result: contiguous, dtype of `dy`, memory of its own.

    Returns
    -------
    array of that shape, dtype of dy

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.sum_backward(np.array([1.0, 2.0]), (2, 3), axis=1)
    array([[1., 1., 1.],
           [2., 2., 2.]])
    """


@operation(MEAN)
def mean(
    x: Any,
    axis: Axis = None,
    keepdims: bool = False,
    *,
    dim: Axis = None,
    keepdim: bool | None = None,
    out: Any = None,
) -> Any:
    """Arithmetic mean of the elements along axes.

    Parameters
    ----------
    x, axis, dim, keepdims, keepdim, out
        As for `sum`.

    Returns
    -------
    array, dtype of x
        NaN over nothing.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.mean(np.array([[1.0, 2.0], [3.0, 4.0]]), axis=-1, keepdims=True)
    array([[1.5],
           [3.5]])
    """


@operation(MEAN_BACKWARD)
def mean_backward(
    dy: Any,
    shape: tuple[int, ...],
    axis: Axis = None,
    keepdims: bool = False,
    *,
    dim: Axis = None,
    keepdim: bool | None = None,
    out: Any = None,
) -> Any:
    """Gradient of `mean`: every term gets that of its mean, by the number of terms.

    Parameters
    ----------
    dy, shape, axis, dim, keepdims, keepdim, out
        As for `sum_backward`.

    Returns
    -------
    array of that shape, dtype of dy

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.mean_backward(np.array([1.0, 2.0]), (2, 2), axis=1)
    array([[0.5, 0.5],
           [1. , 1. ]])
    """
