"""Max pooling over as many windows as asked for, and its gradient."""

from collections.abc import Sequence
from typing import Any

from pycnn.define._pool_max import ADAPTIVE_MAX_POOL, ADAPTIVE_MAX_POOL_BACKWARD
from pycnn.define.public import Size, operation


@operation(ADAPTIVE_MAX_POOL[2])
def adaptive_max_pool2d(
    x: Any,
    output_size: Size,
    return_indices: bool = False,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Maximum over as many windows as asked for.

    Window i of n along an axis of extent m covers the elements from floor(i * m / n) up to, not
    including, ceil((i + 1) * m / n), as in PyTorch.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W), any floating dtype
        Any strides. With ``layout="NHWC"`` the channels are the last axis.
    output_size : int, or (P, Q) of int or None
        Windows along each axis, at least 1; None for as many as `x` has elements.
    return_indices : bool, default False
        Whether to return also where the maxima are.
    layout : {"NCHW", "NHWC"}, default "NCHW"
        Channels before or after the spatial axes.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    y : array (N, C, P, Q) or (C, P, Q), dtype of `x`
        A window with a NaN has NaN as its maximum.
    indices : array like y, int64
        Only with `return_indices`: as `max_pool2d` gives them.

    References
    ----------
    K. He et al.: Spatial pyramid pooling in deep convolutional networks for visual recognition,
    ECCV 2014.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.adaptive_max_pool2d(np.array([[[1.0, 3.0, 8.0, 4.0]]]), (1, 2))
    array([[[3., 8.]]])
    """


@operation(ADAPTIVE_MAX_POOL_BACKWARD[2])
def adaptive_max_pool2d_backward(
    dy: Any,
    indices: Any,
    x_shape: Sequence[int],
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Gradient of `adaptive_max_pool2d`: every dy goes to where its maximum came from.

    Parameters
    ----------
    dy : array (N, C, P, Q) or (C, P, Q), any floating dtype
        Gradient with respect to the maxima, whose shape tells the output size. Any strides.
    indices : array like dy, int64
        As `adaptive_max_pool2d` returned them; see `max_pool2d_backward`.
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
    >>> dy, indices = np.array([[[7.0, 9.0]]]), np.array([[[1, 2]]])
    >>> pycnn.adaptive_max_pool2d_backward(dy, indices, (1, 1, 4))
    array([[[0., 7., 9., 0.]]])
    """


@operation(ADAPTIVE_MAX_POOL[1], like=adaptive_max_pool2d)
def adaptive_max_pool1d(
    x: Any,
    output_size: Size,
    return_indices: bool = False,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Maximum over as many windows as asked for, along one axis.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.adaptive_max_pool1d(np.array([[1.0, 3.0, 8.0, 4.0]]), 2)
    array([[3., 8.]])
    """


@operation(ADAPTIVE_MAX_POOL_BACKWARD[1], like=adaptive_max_pool2d_backward)
def adaptive_max_pool1d_backward(
    dy: Any,
    indices: Any,
    x_shape: Sequence[int],
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Gradient of `adaptive_max_pool1d`: every dy goes to where its maximum came from.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> dy, indices = np.array([[7.0, 9.0]]), np.array([[1, 2]])
    >>> pycnn.adaptive_max_pool1d_backward(dy, indices, (1, 4))
    array([[0., 7., 9., 0.]])
    """


@operation(ADAPTIVE_MAX_POOL[3], like=adaptive_max_pool2d)
def adaptive_max_pool3d(
    x: Any,
    output_size: Size,
    return_indices: bool = False,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Maximum over as many windows as asked for, along three axes.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.adaptive_max_pool3d(np.array([[[[1.0, 3.0, 8.0, 4.0]]]]), (1, 1, 2))
    array([[[[3., 8.]]]])
    """


@operation(ADAPTIVE_MAX_POOL_BACKWARD[3], like=adaptive_max_pool2d_backward)
def adaptive_max_pool3d_backward(
    dy: Any,
    indices: Any,
    x_shape: Sequence[int],
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Gradient of `adaptive_max_pool3d`: every dy goes to where its maximum came from.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> dy, indices = np.array([[[[7.0, 9.0]]]]), np.array([[[[1, 2]]]])
    >>> pycnn.adaptive_max_pool3d_backward(dy, indices, (1, 1, 1, 4))
    array([[[[0., 7., 9., 0.]]]])
    """
