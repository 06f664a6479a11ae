"""Convolution of 8-bit integers, in 64-bit ones: tap by tap, with the padding written out."""

import numpy as np

Ints = tuple[int, ...]
Padding = tuple[tuple[int, int], ...]


def convolve(
    x: np.ndarray,
    weight: np.ndarray,
    x_zero: np.ndarray | int,
    weight_zero: np.ndarray | int,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
) -> np.ndarray:
    """Sum of (x - x_zero) (weight - weight_zero), x padded with x_zero.

    Parameters
    ----------
    x : array (N, C, H, W), any integers
    weight : array (K, C/G, R, S), any integers
    x_zero : array () or int
    weight_zero : array () or (K,), or int
    stride, dilation : (int, int)
    padding : ((top, bottom), (left, right))
    groups : int

    Returns
    -------
    array (N, K, P, Q), int64

    Examples
    --------
    >>> x, w = np.arange(9).reshape(1, 1, 3, 3), np.ones((1, 1, 2, 2), int)
    >>> convolve(x, w, 4, 0, (1, 1), ((1, 0), (0, 0)), (1, 1), 1)[0, 0].tolist()
    [[-7, -5], [-8, -4], [4, 8]]
    """
    zero = int(x_zero)
    padded = np.pad(x.astype(np.int64), ((0, 0), (0, 0), *padding), constant_values=zero) - zero
    filters = weight.astype(np.int64) - np.asarray(weight_zero, np.int64).reshape(-1, 1, 1, 1)
    k, c, *taps = weight.shape
    axes = zip(padded.shape[2:], taps, stride, dilation, strict=True)
    p, q = (len(range(0, extent - (t - 1) * d, s)) for extent, t, s, d in axes)
    y = np.zeros((x.shape[0], k, p, q), np.int64)
    of_group = k // groups
    for r, s in np.ndindex(*taps):
        top, left = r * dilation[0], s * dilation[1]
        met = padded[:, :, top :: stride[0], left :: stride[1]][:, :, :p, :q]
        for g in range(groups):
            own = slice(g * of_group, (g + 1) * of_group)
            channels = met[:, g * c : (g + 1) * c]
            y[:, own] += np.einsum("kc,ncpq->nkpq", filters[own, :, r, s], channels)
    return y


def wrapped(sums: np.ndarray) -> np.ndarray:
    """Modulo 2^32, from -2^31 on: int64 still.

    Examples
    --------
    >>> wrapped(np.array([2**31, -5])).tolist()
    [-2147483648, -5]
    """
    return (sums + 2**31) % 2**32 - 2**31


def requantise(
    sums: np.ndarray,
    x_scale: np.ndarray,
    weight_scale: np.ndarray,
    y_scale: np.ndarray,
    y_zero: np.ndarray,
    bias: np.ndarray | None,
) -> np.ndarray:
    """What the definition says, in its order: float64 holds the product of the scales exactly.

    Parameters
    ----------
    sums : array (N, K, P, Q), int64
    x_scale, y_scale : array (), float32
    weight_scale : array () or (K,), float32
    y_zero : array (), int8 or uint8
    bias : array (K,), int32, or None

    Returns
    -------
    array (N, K, P, Q), float64: integers in the range of y_zero's dtype
    """
    k = sums.shape[1]
    if bias is not None:
        sums = sums + bias.astype(np.int64).reshape(k, 1, 1)
    multiplier = np.float64(x_scale) * weight_scale.astype(np.float64) / np.float64(y_scale)
    scaled = wrapped(sums).astype(np.float64) * np.broadcast_to(multiplier, k).reshape(k, 1, 1)
    limits = np.iinfo(y_zero.dtype)
    return np.clip(np.rint(scaled) + int(y_zero), limits.min, limits.max)
