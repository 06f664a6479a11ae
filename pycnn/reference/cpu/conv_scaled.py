"""Convolution of 8-bit floats on the CPU: in doubles, in which each product is exact."""

import numpy as np

from pycnn.reference.cpu import conv_axes
from pycnn.reference.cpu._common import quiet

Ints = tuple[int, ...]
Padding = tuple[tuple[int, int], ...]


@quiet
def convolve(
    x: np.ndarray,
    weight: np.ndarray,
    x_scale: np.ndarray,
    weight_scale: np.ndarray,
    bias: np.ndarray | None,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
) -> np.ndarray:
    """Sum of x weight, times both scales, plus bias.

    Parameters
    ----------
    x : array (N, C, H, W), any float
    weight : array (K, C/G, R, S), any float
    x_scale : array (), float32
    weight_scale : array () or (K,), float32
    bias : array (K,), any float, or None
    stride, dilation : (int, int)
    padding : ((top, bottom), (left, right))
    groups : int

    Returns
    -------
    array (N, K, P, Q), float64

    Examples
    --------
    >>> x, weight, scale = np.full((1, 1, 2, 2), 7.0), np.full((1, 1, 2, 2), 3.0), np.float32(0.5)
    >>> convolve(x, weight, scale, scale, None, (1, 1), ((0, 0), (0, 0)), (1, 1), 1).tolist()
    [[[[21.0]]]]
    """
    # Doubles are multiplied and added as they are: no transform, which an infinity would spoil.
    wide = x.astype(np.float64), weight.astype(np.float64)
    y = conv_axes.convolve(*wide, None, stride, padding, dilation, groups)
    y *= np.float64(x_scale)
    y *= weight_scale.astype(np.float64).reshape(-1, 1, 1)
    return y if bias is None else y + bias.astype(np.float64).reshape(-1, 1, 1)
