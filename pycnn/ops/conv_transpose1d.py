"""Transposed convolution along one axis, and its gradients."""

from collections.abc import Sequence
from typing import Any

from pycnn.define.conv_transpose import CONV_TRANSPOSE1D, CONV_TRANSPOSE1D_BACKWARD
from pycnn.define.public import operation
from pycnn.ops.conv import Extent


@operation(CONV_TRANSPOSE1D)
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

    Parameters
    ----------
    x : array (N, C, W) or (C, W), any floating dtype
        Any strides, without a copy; N may be 0. With ``layout="NHWC"`` the channels are the last
        axis.
    weight : array (C, K/G, S), dtype of `x`
        Any strides; the same in both layouts.
    bias : array (K,), dtype of `x`, optional
    stride : int or (horizontal,), default 1
        Distance between the places where neighbours in `x` add their filters.
    padding : int, (horizontal,) or one (before, after) an axis, default 0
        Elements that are cut off at the edges of the result.
    output_padding : int or (horizontal,), default 0
        Elements more at the far edge of the result; less than stride or dilation.
    groups : int, default 1
    dilation : int or (horizontal,), default 1
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
        A kernel algorithm that offers "backward_input", see `conv2d_algorithms`; on the reference
        backend only "auto".
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
    >>> x, weight = np.array([[1.0, 2.0]]), np.array([[[1.0, 10.0, 100.0]]])
    >>> pycnn.conv_transpose1d(x, weight, stride=2)
    array([[  1.,  10., 102.,  20., 200.]])
    """


@operation(CONV_TRANSPOSE1D_BACKWARD)
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

    Parameters
    ----------
    dy : array shaped as the result, dtype of `x`
        Gradient with respect to the sum with its bias, in the order of `layout`. Any strides.
    x, weight, stride, padding, output_padding, groups, dilation, padding_mode, layout
        As given to `conv_transpose1d`.
    needs : (bool, bool, bool), default (True, True, True)
        Which of dx, dweight and dbias to compute.
    algo : str, default "auto"
        A kernel algorithm that offers "forward" and "backward_weight", as far as they are needed.

    Returns
    -------
    dx : array shaped as `x`, or None
    dweight : array (C, K/G, S), or None
        Zeros for an empty batch.
    dbias : array (K,), or None

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
