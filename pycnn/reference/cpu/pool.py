"""Pooling on the CPU: axis by axis, a pass for each tap.

Taps in the padding are left out, so that nothing is padded, and a few planes at a time stay in
the cache. Arrays are (N, C, ...) with any number of spatial axes, in any order in memory.
"""

from collections.abc import Iterator, Sequence
from functools import reduce
from math import prod

import numpy as np

from pycnn.reference.cpu._axis import Adaptive, Axis
from pycnn.reference.cpu._common import quiet

#: Input elements of a block of planes: an inner cache holds several such arrays.
BLOCK_ELEMENTS = 2**16

Axes = Sequence[Axis]


@quiet
def max_pool(
    x: np.ndarray, axes: Axes, *, with_indices: bool = True, out: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Maximum of every window, and where it is, as the oracle defines them.

    Parameters
    ----------
    x : array (N, C, ...)
    axes : sequence of Axis
        The windows along each spatial axis.
    with_indices : bool, default True
        Whether the indices are wanted: finding them takes most of the time.
    out : array (N, C, ...), default None
        Where to put the maxima.

    Returns
    -------
    (y, indices) : arrays (N, C, ...), dtype of x and int64 (or None)

    Examples
    --------
    >>> from pycnn.reference.cpu._axis import Sliding
    >>> y, i = max_pool(np.array([[[1.0, 3.0, 2.0]]], np.float32), [Sliding(3, 2, 2)])
    >>> y.tolist(), i.tolist()
    ([[[3.0, 3.0]]], [[[1, 1]]])
    """
    y = _like(x, axes) if out is None else out
    indices = _like(x, axes, np.int64) if with_indices else None
    for block in _blocks(x.shape):
        if indices is None:
            _fold(np.maximum, -np.inf, x[block], y[block], axes)
        else:
            y[block], indices[block] = _locate(x[block], axes)
    return y, indices


def max_pool_backward(dy: np.ndarray, indices: np.ndarray, x_shape: tuple[int, ...]) -> np.ndarray:
    """Gradient of `max_pool`: every dy is added, in float64, where its maximum came from.

    Parameters
    ----------
    dy, indices : arrays (N, C, ...)
    x_shape : tuple of int
        (N, C, ...).

    Returns
    -------
    array of shape `x_shape`, dtype of dy
    """
    extent = prod(x_shape[2:])
    dx = np.empty(x_shape, dy.dtype)
    for block in _blocks(x_shape):
        part, above, index = dx[block], dy[block], indices[block]
        planes = np.arange(prod(part.shape[:2])).reshape(part.shape[:2])
        places = index + extent * planes[(...,) + (None,) * (dy.ndim - 2)]
        used = index >= 0
        sums = np.bincount(places[used], above[used], minlength=planes.size * extent)
        part[...] = sums.reshape(part.shape)
    return dx


@quiet
def avg_pool(
    x: np.ndarray, axes: Axes, divisor: np.ndarray, *, out: np.ndarray | None = None
) -> np.ndarray:
    """Sum of every window over its divisor.

    Parameters
    ----------
    x : array (N, C, ...)
    axes : sequence of Axis
        The windows along each spatial axis.
    divisor : array with an element for every window of a plane
        See `divisors`.
    out : array (N, C, ...), default None
        Where to put the result.

    Returns
    -------
    array (N, C, ...), dtype of x

    Examples
    --------
    >>> from pycnn.reference.cpu._axis import Sliding
    >>> axes = [Sliding(3, 2, 2, 2)]
    >>> avg_pool(np.array([[[1.0, 3.0, 8.0]]]), axes, divisors(axes, True)).tolist()
    [[[2.0, 8.0]]]
    """
    y = _like(x, axes) if out is None else out
    divisor = divisor.astype(x.dtype)
    for block in _blocks(x.shape):
        part = y[block]
        _fold(np.add, 0, x[block], part, axes)
        part /= divisor
    return y


@quiet
def avg_pool_backward(
    dy: np.ndarray, x_shape: tuple[int, ...], axes: Axes, divisor: np.ndarray
) -> np.ndarray:
    """Gradient of `avg_pool`: the passes of forward, turned round.

    Parameters
    ----------
    dy : array (N, C, ...)
    x_shape : tuple of int
        (N, C, ...).
    axes, divisor
        As given to `avg_pool`.

    Returns
    -------
    array of shape `x_shape`, dtype of dy
    """
    dx = np.empty(x_shape, dy.dtype)
    divisor = divisor.astype(dy.dtype)
    for block in _blocks(x_shape):
        dx[block] = _spread(dy[block] / divisor, axes)
    return dx


@quiet
def lp_pool(
    x: np.ndarray,
    axes: Axes,
    norm: float,
    scale: np.ndarray,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Root of the sum of powers of every window, times its scale.

    Parameters
    ----------
    x : array (N, C, ...)
    axes : sequence of Axis
        The windows along each spatial axis.
    norm : float
    scale : array with an element for every window of a plane
        Taps of the whole window over those that it has.
    out : array (N, C, ...), default None
        Where to put the result.

    Returns
    -------
    array (N, C, ...), dtype of x
    """
    y = _like(x, axes) if out is None else out
    scale = scale.astype(x.dtype)
    for block in _blocks(x.shape):
        part = y[block]
        _fold(np.add, 0, _power(x[block], norm), part, axes)
        part[...] = _power(part * scale, 1 / norm)
    return y


@quiet
def lp_pool_backward(
    dy: np.ndarray, x: np.ndarray, y: np.ndarray, axes: Axes, norm: float, scale: np.ndarray
) -> np.ndarray:
    """Gradient of `lp_pool`, of which y is the result; none flows through a y of zero."""
    dx = np.empty(x.shape, dy.dtype)
    scale = scale.astype(dy.dtype)
    for block in _blocks(x.shape):
        slope = np.where(y[block] == 0, dy.dtype.type(0), _power(y[block], 1 - norm))
        dx[block] = _spread(dy[block] * slope * scale, axes) * _power(x[block], norm - 1)
    return dx


def max_unpool(
    x: np.ndarray, indices: np.ndarray, extents: tuple[int, ...], out: np.ndarray | None = None
) -> np.ndarray:
    """x where its indices say in planes of `extents`, zero elsewhere; the last of several."""
    y = np.zeros((*x.shape[:2], prod(extents)), x.dtype)
    flat, where = _flat(x), _flat(indices)
    image, channel, i = np.nonzero(where >= 0)  # in row-major order: the last one stays
    y[image, channel, where[image, channel, i]] = flat[image, channel, i]
    y = y.reshape(*x.shape[:2], *extents)
    if out is None:
        return y
    out[...] = y
    return out


def max_unpool_backward(dy: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """dy where the indices say; zero for an index of -1."""
    flat, where = _flat(dy), _flat(indices)
    taken = np.take_along_axis(flat, np.maximum(where, 0), axis=2)
    return np.where(where < 0, dy.dtype.type(0), taken).reshape(indices.shape)


def divisors(axes: Axes, include_pad: bool) -> np.ndarray:
    """What the sum of each window of a plane is divided by for a mean."""
    return reduce(np.multiply.outer, [axis.counts(include_pad) for axis in axes])


def _flat(x: np.ndarray) -> np.ndarray:
    """(N, C, ...) as (N, C, elements of a plane)."""
    return x.reshape(*x.shape[:2], prod(x.shape[2:]))


def _like(x: np.ndarray, axes: Axes, dtype: np.dtype | type | None = None) -> np.ndarray:
    """Uninitialised, an element for every window, in memory in the order of x."""
    return np.empty_like(x, dtype, shape=(*x.shape[:2], *(axis.out for axis in axes)))


def _blocks(x_shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    """Slices of images and of channels, cut so that a block of planes fits the inner cache."""
    n, c = x_shape[:2]
    plane = max(1, prod(x_shape[2:]))  # no division by zero where there are no channels
    channels = max(1, min(c, BLOCK_ELEMENTS // plane))
    images = max(1, BLOCK_ELEMENTS // (max(1, c) * plane))
    for first in range(0, n, images):
        for start in range(0, c, channels):
            yield slice(first, min(first + images, n)), slice(start, min(start + channels, c))


def _at(dim: int, where: slice) -> tuple[slice, ...]:
    return (slice(None),) * dim + (where,)


def _power(x: np.ndarray, exponent: float) -> np.ndarray:
    """In the dtype of x; a NaN stays one whatever the exponent but 0."""
    return np.power(x, x.dtype.type(exponent))


def _fold(ufunc: np.ufunc, start: float, x: np.ndarray, y: np.ndarray, axes: Axes) -> None:
    """y = ufunc over the taps of every window, beginning with `start`."""
    for dim in range(x.ndim - 1, 1, -1):
        axis = axes[dim - 2]
        shape = (*x.shape[:dim], axis.out, *x.shape[dim + 1 :])
        folded = y if dim == 2 else np.empty_like(x, shape=shape)
        if isinstance(axis, Adaptive):
            for i, span in enumerate(axis.spans()):
                to = folded[_at(dim, slice(i, i + 1))]
                ufunc.reduce(x[_at(dim, span)], axis=dim, keepdims=True, out=to)
        else:
            folded[...] = start
            for tap in axis.taps():
                windows = folded[_at(dim, tap.windows)]
                ufunc(windows, x[_at(dim, tap.inputs)], out=windows)
        x = folded


def _locate(x: np.ndarray, axes: Axes) -> tuple[np.ndarray, np.ndarray]:
    """Maximum of every window, and the number of its first element that is it, or the last NaN.

    Axis by axis: the first maximum of the first line that has it is the first of the window, and
    the last NaN of the last line that has one the last.
    """
    extents = x.shape[2:]
    place: np.ndarray | None = None
    for dim in range(x.ndim - 1, 1, -1):
        axis, step = axes[dim - 2], prod(extents[dim - 1 :])
        shape = (*x.shape[:dim], axis.out, *x.shape[dim + 1 :])
        best = np.full_like(x, -np.inf, shape=shape)
        at = np.full_like(x, -1, np.int64, shape=shape)
        here = step * np.arange(x.shape[dim]).reshape((-1,) + (1,) * (x.ndim - 1 - dim))
        candidate = np.broadcast_to(here, x.shape) if place is None else place + here
        if place is not None and place.min(initial=0) < 0:  # lines without a tap in the input
            candidate = np.where(place < 0, -1, candidate)
        for tap in axis.taps():
            windows, inputs = _at(dim, tap.windows), _at(dim, tap.inputs)
            value, where = x[inputs], candidate[inputs]
            better = (value > best[windows]) | np.isnan(value)
            better |= at[windows] < 0
            np.copyto(best[windows], value, where=better)
            np.copyto(at[windows], where, where=better)
        x, place = best, at
    assert place is not None
    return x, place


def _spread(share: np.ndarray, axes: Axes) -> np.ndarray:
    """Every element of `share` added to all elements under its window."""
    for dim, axis in enumerate(axes, 2):
        shape = (*share.shape[:dim], axis.extent, *share.shape[dim + 1 :])
        spread = np.zeros_like(share, shape=shape)
        if isinstance(axis, Adaptive):
            for i, span in enumerate(axis.spans()):
                spread[_at(dim, span)] += share[_at(dim, slice(i, i + 1))]
        else:
            for tap in axis.taps():
                spread[_at(dim, tap.inputs)] += share[_at(dim, tap.windows)]
        share = spread
    return share
