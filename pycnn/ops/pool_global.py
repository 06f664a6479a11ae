"""Pooling over all spatial axes, however many, and its gradient."""

from collections.abc import Sequence
from typing import Any

from pycnn.define._pool_max import GLOBAL_MAX_POOL, GLOBAL_MAX_POOL_BACKWARD
from pycnn.define._pool_mean import GLOBAL_AVG_POOL, GLOBAL_AVG_POOL_BACKWARD
from pycnn.define.public import operation


@operation(GLOBAL_AVG_POOL)
def global_avg_pool(
    x: Any,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Mean over all spatial axes.

    Parameters
    ----------
    x : array (N, C, L), (N, C, H, W) or (N, C, D, H, W), any floating dtype
        Any strides. With ``layout="NHWC"`` the channels are the last axis.
    layout : {"NCHW", "NHWC"}, default "NCHW"
        Channels before or after the spatial axes.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array (N, C, 1), (N, C, 1, 1) or (N, C, 1, 1, 1), dtype of `x`

    References
    ----------
    M. Lin, Q. Chen, S. Yan: Network in network, ICLR 2014.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.global_avg_pool(np.arange(6.0).reshape(1, 2, 3))
    array([[[1.],
            [4.]]])
    """


@operation(GLOBAL_AVG_POOL_BACKWARD)
def global_avg_pool_backward(
    dy: Any,
    x_shape: Sequence[int],
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Gradient of `global_avg_pool`: every dy, divided by their number, to all elements.

    Parameters
    ----------
    dy : array (N, C, 1), (N, C, 1, 1) or (N, C, 1, 1, 1), any floating dtype
        Gradient with respect to the means. Any strides.
    x_shape : sequence of int
        Shape of what was pooled.
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
    >>> pycnn.global_avg_pool_backward(np.array([[[6.0]]]), (1, 1, 3))
    array([[[2., 2., 2.]]])
    """


@operation(GLOBAL_MAX_POOL)
def global_max_pool(
    x: Any,
    return_indices: bool = False,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Maximum over all spatial axes.

    Parameters
    ----------
    x : array (N, C, L), (N, C, H, W) or (N, C, D, H, W), any floating dtype
        Any strides. With ``layout="NHWC"`` the channels are the last axis.
    return_indices : bool, default False
        Whether to return also where the maxima are.
    layout : {"NCHW", "NHWC"}, default "NCHW"
        Channels before or after the spatial axes.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    y : array (N, C, 1), (N, C, 1, 1) or (N, C, 1, 1, 1), dtype of `x`
        NaN where there is one.
    indices : array like y, int64
        Only with `return_indices`: as `max_pool2d` gives them.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.global_max_pool(np.arange(6.0).reshape(1, 2, 3))
    array([[[2.],
            [5.]]])
    """


@operation(GLOBAL_MAX_POOL_BACKWARD)
def global_max_pool_backward(
    dy: Any,
    indices: Any,
    x_shape: Sequence[int],
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Gradient of `global_max_pool`: every dy goes to where its maximum came from.

    Parameters
    ----------
    dy : array (N, C, 1), (N, C, 1, 1) or (N, C, 1, 1, 1), any floating dtype
        Gradient with respect to the maxima. Any strides.
    indices : array like dy, int64
        As `global_max_pool` returned them; see `max_pool2d_backward`.
    x_shape : sequence of int
        Shape of what was pooled.
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
    >>> pycnn.global_max_pool_backward(np.array([[[6.0]]]), np.array([[[2]]]), (1, 1, 3))
    array([[[0., 0., 6.]]])
    """
