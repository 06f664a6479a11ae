"""Sliding windows as columns, and back."""

from collections.abc import Sequence
from typing import Any

from pycnn.define.public import operation
from pycnn.define.unfold import FOLD, UNFOLD

Extent = int | Sequence[int]


@operation(UNFOLD)
def unfold(
    x: Any,
    kernel_size: Extent,
    dilation: Extent = 1,
    padding: Extent = 0,
    stride: Extent = 1,
    *,
    out: Any = None,
) -> Any:
    """Every sliding window of an image as a column (im2col). Its gradient is `fold`.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W); any floating dtype, int8 to int64, uint8 or bool
        Any strides.
    kernel_size : int or (vertical, horizontal)
        Extents (R, S) of the window.
    dilation : int or (vertical, horizontal), default 1
        Distance between the elements of a window.
    padding : int or (vertical, horizontal), default 0
        Zeros on both sides.
    stride : int or (vertical, horizontal), default 1
        Step of the window.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array (N, C R S, L) or (C R S, L)
        L windows in row-major order.

    References
    ----------
    K. Chellapilla, S. Puri, P. Simard: High performance convolutional neural networks for
    document processing, 2006, section 3.1.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.unfold(np.zeros((2, 3, 28, 28)), 3, padding=1).shape
    (2, 27, 784)
    """


@operation(FOLD)
def fold(
    x: Any,
    output_size: Extent,
    kernel_size: Extent,
    dilation: Extent = 1,
    padding: Extent = 0,
    stride: Extent = 1,
    *,
    out: Any = None,
) -> Any:
    """Columns as sliding windows, summed where they overlap (col2im). Its gradient is `unfold`.

    Parameters
    ----------
    x : array (N, C R S, L) or (C R S, L); any floating dtype
        As `unfold` makes it. Any strides.
    output_size : int or (vertical, horizontal)
        Extents (H, W) of the result.
    kernel_size, dilation, padding, stride
        As for `unfold`.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array (N, C, H, W) or (C, H, W)
        Each element a sum in the order of the window's elements.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> columns = pycnn.unfold(np.ones((1, 1, 3, 3)), 2)
    >>> pycnn.fold(columns, 3, 2)[0, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
