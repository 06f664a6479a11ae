"""Lp pooling over sliding windows, and its gradient."""

from typing import Any

from pycnn.define._pool_lp import LP_POOL, LP_POOL_BACKWARD
from pycnn.define.public import Extent, operation


@operation(LP_POOL[2])
def lp_pool2d(
    x: Any,
    norm_type: float,
    kernel_size: Extent,
    stride: Extent | None = None,
    ceil_mode: bool = False,
    *,
    padding: Any = 0,
    dilation: Extent = 1,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Norm over sliding windows: (sum of x ** norm_type) ** (1 / norm_type).

    As in PyTorch, elements enter with their sign, so the root of a negative sum is NaN (but for
    norm_type 1), and the sum of a window that `ceil_mode` lets hang over the padded `x` is scaled
    up by the part that is missing.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W), any floating dtype
        Any strides. With ``layout="NHWC"`` the channels are the last axis.
    norm_type : float
        Finite and greater than 0. (Infinity is `max_pool2d` of the absolute values.)
    kernel_size : int or (vertical, horizontal)
    stride : int or (vertical, horizontal), optional
        By default `kernel_size`.
    ceil_mode : bool, default False
        Whether a last window may hang over the end, if it starts before it.
    padding : int, (vertical, horizontal) or ((top, bottom), (left, right)), default 0
        Zeros around `x`, on each side at most half of `kernel_size` of them. An extension:
        PyTorch has none.
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
    P. Sermanet, S. Chintala, Y. LeCun: Convolutional neural networks applied to house numbers
    digit classification, ICPR 2012.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.lp_pool2d(np.array([[[3.0, 5.0], [4.0, 12.0]]]), 2, (2, 1))
    array([[[ 5., 13.]]])
    """


@operation(LP_POOL_BACKWARD[2])
def lp_pool2d_backward(
    dy: Any,
    x: Any,
    y: Any,
    norm_type: float,
    kernel_size: Extent,
    stride: Extent | None = None,
    ceil_mode: bool = False,
    *,
    padding: Any = 0,
    dilation: Extent = 1,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Gradient of `lp_pool2d`: the sum of dy * (x / y) ** (norm_type - 1) over the windows on x.

    Parameters
    ----------
    dy : array (N, C, P, Q) or (C, P, Q), any floating dtype
        Gradient with respect to the norms. Any strides.
    x : array (N, C, H, W) or (C, H, W), dtype of `dy`
        What was pooled.
    y : array like dy
        What `lp_pool2d` made of it. Where it is zero, no gradient flows.
    norm_type, kernel_size, stride, ceil_mode, padding, dilation, layout
        As given to `lp_pool2d`.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array like `x`

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x = np.array([[[3.0, 4.0]]])
    >>> y = pycnn.lp_pool2d(x, 2, (1, 2))
    >>> pycnn.lp_pool2d_backward(np.array([[[10.0]]]), x, y, 2, (1, 2))
    array([[[6., 8.]]])
    """


@operation(LP_POOL[1], like=lp_pool2d)
def lp_pool1d(
    x: Any,
    norm_type: float,
    kernel_size: Extent,
    stride: Extent | None = None,
    ceil_mode: bool = False,
    *,
    padding: Any = 0,
    dilation: Extent = 1,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Norm over sliding windows along one axis.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.lp_pool1d(np.array([[3.0, 4.0, 5.0, 12.0]]), 2, 2)
    array([[ 5., 13.]])
    """


@operation(LP_POOL_BACKWARD[1], like=lp_pool2d_backward)
def lp_pool1d_backward(
    dy: Any,
    x: Any,
    y: Any,
    norm_type: float,
    kernel_size: Extent,
    stride: Extent | None = None,
    ceil_mode: bool = False,
    *,
    padding: Any = 0,
    dilation: Extent = 1,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Gradient of `lp_pool1d`: the sum of dy * (x / y) ** (norm_type - 1) over the windows on x.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x = np.array([[3.0, 4.0]])
    >>> y = pycnn.lp_pool1d(x, 2, 2)
    >>> pycnn.lp_pool1d_backward(np.array([[10.0]]), x, y, 2, 2)
    array([[6., 8.]])
    """


@operation(LP_POOL[3], like=lp_pool2d)
def lp_pool3d(
    x: Any,
    norm_type: float,
    kernel_size: Extent,
    stride: Extent | None = None,
    ceil_mode: bool = False,
    *,
    padding: Any = 0,
    dilation: Extent = 1,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Norm over sliding windows along three axes.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.lp_pool3d(np.full((1, 2, 2, 1), 2.0), 2, (2, 2, 1))
    array([[[[4.]]]])
    """


@operation(LP_POOL_BACKWARD[3], like=lp_pool2d_backward)
def lp_pool3d_backward(
    dy: Any,
    x: Any,
    y: Any,
    norm_type: float,
    kernel_size: Extent,
    stride: Extent | None = None,
    ceil_mode: bool = False,
    *,
    padding: Any = 0,
    dilation: Extent = 1,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Gradient of `lp_pool3d`: the sum of dy * (x / y) ** (norm_type - 1) over the windows on x.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x = np.array([[[[3.0, 4.0]]]])
    >>> y = pycnn.lp_pool3d(x, 2, (1, 1, 2))
    >>> pycnn.lp_pool3d_backward(np.array([[[[10.0]]]]), x, y, 2, (1, 1, 2))
    array([[[[6., 8.]]]])
    """
