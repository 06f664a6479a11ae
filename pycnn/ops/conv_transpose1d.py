"""Transposed convolution along one axis, and its gradients."""

from collections.abc import Sequence
from typing import Any

from pycnn.define.conv_transpose import CONV_TRANSPOSE1D, CONV_TRANSPOSE1D_BACKWARD
from pycnn.define.public import Extent, operation
from pycnn.ops.conv_transpose2d import conv_transpose2d, conv_transpose2d_backward


@operation(CONV_TRANSPOSE1D, like=conv_transpose2d)
def conv_transpose1d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Extent = 1,
    padding: Any = 0,
    output_padding: Extent = 0,
    groups: int = 1,
    dilation: Extent = 1,
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
    """One-dimensional transposed convolution: every element of `x` adds a filter to the result.

    It is the gradient of a convolution with respect to its input, `x` being that of the result:
    element ``i`` of `x` along an axis reaches ``i*stride - padding + r*dilation`` through tap
    ``r``. An epilogue follows as in `conv2d`.

    References
    ----------
    V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", 2016, chapter 4.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x, weight = np.array([[1.0, 2.0]]), np.array([[[1.0, 10.0, 100.0]]])
    >>> pycnn.conv_transpose1d(x, weight, stride=2)
    array([[  1.,  10., 102.,  20., 200.]])
    """


@operation(CONV_TRANSPOSE1D_BACKWARD, like=conv_transpose2d_backward)
def conv_transpose1d_backward(
    dy: Any,
    x: Any,
    weight: Any,
    stride: Extent = 1,
    padding: Any = 0,
    output_padding: Extent = 0,
    groups: int = 1,
    dilation: Extent = 1,
    *,
    padding_mode: str = "zeros",
    layout: str = "NCHW",
    needs: Sequence[bool] = (True, True, True),
    algo: str = "auto",
) -> tuple[Any, Any, Any]:
    """Gradients of `conv_transpose1d` with respect to input, weight and bias.

    References
    ----------
    V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", 2016, chapter 4.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x, weight = np.array([[1.0, 2.0]]), np.array([[[1.0, 10.0]]])
    >>> dx, dweight, dbias = pycnn.conv_transpose1d_backward(np.ones((1, 4)), x, weight, 2)
    >>> dx, dweight, dbias
    (array([[11., 11.]]), array([[[3., 3.]]]), array([4.]))
    """
