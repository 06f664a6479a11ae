"""Convolution along one axis, and its gradients."""

from collections.abc import Sequence
from typing import Any

from pycnn.define.conv import CONV1D, CONV1D_BACKWARD
from pycnn.define.public import Extent, operation
from pycnn.ops.conv import conv2d, conv2d_backward


@operation(CONV1D, like=conv2d)
def conv1d(
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
    """One-dimensional convolution (cross-correlation, as in PyTorch).

    References
    ----------
    A. Waibel et al., "Phoneme recognition using time-delay neural networks", 1989.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x, weight = np.arange(5.0).reshape(1, 5), np.ones((1, 1, 3))
    >>> pycnn.conv1d(x, weight, padding=1, padding_mode="circular")
    array([[5., 3., 6., 9., 7.]])
    """


@operation(CONV1D_BACKWARD, like=conv2d_backward)
def conv1d_backward(
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
    """Gradients of `conv1d` with respect to input, weight and bias.

    References
    ----------
    V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", 2016, chapter 4.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x, weight = np.arange(4.0).reshape(1, 4), np.ones((1, 1, 3))
    >>> dx, dweight, dbias = pycnn.conv1d_backward(np.ones((1, 2)), x, weight)
    >>> dx, dweight, dbias
    (array([[1., 2., 2., 1.]]), array([[[1., 3., 5.]]]), array([2.]))
    """
