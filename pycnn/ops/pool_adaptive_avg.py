"""Average pooling over as many windows as asked for, and its gradient."""

from collections.abc import Sequence
from typing import Any

from pycnn.define._pool_mean import ADAPTIVE_AVG_POOL, ADAPTIVE_AVG_POOL_BACKWARD
from pycnn.define.public import Size, operation


@operation(ADAPTIVE_AVG_POOL[2])
def adaptive_avg_pool2d(
    x: Any,
    output_size: Size,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Mean over as many windows as asked for.

    Window i of n along an axis of extent m covers the elements from floor(i * m / n) up to, not
    including, ceil((i + 1) * m / n), as in PyTorch.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W), any floating dtype
        Any strides. With ``layout="NHWC"`` the channels are the last axis.
    output_size : int, or (P, Q) of int or None
        Windows along each axis, at least 1; None for as many as `x` has elements.
    layout : {"NCHW", "NHWC"}, default "NCHW"
        Channels before or after the spatial axes.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array (N, C, P, Q) or (C, P, Q), dtype of `x`

    References
    ----------
    K. He et al.: Spatial pyramid pooling in deep convolutional networks for visual recognition,
    ECCV 2014.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.adaptive_avg_pool2d(np.array([[[1.0, 3.0, 8.0, 4.0]]]), (1, 2))
    array([[[2., 6.]]])
    """


@operation(ADAPTIVE_AVG_POOL_BACKWARD[2])
def adaptive_avg_pool2d_backward(
    dy: Any,
    x_shape: Sequence[int],
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Gradient of `adaptive_avg_pool2d`: every dy, divided as in forward, to its whole window.

    Parameters
    ----------
    dy : array (N, C, P, Q) or (C, P, Q), any floating dtype
        Gradient with respect to the means, whose shape tells the output size. Any strides.
    x_shape : sequence of int
        Shape of what was pooled: (N, C, H, W) or (C, H, W), in the order of `layout`.
    layout : {"NCHW", "NHWC"}, default "NCHW"
        Channels before or after the spatial axes.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array of shape `x_shape`, dtype of `dy`

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> dy = np.array([[[6.0, 4.0]]])
    >>> pycnn.adaptive_avg_pool2d_backward(dy, (1, 1, 4))
    array([[[3., 3., 2., 2.]]])
    """


@operation(ADAPTIVE_AVG_POOL[1], like=adaptive_avg_pool2d)
def adaptive_avg_pool1d(
    x: Any,
    output_size: Size,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Mean over as many windows as asked for, along one axis.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.adaptive_avg_pool1d(np.array([[1.0, 3.0, 8.0, 4.0]]), 2)
    array([[2., 6.]])
    """


@operation(ADAPTIVE_AVG_POOL_BACKWARD[1], like=adaptive_avg_pool2d_backward)
def adaptive_avg_pool1d_backward(
    dy: Any,
    x_shape: Sequence[int],
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Gradient of `adaptive_avg_pool1d`: every dy, divided as in forward, to its whole window.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> dy = np.array([[6.0, 4.0]])
    >>> pycnn.adaptive_avg_pool1d_backward(dy, (1, 4))
    array([[3., 3., 2., 2.]])
    """


@operation(ADAPTIVE_AVG_POOL[3], like=adaptive_avg_pool2d)
def adaptive_avg_pool3d(
    x: Any,
    output_size: Size,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Mean over as many windows as asked for, along three axes.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.adaptive_avg_pool3d(np.array([[[[1.0, 3.0, 8.0, 4.0]]]]), (1, 1, 2))
    array([[[[2., 6.]]]])
    """


@operation(ADAPTIVE_AVG_POOL_BACKWARD[3], like=adaptive_avg_pool2d_backward)
def adaptive_avg_pool3d_backward(
    dy: Any,
    x_shape: Sequence[int],
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Gradient of `adaptive_avg_pool3d`: every dy, divided as in forward, to its whole window.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> dy = np.array([[[[6.0, 4.0]]]])
    >>> pycnn.adaptive_avg_pool3d_backward(dy, (1, 1, 1, 4))
    array([[[[3., 3., 2., 2.]]]])
    """
