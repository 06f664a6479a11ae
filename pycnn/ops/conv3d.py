"""Convolution along three axes, and its gradients."""

from collections.abc import Sequence
from typing import Any

from pycnn.define.conv import CONV3D, CONV3D_BACKWARD
from pycnn.define.public import Extent, operation
from pycnn.ops.conv import conv2d, conv2d_backward


@operation(CONV3D, like=conv2d)
def conv3d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Extent = 1,
    padding: Any = 0,
    dilation: Extent = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    scale: Any = None,
    shift: Any = None,
    residual: Any = None,
    activation: str | None = None,
    negative_slope: float = 0.01,
    layout: str = "NCHW",
    algo: str = "auto",
    out: Any = None,
) -> Any:
    """Three-dimensional convolution (cross-correlation, as in PyTorch).

    References
    ----------
    D. Tran et al., "Learning spatiotemporal features with 3D convolutional networks", 2015.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x, weight = np.arange(8.0).reshape(1, 2, 2, 2), np.ones((1, 1, 2, 2, 1))
    >>> pycnn.conv3d(x, weight)
    array([[[[12., 16.]]]])
    """


@operation(CONV3D_BACKWARD, like=conv2d_backward)
def conv3d_backward(
    dy: Any,
    x: Any,
    weight: Any,
    stride: Extent = 1,
    padding: Any = 0,
    dilation: Extent = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    layout: str = "NCHW",
    needs: Sequence[bool] = (True, True, True),
    algo: str = "auto",
) -> tuple[Any, Any, Any]:
    """Gradients of `conv3d` with respect to input, weight and bias.

    References
    ----------
    V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", 2016, chapter 4.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x, weight = np.arange(8.0).reshape(1, 2, 2, 2), np.ones((1, 1, 2, 2, 1))
    >>> dx, dweight, dbias = pycnn.conv3d_backward(np.ones((1, 1, 1, 2)), x, weight)
    >>> dweight.ravel(), dbias
    (array([ 1.,  5.,  9., 13.]), array([2.]))
    """
