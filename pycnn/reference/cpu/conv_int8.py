"""Convolution of 8-bit integers on the CPU: a matrix product of doubles, which hold them exactly.

A product of two differences has 17 bits, so a sum of less than 2^36 of them is exact in a double,
in any order.
"""

import numpy as np

from pycnn.reference.cpu import conv_axes

Ints = tuple[int, ...]
Padding = tuple[tuple[int, int], ...]


def convolve(
    x: np.ndarray,
    weight: np.ndarray,
    x_zero: np.ndarray | None,
    weight_zero: np.ndarray | None,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
) -> np.ndarray:
    """Sum of (x - x_zero) (weight - weight_zero), modulo 2^32.

    Parameters
    ----------
    x : array (N, C, H, W), int8 or uint8
    weight : array (K, C/G, R, S), int8 or uint8
    x_zero : array () or None
    weight_zero : array () or (K,), or None
    stride, dilation : (int, int)
    padding : ((top, bottom), (left, right))
    groups : int

    Returns
    -------
    array (N, K, P, Q), int32

    Examples
    --------
    >>> x, w = np.full((1, 1, 2, 2), 7, np.uint8), np.full((1, 1, 2, 2), -3, np.int8)
    >>> none = (0, 0), (0, 0)
    >>> convolve(x, w, np.uint8(5), None, (1, 1), none, (1, 1), 1).tolist()
    [[[[-24]]]]
    """
    # Beyond the edges x holds its zero point: zero, once that is subtracted. In doubles the sums
    # are products added up, as the exactness above supposes: none of the transforms is for them.
    shifted, filters = _from_zero(x, x_zero), _from_zero(weight, weight_zero)
    if not filters.shape[1]:  # of no terms: as of one that is zero
        shifted, filters = (np.zeros((len(a), 1, *a.shape[2:])) for a in (shifted, filters))
    sums = conv_axes.convolve(shifted, filters, None, stride, padding, dilation, groups)
    return sums.astype(np.int64).astype(np.int32)


def requantise(
    sums: np.ndarray,
    x_scale: np.ndarray,
    weight_scale: np.ndarray,
    y_scale: np.ndarray,
    y_zero: np.ndarray,
    bias: np.ndarray | None,
) -> np.ndarray:
    """saturate(rint((sums + bias) m) + y_zero), m = x_scale weight_scale / y_scale in double.

    Parameters
    ----------
    sums : array (N, K, P, Q), int32
    x_scale, y_scale : array (), float32
    weight_scale : array () or (K,), float32
    y_zero : array (), int8 or uint8
    bias : array (K,), int32, or None

    Returns
    -------
    array (N, K, P, Q), dtype of y_zero

    Examples
    --------
    >>> sums, one = np.array([1, 3, 5, 1000]).reshape(1, 1, 1, 4), np.float32(1)
    >>> requantise(sums, one, np.float32(0.5), one, np.int8(-2), None).tolist()
    [[[[-2, 0, 0, 127]]]]
    """
    if bias is not None:
        sums = sums + _by_filter(bias)  # int32: wraps around
    scales = [np.asarray(s, np.float64) for s in (x_scale, weight_scale, y_scale)]
    multiplier = scales[0] * scales[1] / scales[2]
    values = np.multiply(sums, _by_filter(multiplier), dtype=np.float64)
    np.rint(values, out=values)
    values += np.float64(y_zero)
    limits = np.iinfo(y_zero.dtype)
    return np.clip(values, limits.min, limits.max, out=values).astype(y_zero.dtype)


def _from_zero(array: np.ndarray, zero: np.ndarray | None) -> np.ndarray:
    """The distance from the zero point, of which there may be one for every entry of axis 0."""
    wide = array.astype(np.float64)
    if zero is not None:
        wide -= zero if zero.ndim == 0 else zero.reshape(-1, 1, 1, 1)
    return wide


def _by_filter(values: np.ndarray) -> np.ndarray:
    """() or (K,), to be broadcast over (N, K, P, Q)."""
    return values if values.ndim == 0 else values[:, None, None]
