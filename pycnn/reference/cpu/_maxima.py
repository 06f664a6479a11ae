"""Where the maximum of every window is.

Windows of a few taps: the maxima are folded first, as without indices, and then the taps asked in
turn, the first last, which of them equals its window's. Windows of many taps, adaptive ones, and
those that hold a NaN: axis by axis, places carried along with the maxima.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod

import numpy as np

from pycnn.reference.cpu._axis import Axis, Sliding, Tap
from pycnn.reference.cpu._windows import at as part, fold

#: Taps of a window that are asked one by one; their numbers fit in a byte.
FEW_TAPS = 25


def locate(x: np.ndarray, axes: Sequence[Axis]) -> tuple[np.ndarray, np.ndarray]:
    """Maximum of every window, and the number of its first element that is it, or the last NaN.

    Parameters
    ----------
    x : array (N, C, ...)
    axes : sequence of Axis

    Returns
    -------
    (y, indices) : arrays (N, C, ...), dtype of x and int64; (-inf, -1) for a window with no tap
    """
    sliding = [axis for axis in axes if isinstance(axis, Sliding)]
    if len(sliding) == len(axes) and prod(axis.kernel for axis in sliding) <= FEW_TAPS:
        y = np.empty((*x.shape[:2], *(axis.out for axis in axes)), x.dtype)
        fold(np.maximum, -np.inf, x, y, axes)
        if not np.isnan(y).any():
            return y, _tap_by_tap(x, y, sliding)
    return _line_by_line(x, axes)


def _tap_by_tap(x: np.ndarray, y: np.ndarray, axes: Sequence[Sliding]) -> np.ndarray:
    """The number of the first element that equals its window's maximum y."""
    first = np.full(y.shape, -1, np.int8)
    for number, taps in reversed(list(_window_taps(axes))):
        windows = (..., *(tap.windows for tap in taps))
        met = x[(..., *(tap.inputs for tap in taps))]
        # Side by side first, as rows are short; and by bits, as a branch would be mispredicted.
        equal = -(np.ascontiguousarray(met) == y[windows]).view(np.int8)
        first[windows] = (first[windows] & ~equal) | (number & equal)
    indices = _offsets(x.shape[2:], axes)[first]
    indices += _corners(x.shape[2:], axes)
    if first.size and first.min() < 0:
        indices[first < 0] = -1
    return indices


def _window_taps(axes: Sequence[Sliding]) -> Iterator[tuple[int, list[Tap]]]:
    """Every tap of a window: its number in row-major order, and the taps along the axes."""
    for chosen in product(*(axis.numbered_taps for axis in axes)):
        number = 0
        for (along, _), axis in zip(chosen, axes, strict=True):
            number = number * axis.kernel + along
        yield number, [tap for _, tap in chosen]


def _offsets(extents: tuple[int, ...], axes: Sequence[Sliding]) -> np.ndarray:
    """How far from the corner of its window every tap is, in elements of a plane."""
    return _numbers(extents, [axis.dilation * np.arange(axis.kernel) for axis in axes]).ravel()


def _corners(extents: tuple[int, ...], axes: Sequence[Sliding]) -> np.ndarray:
    """Where every window begins; negative in the padding."""
    return _numbers(extents, [axis.stride * np.arange(axis.out) - axis.low for axis in axes])


def _numbers(extents: tuple[int, ...], places: Sequence[np.ndarray]) -> np.ndarray:
    """Numbers in a plane of `extents` of the elements at all combinations of `places`."""
    total = np.zeros((), np.int64)
    for i, along in enumerate(places):
        total = total[..., None] + prod(extents[i + 1 :]) * along
    return total


def _line_by_line(x: np.ndarray, axes: Sequence[Axis]) -> tuple[np.ndarray, np.ndarray]:
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
            windows, inputs = part(dim, tap.windows), part(dim, tap.inputs)
            value, where = x[inputs], candidate[inputs]
            better = (value > best[windows]) | np.isnan(value)
            better |= at[windows] < 0
            np.copyto(best[windows], value, where=better)
            np.copyto(at[windows], where, where=better)
        x, place = best, at
    assert place is not None
    return x, place
