"""Pooling on the CPU: axis by axis, a pass for each tap.

Taps in the padding are left out, so that nothing is padded, and a few planes at a time stay in
the cache. Arrays are (N, C, ...) with any number of spatial axes, in any order in memory.
"""

from collections.abc import Iterator, Sequence
from functools import reduce
from math import prod

import numpy as np

from pycnn.reference.cpu import _loops
from pycnn.reference.cpu._axis import Axis
from pycnn.reference.cpu._common import quiet
from pycnn.reference.cpu._maxima import locate
from pycnn.reference.cpu._threads import each, thread_count
from pycnn.reference.cpu._windows import fold, spread

#: Input elements of a block of planes: the last cache holds several such arrays, and where there
#: are less for each thread, an inner one.
BLOCK_ELEMENTS, LEAST_ELEMENTS = 2**19, 2**17

Axes = Sequence[Axis]
Block = tuple[slice, slice]


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

    def part(block: Block) -> None:
        if indices is None:
            fold(np.maximum, -np.inf, x[block], y[block], axes)
        else:
            y[block], indices[block] = locate(x[block], axes)

    each(part, _blocks(x.shape))
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
    if _loops.fast() and dx.size and dy.dtype in (np.float32, np.float64):
        dy, indices = np.ascontiguousarray(dy), np.ascontiguousarray(indices, np.int64)

        def planes(share: tuple[int, int]) -> None:
            _loops.compiled.max_pool_backward(dy, indices, dx, *share)

        each(planes, _loops.shares(x_shape[0] * x_shape[1], thread_count()))
        return dx

    def place(block: Block) -> None:
        part, above, index = dx[block], dy[block], indices[block]
        planes = np.arange(prod(part.shape[:2])).reshape(part.shape[:2])
        places = index + extent * planes[(...,) + (None,) * (dy.ndim - 2)]
        used = index >= 0
        sums = np.bincount(places[used], above[used], minlength=planes.size * extent)
        part[...] = sums.reshape(part.shape)

    each(place, _blocks(x_shape))
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
        fold(np.add, 0, x[block], part, axes)
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
        dx[block] = spread(dy[block] / divisor, axes)
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
        fold(np.add, 0, _power(x[block], norm), part, axes)
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
        dx[block] = spread(dy[block] * slope * scale, axes) * _power(x[block], norm - 1)
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
    """Slices of images and of channels, cut so that a block of planes fits the cache."""
    n, c = x_shape[:2]
    room = min(max(LEAST_ELEMENTS, prod(x_shape) // thread_count()), BLOCK_ELEMENTS)
    plane = max(1, prod(x_shape[2:]))  # no division by zero where there are no channels
    channels = max(1, min(c, room // plane))
    images = max(1, room // (max(1, c) * plane))
    for first in range(0, n, images):
        for start in range(0, c, channels):
            yield slice(first, min(first + images, n)), slice(start, min(start + channels, c))


def _power(x: np.ndarray, exponent: float) -> np.ndarray:
    """In the dtype of x; a NaN stays one whatever the exponent but 0."""
    return np.power(x, x.dtype.type(exponent))
