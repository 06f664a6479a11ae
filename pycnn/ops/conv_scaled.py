"""Two-dimensional convolution of 8-bit floats."""

from typing import Any

from pycnn.define.conv_scaled import SCALED_CONV2D
from pycnn.define.public import operation
from pycnn.ops.conv_int8 import Extent


@operation(SCALED_CONV2D)
def scaled_conv2d(
    x: Any,
    weight: Any,
    x_scale: Any,
    weight_scale: Any,
    bias: Any = None,
    stride: Extent = 1,
    padding: Any = 0,
    dilation: Extent = 1,
    groups: int = 1,
    output_dtype: str = "bfloat16",
    algo: str = "auto",
    *,
    layout: str = "NCHW",
    out: Any = None,
) -> Any:
    """Convolution of 8-bit floats with scales: conv2d(x, weight) * x_scale * weight_scale + bias.

    Parameters
    ----------
    x : array (N, C, H, W) or (C, H, W), float8_e4m3fn or float8_e5m2 of ml_dtypes
        Any strides, without a copy; N may be 0. With ``layout="NHWC"``: (N, H, W, C) or (H, W, C).
    weight : array (K, C/G, R, S), likewise; one of the two is float8_e4m3fn
        Any strides; the same in both layouts.
    x_scale : array () or NumPy scalar, float32
        What an element stands for, divided by its value.
    weight_scale : array () or (K,), float32
        The same of the weight, or of every filter.
    bias : array (K,), optional, dtype of the result
    stride, padding, dilation, groups
        As in `conv2d`; padding holds zeros.
    output_dtype : {"bfloat16", "float16", "float32"}, default "bfloat16"
        Of the result, rounded once.
    algo : {"auto", "direct", "wgmma"}, default "auto"
        ``"wgmma"``, the tensor cores of sm_90a, wants ``layout="NHWC"`` and C/G a multiple of 16,
        or of 128 where G is not 1. ``"direct"`` has a thread an output, and takes anything. The
        backend ``reference`` has one algorithm.
    layout : {"NCHW", "NHWC"}, default "NCHW"
        Order of the axes of `x` and the result.
    out : array, optional
        Takes the result: contiguous, and apart from the operands in memory.

    Returns
    -------
    array (N, K, P, Q) or (K, P, Q), `output_dtype`
        In the order of `layout`.

    Notes
    -----
    Sums are kept in float32, in any order, and multiplied by `x_scale`, then by `weight_scale`.
    What tensor cores of sm_90a leave of long sums, and how numbers become 8-bit floats: see
    `scaled_mm`. Zeros beyond `x` are multiplied: an infinite weight over them gives NaN.

    A weight whose channels are innermost in memory, such as
    ``ascontiguousarray(w.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)``, saves tensor cores a copy.

    References
    ----------
    P. Micikevicius et al.: FP8 Formats for Deep Learning, 2022.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> from ml_dtypes import float8_e4m3fn
    >>> x, weight = np.ones((1, 1, 2, 3), float8_e4m3fn), np.full((1, 1, 2, 2), 2, float8_e4m3fn)
    >>> half, ten = np.float32(0.5), np.float32(10)
    >>> pycnn.scaled_conv2d(x, weight, half, ten, output_dtype="float32")
    array([[[[40., 40.]]]], dtype=float32)
    """
