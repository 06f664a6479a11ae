"""Pooling on the CPU: a pass for each tap, along the columns and then along the rows.

Taps in the padding are left out, so that nothing is padded, and a few planes at a time stay in
the cache. Where a maximum is takes a pass for each of the R * S taps.
"""

from collections.abc import Iterator

import numpy as np

from pycnn.reference.cpu._axis import Axis, axes
from pycnn.reference.cpu._common import Padding, Pair, quiet

#: Input elements of a block of planes: an inner cache holds several such arrays.
BLOCK_ELEMENTS = 2**16


@quiet
def max_pool2d(
    x: np.ndarray,
    kernel_size: Pair,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    ceil_mode: bool,
    *,
    with_indices: bool = True,
    out: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Maximum of every window, and where it is, as the oracle defines them.

    Parameters
    ----------
    x : array (N, C, H, W)
    kernel_size, stride, dilation : (int, int)
    padding : ((top, bottom), (left, right))
    ceil_mode : bool
    with_indices : bool, default True
        Whether the indices are wanted: finding them takes most of the time.
    out : array (N, C, P, Q), default None
        Where to put the maxima.

    Returns
    -------
    (y, indices) : arrays (N, C, P, Q), dtype of x and int64 (or None)

    Examples
    --------
    >>> x = np.array([[[[1.0, 3.0, 2.0]]]], np.float32)
    >>> y, i = max_pool2d(x, (1, 2), (1, 1), ((0, 0), (0, 0)), (1, 1), False)
    >>> y.tolist(), i.tolist()
    ([[[[3.0, 3.0]]]], [[[[1, 1]]]])
    """
    rows, columns = axes(x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    y = np.empty((*x.shape[:2], rows.out, columns.out), x.dtype) if out is None else out
    indices = np.empty(y.shape, np.int64) if with_indices else None
    for block in _blocks(x.shape):
        _reduce(np.maximum, -np.inf, x[block], y[block], rows, columns)
        if indices is not None:
            indices[block] = _locate(x[block], y[block], rows, columns)
    return y, indices


def max_pool2d_backward(
    dy: np.ndarray, indices: np.ndarray, x_shape: tuple[int, ...]
) -> np.ndarray:
    """Gradient of `max_pool2d`: every dy is added, in float64, where its maximum came from.

    Parameters
    ----------
    dy, indices : arrays (N, C, P, Q)
    x_shape : (N, C, H, W)

    Returns
    -------
    array (N, C, H, W), dtype of dy
    """
    extent = x_shape[2] * x_shape[3]
    dx = np.empty(x_shape, dy.dtype)
    for block in _blocks(x_shape):
        part, above, index = dx[block], dy[block], indices[block]
        count = part.shape[0] * part.shape[1]
        places = index + extent * np.arange(count).reshape(*part.shape[:2], 1, 1)
        used = index >= 0
        sums = np.bincount(places[used], above[used], minlength=count * extent)
        part[...] = sums.reshape(part.shape)
    return dx


@quiet
def avg_pool2d(
    x: np.ndarray,
    kernel_size: Pair,
    stride: Pair,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Mean of every window, as the oracle defines it.

    Parameters
    ----------
    x : array (N, C, H, W)
    kernel_size, stride : (int, int)
    padding : ((top, bottom), (left, right))
    ceil_mode, count_include_pad : bool
    divisor_override : int or None
    out : array (N, C, P, Q), default None
        Where to put the result.

    Returns
    -------
    array (N, C, P, Q), dtype of x

    Examples
    --------
    >>> x = np.array([[[[1.0, 3.0, 8.0]]]], np.float32)
    >>> avg_pool2d(x, (1, 2), (1, 2), ((0, 0), (0, 0)), True, True, None).tolist()
    [[[[2.0, 8.0]]]]
    """
    rows, columns = axes(x.shape, kernel_size, stride, padding, (1, 1), ceil_mode)
    divisor = _divisor(rows, columns, count_include_pad, divisor_override).astype(x.dtype)
    y = np.empty((*x.shape[:2], rows.out, columns.out), x.dtype) if out is None else out
    for block in _blocks(x.shape):
        part = y[block]
        _reduce(np.add, 0, x[block], part, rows, columns)
        part /= divisor
    return y


@quiet
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
    """Gradient of `avg_pool2d`: the passes of forward, turned round.

    Parameters
    ----------
    dy : array (N, C, P, Q)
    x_shape : (N, C, H, W)
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        As given to `avg_pool2d`.

    Returns
    -------
    array (N, C, H, W), dtype of dy
    """
    rows, columns = axes(x_shape, kernel_size, stride, padding, (1, 1), ceil_mode)
    divisor = _divisor(rows, columns, count_include_pad, divisor_override).astype(dy.dtype)
    dx = np.zeros(x_shape, dy.dtype)
    for block in _blocks(x_shape):
        share, part = dy[block] / divisor, dx[block]
        across = np.zeros((*part.shape[:3], columns.out), dy.dtype)
        for tap in rows.taps():
            across[..., tap.inputs, :] += share[..., tap.windows, :]
        for tap in columns.taps():
            part[..., tap.inputs] += across[..., tap.windows]
    return dx


def _blocks(x_shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    """Slices of images and of channels, cut so that a block of planes fits the inner cache."""
    n, c, h, w = x_shape
    plane = max(1, h * w)  # no division by zero where there are no channels or elements
    channels = max(1, min(c, BLOCK_ELEMENTS // plane))
    images = max(1, BLOCK_ELEMENTS // (max(1, c) * plane))
    for first in range(0, n, images):
        for start in range(0, c, channels):
            yield slice(first, min(first + images, n)), slice(start, min(start + channels, c))


def _reduce(
    ufunc: np.ufunc, start: float, x: np.ndarray, y: np.ndarray, rows: Axis, columns: Axis
) -> None:
    """y = ufunc over the taps of every window, beginning with `start`."""
    across = np.full((*x.shape[:3], columns.out), start, x.dtype)
    for tap in columns.taps():
        windows = across[..., tap.windows]
        ufunc(windows, x[..., tap.inputs], out=windows)
    y[...] = start
    for tap in rows.taps():
        windows = y[..., tap.windows, :]
        ufunc(windows, across[..., tap.inputs, :], out=windows)


def _locate(x: np.ndarray, y: np.ndarray, rows: Axis, columns: Axis) -> np.ndarray:
    """Flat index in (H, W) of the first tap that equals the maximum, or of the last NaN."""
    taps = rows.kernel * columns.kernel
    # The tap found, counted from the last one, so that the first to equal is the greatest.
    rank = np.zeros(y.shape, np.min_scalar_type(taps))
    any_nan = np.isnan(y).any()
    for r in rows.taps():
        for s in columns.taps():
            here = rank.dtype.type(taps - (r.number * columns.kernel + s.number))
            values, found = x[..., r.inputs, s.inputs], rank[..., r.windows, s.windows]
            np.maximum(found, (values == y[..., r.windows, s.windows]) * here, out=found)
            if any_nan:
                np.copyto(found, here, where=np.isnan(values))
    width = columns.extent
    steps = np.add.outer(
        np.arange(rows.kernel) * rows.dilation * width,
        np.arange(columns.kernel) * columns.dilation,
    )
    of_rank = np.append(steps.ravel(), 0)[::-1]
    index = of_rank[rank]
    index += np.add.outer(rows.starts() * width, columns.starts())
    if not rank.all():
        index[rank == 0] = -1  # no tap inside the input
    return index


def _divisor(
    rows: Axis, columns: Axis, count_include_pad: bool, divisor_override: int | None
) -> np.ndarray:
    """What the sum of each window is divided by, (P, Q)."""
    if divisor_override is not None:
        return np.full((rows.out, columns.out), divisor_override)
    counts = []
    for axis in (rows, columns):
        low, high = (0, axis.extent)
        if count_include_pad:
            low, high = -axis.low, axis.extent + axis.high
        start = axis.starts()
        inside = np.minimum(start + axis.kernel, high) - np.maximum(start, low)
        counts.append(np.maximum(inside, 1))
    return np.outer(*counts)
