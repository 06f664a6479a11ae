"""Transposed convolution along two axes, and its gradients."""

from collections.abc import Sequence
from typing import Any

from pycnn.define.conv_transpose import CONV_TRANSPOSE2D, CONV_TRANSPOSE2D_BACKWARD
from pycnn.define.public import Extent, operation


@operation(CONV_TRANSPOSE2D)
def conv_transpose2d(
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
    """Two-dimensional transposed convolution: every element of `x` adds a filter to the result.

    It is the gradient of a convolution with respect to its input, `x` being that of the result:
    element ``i`` of `x` along an axis reaches ``i*stride - padding + r*dilation`` through tap
    ``r``. An epilogue follows as in `conv2d`.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W), any floating dtype
        Any strides, without a copy; N may be 0. With ``layout="NHWC"`` the channels are the last
        axis.
    weight : array (C, K/G, R, S), dtype of `x`
        Any strides; the same in both layouts.
    bias : array (K,), dtype of `x`, optional
    stride : int or (vertical, horizontal), default 1
        Distance between the places where neighbours in `x` add their filters.
    padding : int, (vertical, horizontal) or one (before, after) an axis, default 0
        Elements that are cut off at the edges of the result.
    output_padding : int or (vertical, horizontal), default 0
        Elements more at the far edge of the result; less than stride or dilation.
    groups : int, default 1
    dilation : int or (vertical, horizontal), default 1
        Distance between the taps of a filter.
    padding_mode : {"zeros"}, default "zeros"
    scale, shift : array (K,), dtype of `x`, optional
    residual : array shaped as the result, dtype of `x`, optional
    activation : {None, "relu", "relu6", "leaky_relu", "silu", "sigmoid"}, default None
    negative_slope : float, default 0.01
        Of leaky_relu; any other activation refuses one that is not the default.
    layout : {"NCHW", "NHWC"}, default "NCHW"
        Channels before or after the spatial axes, in `x`, `residual` and the result.
    algo : str, default "auto"
        A kernel algorithm that offers "backward_input", along two axes of `conv2d_algorithms`; on
        the reference backend only "auto".
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array (N, K, ...) or (K, ...), dtype of `x`
        With extents (extent of `x` - 1) * stride - padding before and after +
        (taps - 1) * dilation + 1 + output_padding.

    References
    ----------
    V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", 2016, chapter 4.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x, weight = np.array([[[1.0, 2.0]]]), np.array([[[[1.0, 10.0], [0.0, 5.0]]]])
    >>> pycnn.conv_transpose2d(x, weight, stride=2)
    array([[[ 1., 10.,  2., 20.],
            [ 0.,  5.,  0., 10.]]])
    """


@operation(CONV_TRANSPOSE2D_BACKWARD)
def conv_transpose2d_backward(
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
    """Gradients of `conv_transpose2d` with respect to input, weight and bias.

    Parameters
    ----------
    dy : array shaped as the result, dtype of `x`
        Gradient with respect to the sum with its bias, in the order of `layout`. Any strides.
    x, weight, stride, padding, output_padding, groups, dilation, padding_mode, layout
        As given to `conv_transpose2d`.
    needs : (bool, bool, bool), default (True, True, True)
        Which of dx, dweight and dbias to compute.
    algo : str, default "auto"
        A kernel algorithm that offers "forward" and "backward_weight", as far as they are needed.

    Returns
    -------
    dx : array shaped as `x`, or None
    dweight : array (C, K/G, R, S), or None
        Zeros for an empty batch.
    dbias : array (K,), or None

    References
    ----------
    V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", 2016, chapter 4.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x, weight = np.array([[[1.0, 2.0]]]), np.array([[[[1.0, 10.0], [0.0, 5.0]]]])
    >>> dx, dweight, dbias = pycnn.conv_transpose2d_backward(np.ones((1, 2, 4)), x, weight, 2)
    >>> dx, dbias
    (array([[[16., 16.]]]), array([8.]))
    """
