"""Two-dimensional convolution of 8-bit integers."""

from collections.abc import Sequence
from typing import Any

from pycnn.define.conv_int8 import CONV2D_INTEGER, QLINEAR_CONV2D
from pycnn.define.public import operation

Extent = int | Sequence[int]


@operation(CONV2D_INTEGER)
def conv2d_integer(
    x: Any,
    weight: Any,
    x_zero_point: Any = None,
    weight_zero_point: Any = None,
    stride: Extent = 1,
    padding: Any = 0,
    dilation: Extent = 1,
    groups: int = 1,
    algo: str = "auto",
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Convolution of 8-bit integers, exact in 32 bits (ONNX's ConvInteger).

    ``y[n, k, p, q] = sum over c, r, s of (weight[k, c, r, s] - weight_zero_point[k]) *
    (x[n, c, p*stride - top + r*dilation, q*stride - left + s*dilation] - x_zero_point)``, with c
    running over the channels of the group of k. Padding holds the zero point of `x`, and so
    contributes nothing.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W), int8 or uint8
        Any strides, without a copy; N may be 0. With ``layout="NHWC"``: (N, H, W, C) or (H, W, C).
    weight : array (K, C/G, R, S), int8 or uint8, whatever `x` is
        Any strides; the same in both layouts.
    x_zero_point : array () or NumPy scalar, dtype of `x`, optional
        The integer that stands for zero; by default 0.
    weight_zero_point : array () or (K,), dtype of `weight`, optional
        The same of the weight, or of every filter.
    stride, padding, dilation, groups
        As in `conv2d`.
    algo : {"auto", "direct", "implicit_gemm_mma", "wgmma"}, default "auto"
        A kernel: on the reference backend only ``"auto"``. ``"implicit_gemm_mma"``, on tensor
        cores, takes ``layout="NHWC"`` with C/G a multiple of 16; ``"wgmma"``, on sm_90a, the same
        without zero points, and where G is not 1 with C/G a multiple of 128.
    layout : {"NCHW", "NHWC"}, default "NCHW"
        Order of the axes of `x` and the result.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array (N, K, P, Q) or (K, P, Q), int32
        In the order of `layout`.

    Notes
    -----
    Sums are exact modulo 2^32: they may wrap around from 33026 terms C/G R S on, and never before.
    Fastest on tensor cores, which ``"auto"`` takes where they fit. Else where four channels are one
    word: ``layout="NHWC"``, C/G a multiple of 4, and a weight whose channels are innermost in
    memory, such as ``ascontiguousarray(w.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)``, which
    saves tensor cores a copy.

    References
    ----------
    ONNX, operator ConvInteger, version 10.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x = np.arange(2, 11, dtype=np.uint8).reshape(1, 3, 3)
    >>> weight = np.ones((1, 1, 2, 2), np.uint8)
    >>> pycnn.conv2d_integer(x, weight, np.uint8(1))
    array([[[12, 16],
            [24, 28]]], dtype=int32)
    """


@operation(QLINEAR_CONV2D)
def qlinear_conv2d(
    x: Any,
    x_scale: Any,
    x_zero_point: Any,
    weight: Any,
    weight_scale: Any,
    weight_zero_point: Any,
    y_scale: Any,
    y_zero_point: Any,
    bias: Any = None,
    stride: Extent = 1,
    padding: Any = 0,
    dilation: Extent = 1,
    groups: int = 1,
    algo: str = "auto",
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Convolution of quantised arrays, with a quantised result (ONNX's QLinearConv).

    An integer i stands for the number (i - zero point) * scale. With the sums of `conv2d_integer`,
    ``y = saturate(rint((sum + bias[k]) * m[k]) + y_zero_point)`` and ``m[k] = x_scale *
    weight_scale[k] / y_scale``.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W), int8 or uint8
        Any strides, without a copy; N may be 0. With ``layout="NHWC"``: (N, H, W, C) or (H, W, C).
    x_scale : array () or NumPy scalar, float32
    x_zero_point : array () or NumPy scalar, dtype of `x`, or None
        None is 0, which is known before the array is.
    weight : array (K, C/G, R, S), int8 or uint8, whatever `x` is
        Any strides; the same in both layouts.
    weight_scale : array () or (K,), float32
    weight_zero_point : array () or (K,), dtype of `weight`, or None
    y_scale : array () or NumPy scalar, float32
    y_zero_point : array () or NumPy scalar, int8 or uint8
        Its dtype is that of the result.
    bias : array (K,), int32, optional
        In units of x_scale * weight_scale[k].
    stride, padding, dilation, groups
        As in `conv2d`; padding holds the zero point of `x`.
    algo : {"auto", "direct", "implicit_gemm_mma", "wgmma"}, default "auto"
        As in `conv2d_integer`.
    layout : {"NCHW", "NHWC"}, default "NCHW"
        Order of the axes of `x` and the result.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array (N, K, P, Q) or (K, P, Q), dtype of `y_zero_point`
        In the order of `layout`.

    Raises
    ------
    TypeError
        If an argument is no array of one library with one of its dtypes, or a parameter is no int.
    ValueError
        If a rank, shape or parameter is out of range, a scale is not a finite number above 0, a
        filter does not fit in the padded input, `algo` cannot compute this within
        ``PYCNN_WORKSPACE_LIMIT``, or `out` cannot take the result.

    Notes
    -----
    The sum with its bias is one of 32 bits, see `conv2d_integer`. m is computed in float64 from
    left to right, where the product of the scales is exact; the product with the sum is in float64
    too, and rint rounds it half to even. So every backend gives the same bits; a library that
    computes m in float32 differs by one where that product is close to a tie.

    References
    ----------
    B. Jacob et al., "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", 2018, section 2. ONNX, operator QLinearConv, version 10.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x = np.array([[[10, 11], [12, 200]]], np.uint8)
    >>> weight = np.array([[[[2]]]], np.int8)
    >>> half, one = np.float32(0.5), np.float32(1)
    >>> pycnn.qlinear_conv2d(
    ...     x, half, np.uint8(10), weight, half, np.int8(0), one, np.int8(-1)
    ... )
    array([[[-1, -1],
            [ 0, 94]]], dtype=int8)
    """
