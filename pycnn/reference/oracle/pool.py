"""Pooling: the maximum, the mean or a norm over windows, and their gradients, window by window.

Arrays are (N, C, ...) with any number of spatial axes. The windows are given axis by axis, as
`_window.sliding` and `_window.adaptive` list them: the elements of the input that each covers.
"""

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np

Windows = Sequence[list[range]]
Index = tuple[Any, ...]


def max_pool(x: np.ndarray, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    """Maximum of every window, and where it is.

    As in PyTorch the index is that of the first maximum in row-major order, or of the *last* NaN
    where a window holds one. A window with no element of the input at all (dilation can step over
    it) gives minus infinity and index -1.

    Parameters
    ----------
    x : array (N, C, ...)
    windows : for each spatial axis, the elements that each window covers

    Returns
    -------
    (y, indices) : arrays (N, C, ...), float64 and int64
        An index numbers the elements of a plane of x in row-major order.

    Examples
    --------
    >>> y, i = max_pool(np.array([[[1.0, 3.0, 2.0]]]), [[range(2), range(1, 3)]])
    >>> y.tolist(), i.tolist()
    ([[[3.0, 3.0]]], [[[1, 1]]])
    """
    numbers = np.arange(prod(x.shape[2:])).reshape(x.shape[2:])
    y = np.full(_shape(x.shape, windows), -np.inf)
    indices = np.full(y.shape, -1, np.int64)
    for window, covered in _each(windows):
        values = _flat(x[covered].astype(np.float64))
        if values.shape[-1] == 0:
            continue
        is_nan = np.isnan(values)
        last_nan = values.shape[-1] - 1 - np.argmax(is_nan[..., ::-1], axis=-1)
        chosen = np.where(is_nan.any(axis=-1), last_nan, np.argmax(values, axis=-1))
        y[window] = np.take_along_axis(values, chosen[..., None], axis=-1)[..., 0]
        indices[window] = numbers[covered].ravel()[chosen]
    return y, indices


def max_pool_backward(dy: np.ndarray, indices: np.ndarray, x_shape: tuple[int, ...]) -> np.ndarray:
    """Gradient of `max_pool`: every dy is added where its maximum came from (-1: nowhere).

    Parameters
    ----------
    dy, indices : arrays (N, C, ...)
    x_shape : (N, C, ...)

    Returns
    -------
    array of shape `x_shape`, float64
    """
    dx = np.zeros((*x_shape[:2], prod(x_shape[2:])))
    flat, where = _flat(dy), _flat(indices)
    image, channel, i = np.nonzero(where >= 0)
    np.add.at(dx, (image, channel, where[image, channel, i]), flat[image, channel, i])
    return dx.reshape(x_shape)


def divisors(
    extents: Sequence[int],
    windows: Windows,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    count_include_pad: bool,
) -> np.ndarray:
    """What a mean divides the sum of each sliding window by.

    The elements of the input, with `count_include_pad` those of the padding too, but never what
    ceil mode lets hang over beyond it. A window without any counts 1: its mean is zero.
    """
    counts = []
    for extent, axis, taps, step, (low, high), apart in zip(
        extents, windows, kernel, stride, padding, dilation, strict=True
    ):
        inside = [max(len(window), 1) for window in axis]
        starts = [i * step - low for i in range(len(axis))]
        places = [range(start, start + taps * apart, apart) for start in starts]
        padded = [sum(place < extent + high for place in tap) for tap in places]
        counts.append(padded if count_include_pad else inside)
    return _outer(counts)


def sizes(windows: Windows) -> np.ndarray:
    """Elements of the input under each window."""
    return _outer([[len(window) for window in axis] for axis in windows])


def avg_pool(x: np.ndarray, windows: Windows, divisor: np.ndarray | float) -> np.ndarray:
    """Sum of every window over its divisor.

    Parameters
    ----------
    x : array (N, C, ...)
    windows : for each spatial axis, the elements that each window covers
    divisor : array of an element for each window, or one number for all

    Returns
    -------
    array (N, C, ...), float64

    Examples
    --------
    >>> avg_pool(np.array([[[1.0, 3.0, 8.0]]]), [[range(2), range(2, 3)]], 2.0).tolist()
    [[[2.0, 4.0]]]
    """
    total = np.zeros(_shape(x.shape, windows))
    spatial = tuple(range(2, x.ndim))
    for window, covered in _each(windows):
        total[window] = x[covered].astype(np.float64).sum(axis=spatial)
    return total / divisor


def avg_pool_backward(
    dy: np.ndarray, x_shape: tuple[int, ...], windows: Windows, divisor: np.ndarray | float
) -> np.ndarray:
    """Gradient of `avg_pool`: every dy, divided as in forward, goes to its whole window.

    Returns
    -------
    array of shape `x_shape`, float64
    """
    share = dy.astype(np.float64) / divisor
    dx = np.zeros(x_shape)
    for window, covered in _each(windows):
        dx[covered] += share[window].reshape(*dy.shape[:2], *[1] * len(windows))
    return dx


def lp_pool(
    x: np.ndarray, windows: Windows, norm: float, share: np.ndarray | float = 1.0
) -> np.ndarray:
    """(sum of x ** norm over every window / share) ** (1 / norm).

    `share` is how much of each window lies in the padded input: the sum over one that ceil mode
    lets hang over is scaled up to stand for all its taps. As in PyTorch x enters with its sign.

    Examples
    --------
    >>> lp_pool(np.array([[[3.0, 4.0, 5.0]]]), [[range(2)]], 2.0).tolist()
    [[[5.0]]]
    """
    return avg_pool(x.astype(np.float64) ** norm, windows, share) ** (1 / norm)


def lp_pool_backward(
    dy: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    windows: Windows,
    norm: float,
    share: np.ndarray | float = 1.0,
) -> np.ndarray:
    """Gradient of `lp_pool`, of which y is the result. Where y is zero it is taken as zero.

    Of y = (S/share)^(1/e) with S = sum of x^e, dy/dx = y^(1-e) * x^(e-1) / share.
    """
    x, y = x.astype(np.float64), y.astype(np.float64)
    slope = np.zeros_like(y)
    np.power(y, 1 - norm, out=slope, where=y != 0)
    spread = avg_pool_backward(dy * slope, x.shape, windows, share)
    return spread * x ** (norm - 1)


def max_unpool(x: np.ndarray, indices: np.ndarray, extents: tuple[int, ...]) -> np.ndarray:
    """Every x where its index says in a plane of `extents`, in row-major order; zero elsewhere.

    Of several with one index the last stays; one with index -1 goes nowhere.
    """
    y = np.zeros((*x.shape[:2], *extents))
    for at in np.ndindex(x.shape):
        if indices[at] >= 0:
            y[(*at[:2], *np.unravel_index(indices[at], extents))] = x[at]
    return y


def max_unpool_backward(dy: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Gradient of `max_unpool`: dy where the index of every x says; zero for index -1."""
    dx = np.zeros(indices.shape)
    for at in np.ndindex(indices.shape):
        if indices[at] >= 0:
            dx[at] = dy[(*at[:2], *np.unravel_index(indices[at], dy.shape[2:]))]
    return dx


def _flat(x: np.ndarray) -> np.ndarray:
    """(N, C, ...) as (N, C, elements of a plane)."""
    return x.reshape(*x.shape[:2], prod(x.shape[2:]))


def _shape(x_shape: tuple[int, ...], windows: Windows) -> tuple[int, ...]:
    return (*x_shape[:2], *(len(axis) for axis in windows))


def _outer(counts: Sequence[Sequence[int]]) -> np.ndarray:
    product = np.ones((), np.float64)
    for along in counts:
        product = np.multiply.outer(product, np.asarray(along, np.float64))
    return product


def _each(windows: Windows) -> Iterator[tuple[Index, Index]]:
    """Every window: its place among the windows, and what it covers of x."""
    for place in np.ndindex(*(len(axis) for axis in windows)):
        covered = [axis[i] for axis, i in zip(windows, place, strict=True)]
        yield (..., *place), (..., *(slice(r.start, r.stop, r.step) for r in covered))
