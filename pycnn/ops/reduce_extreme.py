"""Largest and smallest elements over axes, where they are, and their gradients."""

from typing import Any

from pycnn.define.public import operation
from pycnn.define.reduce import AMAX, AMAX_BACKWARD, AMIN, AMIN_BACKWARD, ARGMAX, ARGMIN

Axis = int | tuple[int, ...] | None


@operation(AMAX)
def amax(
    x: Any,
    axis: Axis = None,
    keepdims: bool = False,
    *,
    dim: Axis = None,
    keepdim: bool | None = None,
    out: Any = None,
) -> Any:
    """Largest element along axes.

    Parameters
    ----------
    x, axis, dim, keepdims, keepdim, out
        As for `sum`.

    Returns
    -------
    array, dtype of x
        NaN where there is one along the axes, as in PyTorch.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.amax(np.array([[1.0, 2.0], [3.0, np.nan]]), axis=1)
    array([ 2., nan])
    """


@operation(AMIN)
def amin(
    x: Any,
    axis: Axis = None,
    keepdims: bool = False,
    *,
    dim: Axis = None,
    keepdim: bool | None = None,
    out: Any = None,
) -> Any:
    """Smallest element along axes.

    Parameters
    ----------
    x, axis, dim, keepdims, keepdim, out
        As for `sum`.

    Returns
    -------
    array, dtype of x
        NaN where there is one along the axes, as in PyTorch.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.amin(np.array([[1.0, 2.0], [3.0, -np.inf]]))
    array(-inf)
    """


@operation(ARGMAX)
def argmax(
    x: Any,
    axis: int | None = None,
    keepdims: bool = False,
    *,
    dim: int | None = None,
    keepdim: bool | None = None,
    out: Any = None,
) -> Any:
    """Place of the largest element along an axis.

    Parameters
    ----------
    x : array of any shape, any floating dtype
        Any strides.
    axis, dim : int or None, default None
        By default the place is counted through all elements in row-major order.
    keepdims, keepdim : bool, default False
        Whether reduced axes stay, with extent 1.
    out : array, optional
        Takes the result: contiguous, int64.

    Returns
    -------
    array, int64
        Of equal elements the first (in PyTorch, any). NaN counts as larger than any number.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.argmax(np.array([[1.0, 7.0, 7.0], [np.nan, 4.0, np.inf]]), axis=1)
    array([1, 0])
    """


@operation(ARGMIN)
def argmin(
    x: Any,
    axis: int | None = None,
    keepdims: bool = False,
    *,
    dim: int | None = None,
    keepdim: bool | None = None,
    out: Any = None,
) -> Any:
    """Place of the smallest element along an axis.

    Parameters
    ----------
    x : array of any shape, any floating dtype
        Any strides.
    axis, dim : int or None, default None
        By default the place is counted through all elements in row-major order.
    keepdims, keepdim : bool, default False
        Whether reduced axes stay, with extent 1.
    out : array, optional
        Takes the result: contiguous, int64.

    Returns
    -------
    array, int64
        Of equal elements the first (in PyTorch, any). NaN counts as smaller than any number.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.argmin(np.array([[7.0, 1.0, 1.0], [np.nan, 4.0, -np.inf]]), axis=1)
    array([1, 0])
    """


@operation(AMAX_BACKWARD)
def amax_backward(
    dy: Any,
    x: Any,
    y: Any,
    axis: Axis = None,
    keepdims: bool = False,
    *,
    dim: Axis = None,
    keepdim: bool | None = None,
    out: Any = None,
) -> Any:
    """Gradient of `amax`: the elements that equal the largest share its gradient evenly.

    Parameters
    ----------
    dy : array, any floating dtype
        Gradient with respect to the result. Any strides.
    x, y : array
        What `amax` was given and returned. Any strides.
    axis, dim, keepdims, keepdim
        As given to `amax`.
    out : array, optional
        Takes the result: contiguous, shape and dtype of `x`, memory of its own.

    Returns
    -------
    array like x
        NaN along the axes where `y` is NaN, as in PyTorch.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x = np.array([[5.0, 5.0, 1.0], [1.0, 2.0, 3.0]])
    >>> pycnn.amax_backward(np.array([1.0, 1.0]), x, pycnn.amax(x, 1), axis=1)
    array([[0.5, 0.5, 0. ],
           [0. , 0. , 1. ]])
    """


@operation(AMIN_BACKWARD)
def amin_backward(
    dy: Any,
    x: Any,
    y: Any,
    axis: Axis = None,
    keepdims: bool = False,
    *,
    dim: Axis = None,
    keepdim: bool | None = None,
    out: Any = None,
) -> Any:
    """Gradient of `amin`: the elements that equal the smallest share its gradient evenly.

    Parameters
    ----------
    dy, x, y, axis, dim, keepdims, keepdim, out
        As for `amax_backward`.

    Returns
    -------
    array like x

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x = np.array([4.0, 2.0])
    >>> pycnn.amin_backward(np.array(3.0), x, pycnn.amin(x))
    array([0., 3.])
    """
