"""Pooling: the maximum or the mean over sliding windows, and their gradients.

Windows are visited tap by tap over a padded copy that also covers the overhang of `ceil_mode`.
"""

import numpy as np

from pycnn.reference.oracle._window import Padding, Pair, output_extent, taps


def max_pool2d(
    x: np.ndarray,
    kernel_size: Pair,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    ceil_mode: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Maximum of every window, and where it is.

    Padding counts as minus infinity. As in PyTorch the index is that of the first maximum in
    row-major order, or of the *last* NaN where a window holds one. A window with no element of
    the input at all (dilation can step over it) gives minus infinity and index -1.

    Parameters
    ----------
    x : array (N, C, H, W)
    kernel_size, stride, dilation : (int, int)
    padding : ((top, bottom), (left, right))
    ceil_mode : bool

    Returns
    -------
    (y, indices) : arrays (N, C, P, Q), float64 and int64
        An index is h * W + w.

    Examples
    --------
    >>> x = np.array([[[[1.0, 3.0, 2.0]]]])
    >>> y, i = max_pool2d(x, (1, 2), (1, 1), ((0, 0), (0, 0)), (1, 1), False)
    >>> y.tolist(), i.tolist()
    ([[[[3.0, 3.0]]]], [[[[1, 1]]]])
    """
    h, w = x.shape[2:]
    out = output_extent(x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    reach = _reach(out, kernel_size, stride, dilation)
    values = _pad(x.astype(np.float64), padding, reach, -np.inf)
    positions = _pad(np.arange(h * w).reshape(1, 1, h, w), padding, reach, -1)
    y = np.full((*x.shape[:2], *out), -np.inf)
    indices = np.full(y.shape, -1, np.int64)
    for _, _, met in taps(kernel_size, out, stride, dilation):
        value, position = values[met], np.broadcast_to(positions[met], y.shape)
        better = (position >= 0) & ((value > y) | np.isnan(value) | (indices < 0))
        y[better], indices[better] = value[better], position[better]
    return y, indices


def max_pool2d_backward(
    dy: np.ndarray, indices: np.ndarray, x_shape: tuple[int, ...]
) -> np.ndarray:
    """Gradient of `max_pool2d`: every dy is added where its maximum came from (-1: nowhere).

    Parameters
    ----------
    dy, indices : arrays (N, C, P, Q)
    x_shape : (N, C, H, W)

    Returns
    -------
    array (N, C, H, W), float64
    """
    n, c, h, w = x_shape
    dx = np.zeros((n * c, h * w))
    planes = np.broadcast_to(np.arange(n * c).reshape(n, c, 1, 1), dy.shape)
    used = indices >= 0
    np.add.at(dx, (planes[used], indices[used]), dy[used])
    return dx.reshape(x_shape)


def avg_pool2d(
    x: np.ndarray,
    kernel_size: Pair,
    stride: Pair,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> np.ndarray:
    """Mean of every window.

    The divisor counts the elements of the input, with `count_include_pad` those of the padding
    too, but never what `ceil_mode` lets hang over beyond it; `divisor_override` replaces it.

    Parameters
    ----------
    x : array (N, C, H, W)
    kernel_size, stride : (int, int)
    padding : ((top, bottom), (left, right))
    ceil_mode, count_include_pad : bool
    divisor_override : int or None

    Returns
    -------
    array (N, C, P, Q), float64

    Examples
    --------
    >>> x = np.array([[[[1.0, 3.0, 8.0]]]])
    >>> avg_pool2d(x, (1, 2), (1, 2), ((0, 0), (0, 0)), True, True, None).tolist()
    [[[[2.0, 8.0]]]]
    """
    out = output_extent(x.shape, kernel_size, stride, padding, (1, 1), ceil_mode)
    padded = _pad(x.astype(np.float64), padding, _reach(out, kernel_size, stride, (1, 1)), 0.0)
    total = np.zeros((*x.shape[:2], *out))
    with np.errstate(invalid="ignore"):
        for _, _, met in taps(kernel_size, out, stride, (1, 1)):
            total += padded[met]
    geometry = (x.shape, out, kernel_size, stride, padding)
    return total / _divisor(*geometry, count_include_pad, divisor_override)


def avg_pool2d_backward(
    dy: np.ndarray,
    x_shape: tuple[int, ...],
    kernel_size: Pair,
    stride: Pair,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> np.ndarray:
    """Gradient of `avg_pool2d`: every dy, divided as in forward, goes to its whole window.

    Parameters
    ----------
    dy : array (N, C, P, Q)
    x_shape : (N, C, H, W)
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        As given to `avg_pool2d`.

    Returns
    -------
    array (N, C, H, W), float64
    """
    out = output_extent(x_shape, kernel_size, stride, padding, (1, 1), ceil_mode)
    geometry = (x_shape, out, kernel_size, stride, padding)
    share = dy / _divisor(*geometry, count_include_pad, divisor_override)
    reach = _reach(out, kernel_size, stride, (1, 1))
    d_padded = _pad(np.zeros(x_shape), padding, reach, 0.0)
    for _, _, met in taps(kernel_size, out, stride, (1, 1)):
        d_padded[met] += share
    (top, _), (left, _) = padding
    return d_padded[..., top : top + x_shape[2], left : left + x_shape[3]]


def _reach(out: Pair, kernel: Pair, stride: Pair, dilation: Pair) -> Pair:
    """Padded extent that the windows touch."""
    rows, cols = ((out[i] - 1) * stride[i] + (kernel[i] - 1) * dilation[i] + 1 for i in (0, 1))
    return rows, cols


def _pad(x: np.ndarray, padding: Padding, reach: Pair, fill: float) -> np.ndarray:
    """Pad with `fill` in front as asked, and behind at least as far as the windows reach."""
    widths = [(0, 0), (0, 0)]
    for extent, (low, high), touched in zip(x.shape[2:], padding, reach, strict=True):
        widths.append((low, max(high, touched - low - extent)))
    return np.pad(x, widths, constant_values=fill)


def _divisor(
    x_shape: tuple[int, ...],
    out: Pair,
    kernel: Pair,
    stride: Pair,
    padding: Padding,
    count_include_pad: bool,
    divisor_override: int | None,
) -> np.ndarray:
    """What each window's sum is divided by, (P, Q)."""
    if divisor_override is not None:
        return np.full(out, float(divisor_override))
    counts = []
    for i, (low, high) in enumerate(padding):
        extent = x_shape[2 + i]
        start = np.arange(out[i]) * stride[i] - low
        stop = np.minimum(start + kernel[i], extent + high)
        if not count_include_pad:
            start, stop = np.maximum(start, 0), np.minimum(stop, extent)
        counts.append(np.maximum(stop - start, 0))
    # A window of padding alone sums to zero; one in place of zero keeps it there.
    return np.maximum(np.outer(*counts), 1).astype(np.float64)
