"""The k largest elements along an axis, and the gradient."""

from typing import Any

from pycnn.define.public import operation
from pycnn.define.topk import TOPK, TOPK_BACKWARD


@operation(TOPK)
def topk(
    x: Any,
    k: int,
    axis: int = -1,
    largest: bool = True,
    sorted: bool = True,
    *,
    dim: int | None = None,
    out: Any = None,
) -> tuple[Any, Any]:
    """The k largest or smallest elements along an axis, and their places.

    Parameters
    ----------
    x : array of rank 1 or more, any floating dtype
        Any strides.
    k : int
        1 to the extent of the axis; with kernels up to 1024.
    axis, dim : int, default -1
        Counted from the end if negative.
    largest : bool, default True
        Whether the largest or the smallest.
    sorted : bool, default True
        For the sake of PyTorch's signature: the result is sorted in any case.
    out : array, optional
        Takes the values: contiguous, dtype of `x`, memory of its own.

    Returns
    -------
    (values, indices) : array, dtype of x; array, int64
        With k elements along the axis, the largest (or smallest) first. Of equal elements the one
        with the lowest index comes first (in PyTorch, any). NaN counts as larger than any number,
        as in PyTorch.

    References
    ----------
    T. Alabi, J. Blanchard, B. Gordon, R. Steinbach: Fast k-selection algorithms for graphics
    processing units, ACM Journal of Experimental Algorithmics 17, 2012 (radix select).

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> values, indices = pycnn.topk(np.array([3.0, 9.0, 1.0, 9.0]), 3)
    >>> values, indices
    (array([9., 9., 3.]), array([1, 3, 0]))
    """


@operation(TOPK_BACKWARD)
def topk_backward(
    dy: Any,
    indices: Any,
    shape: tuple[int, ...],
    axis: int = -1,
    *,
    dim: int | None = None,
    out: Any = None,
) -> Any:
    """Gradient of `topk`: dy in the places of the chosen elements, zero elsewhere.

    Parameters
    ----------
    dy : array, any floating dtype
        Gradient with respect to the values. Any strides.
    indices : array of the same shape, int64
        What `topk` returned: distinct along the axis. Any strides.
    shape : tuple of int
        Of `x`, whose values do not matter.
    axis, dim : int, default -1
        As given to `topk`.
    out : array, optional
        Takes the result: contiguous, dtype of `dy`, memory of its own.

    Returns
    -------
    array of that shape, dtype of dy

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.topk_backward(np.array([7.0, 8.0]), np.array([3, 0]), (4,))
    array([8., 0., 0., 7.])
    """
