"""Average pooling over sliding windows, and its gradient."""

from collections.abc import Sequence
from typing import Any

from pycnn.define._pool_mean import AVG_POOL, AVG_POOL_BACKWARD
from pycnn.define.public import Extent, operation


@operation(AVG_POOL[2])
def avg_pool2d(
    x: Any,
    kernel_size: Extent,
    stride: Extent | None = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: Extent = 1,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Mean over sliding windows.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W), any floating dtype
        Any strides; N or C may be 0. With ``layout="NHWC"`` the channels are the last axis.
    kernel_size, stride, padding, ceil_mode
        As for `max_pool2d`; the padding is zero.
    count_include_pad : bool, default True
        Whether the padding counts in the divisor. What a window of `ceil_mode` covers beyond it
        never does. A window that dilation leaves without any element of `x` gives zero.
    divisor_override : int, optional
        Divide by this instead, at least 1.
    dilation : int or (vertical, horizontal), default 1
        Distance between the elements of a window. An extension: PyTorch has none.
    layout : {"NCHW", "NHWC"}, default "NCHW"
        Channels before or after the spatial axes.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array (N, C, P, Q) or (C, P, Q), dtype of `x`

    References
    ----------
    Y. LeCun et al.: Gradient-based learning applied to document recognition, Proc. IEEE 1998.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.avg_pool2d(np.array([[[1.0, 3.0, 8.0]]]), (1, 2), ceil_mode=True)
    array([[[2., 8.]]])
    """


@operation(AVG_POOL_BACKWARD[2])
def avg_pool2d_backward(
    dy: Any,
    x_shape: Sequence[int],
    kernel_size: Extent,
    stride: Extent | None = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: Extent = 1,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Gradient of `avg_pool2d`: every dy, divided as in forward, goes to its whole window.

    Parameters
    ----------
    dy : array (N, C, P, Q) or (C, P, Q), any floating dtype
        Gradient with respect to the means. Any strides.
    x_shape : sequence of int
        Shape of what was pooled: (N, C, H, W) or (C, H, W), in the order of `layout`.
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, dilation, layout
        As given to `avg_pool2d`.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array of shape `x_shape`, dtype of `dy`

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.avg_pool2d_backward(np.array([[[6.0, 4.0]]]), (1, 1, 3), (1, 2), stride=1)
    array([[[3., 5., 2.]]])
    """


@operation(AVG_POOL[1])
def avg_pool1d(
    x: Any,
    kernel_size: Extent,
    stride: Extent | None = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    *,
    dilation: Extent = 1,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Mean over sliding windows along one axis.

    Parameters
    ----------
    x : array (N, C, L) or (C, L), any floating dtype
        Any strides. With ``layout="NHWC"`` the channels are the last axis.
    kernel_size : int or (int,)
    stride : int or (int,), optional
        By default `kernel_size`.
    padding : int, (int,) or ((left, right),), default 0
    ceil_mode : bool, default False
    count_include_pad : bool, default True
    dilation : int or (int,), default 1
        An extension: PyTorch has none.
    layout : {"NCHW", "NHWC"}, default "NCHW"
        Channels before or after the spatial axes.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array (N, C, Q) or (C, Q), dtype of `x`

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.avg_pool1d(np.array([[1.0, 3.0, 8.0]]), 2, ceil_mode=True)
    array([[2., 8.]])
    """


@operation(AVG_POOL_BACKWARD[1])
def avg_pool1d_backward(
    dy: Any,
    x_shape: Sequence[int],
    kernel_size: Extent,
    stride: Extent | None = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    *,
    dilation: Extent = 1,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Gradient of `avg_pool1d`: every dy, divided as in forward, goes to its whole window.

    Parameters
    ----------
    dy : array (N, C, Q) or (C, Q), any floating dtype
        Gradient with respect to the means. Any strides.
    x_shape : sequence of int
        Shape of what was pooled: (N, C, L) or (C, L), in the order of `layout`.
    kernel_size, stride, padding, ceil_mode, count_include_pad, dilation, layout
        As given to `avg_pool1d`.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array of shape `x_shape`, dtype of `dy`

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.avg_pool1d_backward(np.array([[6.0, 4.0]]), (1, 3), 2, stride=1)
    array([[3., 5., 2.]])
    """


@operation(AVG_POOL[3], like=avg_pool2d)
def avg_pool3d(
    x: Any,
    kernel_size: Extent,
    stride: Extent | None = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: Extent = 1,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Mean over sliding windows along three axes.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.avg_pool3d(np.arange(8.0).reshape(1, 2, 2, 2), 2)
    array([[[[3.5]]]])
    """


@operation(AVG_POOL_BACKWARD[3], like=avg_pool2d_backward)
def avg_pool3d_backward(
    dy: Any,
    x_shape: Sequence[int],
    kernel_size: Extent,
    stride: Extent | None = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: Extent = 1,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Gradient of `avg_pool3d`: every dy, divided as in forward, goes to its whole window.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.avg_pool3d_backward(np.array([[[[8.0]]]]), (1, 2, 1, 2), (2, 1, 2))
    array([[[[2., 2.]],
    <BLANKLINE>
            [[2., 2.]]]])
    """
