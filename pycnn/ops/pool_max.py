"""Max pooling over sliding windows, and its gradient."""

from collections.abc import Sequence
from typing import Any

from pycnn.define._pool_max import MAX_POOL, MAX_POOL_BACKWARD
from pycnn.define.public import Extent, operation


@operation(MAX_POOL[2])
def max_pool2d(
    x: Any,
    kernel_size: Extent,
    stride: Extent | None = None,
    padding: Any = 0,
    dilation: Extent = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Maximum over sliding windows.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W), any floating dtype
        Any strides; N or C may be 0. With ``layout="NHWC"`` the channels are the last axis.
    kernel_size : int or (vertical, horizontal)
        Extent of the window.
    stride : int or (vertical, horizontal), optional
        Step of the window; by default, and where it is empty, `kernel_size`.
    padding : int, (vertical, horizontal) or ((top, bottom), (left, right)), default 0
        Minus infinity around `x`, on each side at most half of `kernel_size` of it.
    dilation : int or (vertical, horizontal), default 1
        Distance between the elements of a window.
    ceil_mode : bool, default False
        Whether a last window may hang over the end, if it starts before it.
    return_indices : bool, default False
        Whether to return also where the maxima are.
    layout : {"NCHW", "NHWC"}, default "NCHW"
        Channels before or after the spatial axes.
    out : array, optional
        Takes the maxima: contiguous, memory of its own.

    Returns
    -------
    y : array (N, C, P, Q) or (C, P, Q), dtype of `x`
        As in PyTorch, a window with a NaN has NaN as its maximum. A window that dilation leaves
        without any element of `x` gives minus infinity.
    indices : array like y, int64
        Only with `return_indices`: h * W + w of the first maximum, or of the last
        NaN; -1 for a window without any element of `x`.

    References
    ----------
    M. Ranzato et al.: Unsupervised learning of invariant feature hierarchies, CVPR 2007.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x = np.array([[[1.0, 5.0, 2.0], [4.0, 3.0, 6.0]]])
    >>> y, indices = pycnn.max_pool2d(x, 2, stride=1, return_indices=True)
    >>> y, indices
    (array([[[5., 6.]]]), array([[[1, 5]]]))
    """


@operation(MAX_POOL_BACKWARD[2])
def max_pool2d_backward(
    dy: Any,
    indices: Any,
    x_shape: Sequence[int],
    kernel_size: Extent,
    stride: Extent | None = None,
    padding: Any = 0,
    dilation: Extent = 1,
    ceil_mode: bool = False,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Gradient of `max_pool2d`: every dy goes to where its maximum came from.

    Gathered, not scattered: every element of the result sums over the windows that it lies in,
    always in the same order, so the result is the same bit for bit.

    Parameters
    ----------
    dy : array (N, C, P, Q) or (C, P, Q), any floating dtype
        Gradient with respect to the maxima. Any strides.
    indices : array like dy, int64
        As `max_pool2d` returned them, of windows as given below. Out of range values are
        refused in NumPy arrays; in CuPy arrays, where looking would wait for the device, they
        are ignored.
    x_shape : sequence of int
        Shape of what was pooled: (N, C, H, W) or (C, H, W), in the order of `layout`.
    kernel_size, stride, padding, dilation, ceil_mode, layout
        As given to `max_pool2d`.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array of shape `x_shape`, dtype of `dy`

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> dy, indices = np.array([[[7.0, 8.0]]]), np.array([[[1, 1]]])
    >>> pycnn.max_pool2d_backward(dy, indices, (1, 1, 3), (1, 2), stride=1)
    array([[[ 0., 15.,  0.]]])
    """


@operation(MAX_POOL[1], like=max_pool2d)
def max_pool1d(
    x: Any,
    kernel_size: Extent,
    stride: Extent | None = None,
    padding: Any = 0,
    dilation: Extent = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Maximum over sliding windows along one axis.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.max_pool1d(np.array([[1.0, 5.0, 2.0]]), 2, stride=1)
    array([[5., 5.]])
    """


@operation(MAX_POOL_BACKWARD[1], like=max_pool2d_backward)
def max_pool1d_backward(
    dy: Any,
    indices: Any,
    x_shape: Sequence[int],
    kernel_size: Extent,
    stride: Extent | None = None,
    padding: Any = 0,
    dilation: Extent = 1,
    ceil_mode: bool = False,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Gradient of `max_pool1d`: every dy goes to where its maximum came from.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> dy, indices = np.array([[7.0, 8.0]]), np.array([[1, 1]])
    >>> pycnn.max_pool1d_backward(dy, indices, (1, 3), 2, stride=1)
    array([[ 0., 15.,  0.]])
    """


@operation(MAX_POOL[3], like=max_pool2d)
def max_pool3d(
    x: Any,
    kernel_size: Extent,
    stride: Extent | None = None,
    padding: Any = 0,
    dilation: Extent = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Maximum over sliding windows along three axes.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.max_pool3d(np.arange(8.0).reshape(1, 2, 2, 2), 2)
    array([[[[7.]]]])
    """


@operation(MAX_POOL_BACKWARD[3], like=max_pool2d_backward)
def max_pool3d_backward(
    dy: Any,
    indices: Any,
    x_shape: Sequence[int],
    kernel_size: Extent,
    stride: Extent | None = None,
    padding: Any = 0,
    dilation: Extent = 1,
    ceil_mode: bool = False,
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Gradient of `max_pool3d`: every dy goes to where its maximum came from.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> dy, indices = np.array([[[[7.0]]]]), np.array([[[[2]]]])
    >>> pycnn.max_pool3d_backward(dy, indices, (1, 2, 2, 1), (2, 2, 1))
    array([[[[0.],
             [0.]],
    <BLANKLINE>
            [[7.],
             [0.]]]])
    """
