"""Transposed convolution along three axes, and its gradients."""

from collections.abc import Sequence
from typing import Any

from pycnn.define.conv_transpose import CONV_TRANSPOSE3D, CONV_TRANSPOSE3D_BACKWARD
from pycnn.define.public import Extent, operation
from pycnn.ops.conv_transpose2d import conv_transpose2d, conv_transpose2d_backward


@operation(CONV_TRANSPOSE3D, like=conv_transpose2d)
def conv_transpose3d(
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
    """Three-dimensional transposed convolution: every element of `x` adds a filter to the result.

    It is the gradient of a convolution with respect to its input, `x` being that of the result:
    element ``i`` of `x` along an axis reaches ``i*stride - padding + r*dilation`` through tap
    ``r``. An epilogue follows as in `conv2d`.

    References
    ----------
    V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", 2016, chapter 4.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x, weight = np.array([[[[1.0, 2.0]]]]), np.array([[[[[1.0]], [[5.0]]]]])
    >>> pycnn.conv_transpose3d(x, weight)
    array([[[[ 1.,  2.]],
    <BLANKLINE>
            [[ 5., 10.]]]])
    """


@operation(CONV_TRANSPOSE3D_BACKWARD, like=conv_transpose2d_backward)
def conv_transpose3d_backward(
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
    """Gradients of `conv_transpose3d` with respect to input, weight and bias.

    References
    ----------
    V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", 2016, chapter 4.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x, weight = np.array([[[[1.0, 2.0]]]]), np.array([[[[[1.0]], [[5.0]]]]])
    >>> dx, _, dbias = pycnn.conv_transpose3d_backward(np.ones((1, 2, 1, 2)), x, weight)
    >>> dx, dbias
    (array([[[[6., 6.]]]]), array([4.]))
    """
