"""Padding of any axes, and its gradient."""

from collections.abc import Sequence
from typing import Any

from pycnn.define.pad import PAD, PAD_BACKWARD
from pycnn.define.public import operation


@operation(PAD)
def pad(
    x: Any,
    padding: Sequence[int],
    mode: str = "constant",
    value: float | int | bool | None = 0.0,
    *,
    out: Any = None,
) -> Any:
    """More elements around an array; fewer where the padding is negative.

    Parameters
    ----------
    x : array of any shape; any floating dtype, int8 to int64, uint8 or bool
        Any strides.
    padding : sequence of int
        (before, after) of the last axis, then of the one in front of it, and so on: PyTorch's
        order. Axes that are not reached stay as they are; negative numbers crop.
    mode : {"constant", "reflect", "replicate", "circular"}, default "constant"
        What is added: `value`; the elements behind the first one or in front of the last one,
        mirrored; the first or last one; those of the other end. ``"reflect"`` adds fewer elements
        than the axis has, ``"circular"`` no more than are left of it after cropping. Every mode
        takes any number of axes.
    value : number, default 0.0
        The constant; None is zero.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array of the dtype of `x`

    Raises
    ------
    TypeError
        If `x` is no NumPy or CuPy array or has another dtype, or `padding` is no sequence of int.
    ValueError
        If `padding` is not allowed for the extents of `x`, `value` is not representable in an
        integer dtype, or `out` cannot take the result as it is.

    References
    ----------
    `torch.nn.functional.pad`, whose order and modes these are.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.pad(np.array([1.0, 2.0, 3.0]), (2, 1), "reflect")
    array([3., 2., 1., 2., 3., 2.])
    """


@operation(PAD_BACKWARD)
def pad_backward(
    dy: Any, padding: Sequence[int], mode: str = "constant", *, out: Any = None
) -> Any:
    """Gradient of `pad` with respect to `x`.

    Parameters
    ----------
    dy : array; any floating dtype
        Gradient with respect to the result of `pad`. Any strides.
    padding, mode
        As `pad` was given.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array of the shape that was padded
        For every element, the sum of dy over all its copies, in the order in which they lie.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.pad_backward(np.array([1.0, 10.0, 100.0, 1000.0]), (2, 0), "replicate")
    array([ 111., 1000.])
    """
