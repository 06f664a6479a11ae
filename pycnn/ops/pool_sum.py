"""Sum pooling over sliding windows, and its gradient."""

from collections.abc import Sequence
from typing import Any

from pycnn.define._pool_mean import SUM_POOL, SUM_POOL_BACKWARD
from pycnn.define.public import Extent, operation


@operation(SUM_POOL[2])
def sum_pool2d(
    x: Any,
    kernel_size: Extent,
    stride: Extent | None = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    *,
    dilation: Extent = 1,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Sum over sliding windows.

    `avg_pool2d` without the division: what lies in the padding adds nothing.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W), any floating dtype
        Any strides. With ``layout="NHWC"`` the channels are the last axis.
    kernel_size : int or (vertical, horizontal)
    stride : int or (vertical, horizontal), optional
        By default `kernel_size`.
    padding : int, (vertical, horizontal) or ((top, bottom), (left, right)), default 0
        As for `max_pool2d`, but zero.
    ceil_mode : bool, default False
    dilation : int or (vertical, horizontal), default 1
        Distance between the elements of a window. An extension: PyTorch has none.
    layout : {"NCHW", "NHWC"}, default "NCHW"
        Channels before or after the spatial axes.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array (N, C, P, Q) or (C, P, Q), dtype of `x`

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.sum_pool2d(np.ones((1, 2, 4)), 2)
    array([[[4., 4.]]])
    """


@operation(SUM_POOL_BACKWARD[2])
def sum_pool2d_backward(
    dy: Any,
    x_shape: Sequence[int],
    kernel_size: Extent,
    stride: Extent | None = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    *,
    dilation: Extent = 1,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Gradient of `sum_pool2d`: every dy goes to its whole window.

    Parameters
    ----------
    dy : array (N, C, P, Q) or (C, P, Q), any floating dtype
        Gradient with respect to the sums. Any strides.
    x_shape : sequence of int
        Shape of what was pooled: (N, C, H, W) or (C, H, W), in the order of `layout`.
    kernel_size, stride, padding, ceil_mode, dilation, layout
        As given to `sum_pool2d`.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array of shape `x_shape`, dtype of `dy`

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.sum_pool2d_backward(np.array([[[6.0, 4.0]]]), (1, 1, 3), (1, 2), stride=1)
    array([[[ 6., 10.,  4.]]])
    """


@operation(SUM_POOL[1], like=sum_pool2d)
def sum_pool1d(
    x: Any,
    kernel_size: Extent,
    stride: Extent | None = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    *,
    dilation: Extent = 1,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Sum over sliding windows along one axis.

    `avg_pool1d` without the division: what lies in the padding adds nothing.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.sum_pool1d(np.array([[1.0, 3.0, 8.0]]), 2, stride=1)
    array([[ 4., 11.]])
    """


@operation(SUM_POOL_BACKWARD[1], like=sum_pool2d_backward)
def sum_pool1d_backward(
    dy: Any,
    x_shape: Sequence[int],
    kernel_size: Extent,
    stride: Extent | None = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    *,
    dilation: Extent = 1,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Gradient of `sum_pool1d`: every dy goes to its whole window.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.sum_pool1d_backward(np.array([[6.0, 4.0]]), (1, 3), 2, stride=1)
    array([[ 6., 10.,  4.]])
    """


@operation(SUM_POOL[3], like=sum_pool2d)
def sum_pool3d(
    x: Any,
    kernel_size: Extent,
    stride: Extent | None = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    *,
    dilation: Extent = 1,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Sum over sliding windows along three axes.

    `avg_pool3d` without the division: what lies in the padding adds nothing.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.sum_pool3d(np.ones((1, 2, 2, 2)), 2)
    array([[[[8.]]]])
    """


@operation(SUM_POOL_BACKWARD[3], like=sum_pool2d_backward)
def sum_pool3d_backward(
    dy: Any,
    x_shape: Sequence[int],
    kernel_size: Extent,
    stride: Extent | None = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    *,
    dilation: Extent = 1,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Gradient of `sum_pool3d`: every dy goes to its whole window.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.sum_pool3d_backward(np.array([[[[8.0]]]]), (1, 1, 1, 2), (1, 1, 2))
    array([[[[8., 8.]]]])
    """
