"""Convolution along one axis, and its gradients."""

from collections.abc import Sequence
from typing import Any

from pycnn.define.conv import CONV1D, CONV1D_BACKWARD
from pycnn.define.public import operation
from pycnn.ops.conv import Extent


@operation(CONV1D)
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

    As `conv2d`, whose arguments mean the same here along one axis.

    Parameters
    ----------
    x : array (N, C, W) or (C, W), any floating dtype
        Any strides, without a copy; N may be 0. With ``layout="NHWC"`` the channels are the last
        axis: (N, W, C) or (W, C).
    weight : array (K, C/G, S), dtype of `x`
        Any strides; the same in both layouts.
    bias : array (K,), dtype of `x`, optional
    stride, dilation : int or (horizontal,), default 1
    padding : int, (horizontal,), ((left, right),) or str, default 0
        "valid", "same", "same_upper" and "same_lower" as for `conv2d`.
    groups : int, default 1
    padding_mode : {"zeros", "reflect", "replicate", "circular"}, default "zeros"
    scale, shift : array (K,), dtype of `x`, optional
    residual : array shaped as the result, dtype of `x`, optional
    activation : {None, "relu", "relu6", "leaky_relu", "silu", "sigmoid"}, default None
    negative_slope : float, default 0.01
        Of leaky_relu; any other activation refuses one that is not the default.
    layout : {"NCHW", "NHWC"}, default "NCHW"
        Channels before or after the axis of positions.
    algo : str, default "auto"
        A kernel algorithm; on the reference backend only "auto".
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array (N, K, Q) or (K, Q), dtype of `x`
        In the order of `layout`.

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


@operation(CONV1D_BACKWARD)
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

    Parameters
    ----------
    dy : array (N, K, Q) or (K, Q), dtype of `x`
        Gradient with respect to the sum with its bias, in the order of `layout`. Any strides.
    x, weight, stride, padding, dilation, groups, padding_mode, layout
        As given to `conv1d`.
    needs : (bool, bool, bool), default (True, True, True)
        Which of dx, dweight and dbias to compute.
    algo : str, default "auto"
        As for `conv2d_backward`.

    Returns
    -------
    dx : array shaped as `x`, or None
    dweight : array (K, C/G, S), or None
        Zeros for an empty batch.
    dbias : array (K,), or None

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
