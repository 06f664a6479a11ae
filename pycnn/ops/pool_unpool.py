"""Putting maxima back where they came from, and its gradient."""

from collections.abc import Sequence
from typing import Any

from pycnn.define._pool_unpool import MAX_UNPOOL, MAX_UNPOOL_BACKWARD
from pycnn.define.public import Extent, operation


@operation(MAX_UNPOOL[2])
def max_unpool2d(
    x: Any,
    indices: Any,
    kernel_size: Extent,
    stride: Extent | None = None,
    padding: Any = 0,
    output_size: Sequence[int] | None = None,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Partial inverse of `max_pool2d`: maxima where they came from, zero elsewhere.

    Parameters
    ----------
    x : array (N, C, P, Q) or (C, P, Q), any floating dtype
        Any strides. With ``layout="NHWC"`` the channels are the last axis.
    indices : array like x, int64
        Where each element goes, as `max_pool2d` returned it; -1 for nowhere. Of several with one
        index the last in row-major order stays. Out of range values are refused in NumPy arrays; in
        CuPy arrays, where looking would wait for the device, they go nowhere.
    kernel_size, stride, padding
        As given to `max_pool2d`: they tell the extents of the result,
        (extent - 1) * stride - padding + kernel_size.
    output_size : sequence of int, optional
        Extents of the result instead, less than a stride from those; leading axes may be given too.
    layout : {"NCHW", "NHWC"}, default "NCHW"
        Channels before or after the spatial axes.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array (N, C, H, W) or (C, H, W), dtype of `x`

    References
    ----------
    M. Zeiler, R. Fergus: Visualizing and understanding convolutional networks, ECCV 2014.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x, indices, kernel_size = np.array([[[5.0, 9.0]]]), np.array([[[1, 2]]]), (1, 2)
    >>> pycnn.max_unpool2d(x, indices, kernel_size)
    array([[[0., 5., 9., 0.]]])
    """


@operation(MAX_UNPOOL_BACKWARD[2])
def max_unpool2d_backward(
    dy: Any,
    indices: Any,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Gradient of `max_unpool2d`: dy where the indices say.

    Parameters
    ----------
    dy : array (N, C, H, W) or (C, H, W), any floating dtype
        Gradient with respect to the result. Any strides.
    indices : array (N, C, P, Q) or (C, P, Q), int64
        As given to `max_unpool2d`; the gradient of an element that went nowhere is zero. Of several
        with one index, each is given that gradient, as in PyTorch.
    layout : {"NCHW", "NHWC"}, default "NCHW"
        Channels before or after the spatial axes.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array like `indices`, dtype of `dy`

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> dy, indices = np.array([[[7.0, 5.0, 9.0, 3.0]]]), np.array([[[1, 2]]])
    >>> pycnn.max_unpool2d_backward(dy, indices)
    array([[[5., 9.]]])
    """


@operation(MAX_UNPOOL[1], like=max_unpool2d)
def max_unpool1d(
    x: Any,
    indices: Any,
    kernel_size: Extent,
    stride: Extent | None = None,
    padding: Any = 0,
    output_size: Sequence[int] | None = None,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Partial inverse of `max_pool1d`: maxima where they came from, zero elsewhere.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x, indices, kernel_size = np.array([[5.0, 9.0]]), np.array([[1, 2]]), 2
    >>> pycnn.max_unpool1d(x, indices, kernel_size)
    array([[0., 5., 9., 0.]])
    """


@operation(MAX_UNPOOL_BACKWARD[1], like=max_unpool2d_backward)
def max_unpool1d_backward(
    dy: Any,
    indices: Any,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Gradient of `max_unpool1d`: dy where the indices say.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> dy, indices = np.array([[7.0, 5.0, 9.0, 3.0]]), np.array([[1, 2]])
    >>> pycnn.max_unpool1d_backward(dy, indices)
    array([[5., 9.]])
    """


@operation(MAX_UNPOOL[3], like=max_unpool2d)
def max_unpool3d(
    x: Any,
    indices: Any,
    kernel_size: Extent,
    stride: Extent | None = None,
    padding: Any = 0,
    output_size: Sequence[int] | None = None,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Partial inverse of `max_pool3d`: maxima where they came from, zero elsewhere.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x, indices, kernel_size = np.array([[[[5.0, 9.0]]]]), np.array([[[[1, 2]]]]), (1, 1, 2)
    >>> pycnn.max_unpool3d(x, indices, kernel_size)
    array([[[[0., 5., 9., 0.]]]])
    """


@operation(MAX_UNPOOL_BACKWARD[3], like=max_unpool2d_backward)
def max_unpool3d_backward(
    dy: Any,
    indices: Any,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Gradient of `max_unpool3d`: dy where the indices say.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> dy, indices = np.array([[[[7.0, 5.0, 9.0, 3.0]]]]), np.array([[[[1, 2]]]])
    >>> pycnn.max_unpool3d_backward(dy, indices)
    array([[[[5., 9.]]]])
    """
