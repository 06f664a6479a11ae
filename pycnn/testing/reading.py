"""What settings mean, read from the documentation of the public functions alone.

Oracles and PyTorch get a case's own settings. Were they given what `pycnn.define` makes of them, a
mistake there would be theirs too, and no comparison would show it.
"""

from collections.abc import Sequence
from itertools import count
from math import ceil
from typing import Any

import numpy as np

Ints = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


def each(value: Any, axes: int) -> tuple[Any, ...]:
    """A number for all axes, or one for each, as one for each.

    Examples
    --------
    >>> each(2, 3), each((1, 2), 2)
    ((2, 2, 2), (1, 2))
    """
    numbers = tuple(value) if isinstance(value, Sequence) else (value,)
    return numbers * axes if len(numbers) == 1 else numbers


def sides(padding: Any, axes: int) -> Pairs:
    """Padding without words as (before, after) for each axis.

    Examples
    --------
    >>> sides(1, 2), sides((1, 2), 2), sides(((1, 0), (0, 2)), 2)
    (((1, 1), (1, 1)), ((1, 1), (2, 2)), ((1, 0), (0, 2)))
    """
    return tuple((p[0], p[1]) if isinstance(p, Sequence) else (p, p) for p in each(padding, axes))


def around(padding: Any, extents: Ints, kernel: Ints, stride: Ints, dilation: Ints) -> Pairs:
    """Padding of a convolution, the words among it, as (before, after) for each axis.

    Examples
    --------
    >>> around("same_upper", (8,), (3,), (2,), (1,)), around("same_lower", (8,), (3,), (2,), (1,))
    (((0, 1),), ((1, 0),))
    """
    if padding == "valid":
        return ((0, 0),) * len(extents)
    if not isinstance(padding, str):
        return sides(padding, len(extents))
    pairs = []
    for extent, taps, step, apart in zip(extents, kernel, stride, dilation, strict=True):
        windows = ceil(extent / step)
        total = next(t for t in count() if positions(extent, taps, step, (t, 0), apart) >= windows)
        pair = total // 2, total - total // 2
        pairs.append(pair[::-1] if padding == "same_lower" else pair)
    return tuple(pairs)


def positions(
    extent: int,
    kernel: int,
    stride: int,
    padding: tuple[int, int],
    dilation: int,
    ceil_mode: bool = False,
) -> int:
    """Windows along an axis, counted one by one.

    With `ceil_mode` the last one may hang over the end, if it starts before the end of the input.

    Examples
    --------
    >>> positions(6, 3, 2, (0, 0), 1), positions(6, 3, 2, (0, 0), 1, ceil_mode=True)
    (2, 3)
    """
    (before, after), reach = padding, dilation * (kernel - 1)
    start, windows = -before, 0
    while start + reach < extent + after:
        start, windows = start + stride, windows + 1
    reached = start - stride + reach if windows else -before - 1  # by the last window
    return windows + (ceil_mode and reached < extent + after - 1 and start < extent)


def channels_first(array: Any, spatial: int, layout: str) -> Any:
    """(N, C, spatial axes) of an array in either layout, with images or without.

    Examples
    --------
    >>> channels_first(np.zeros((5, 4, 3)), 2, "NHWC").shape
    (1, 3, 5, 4)
    """
    whole = array if array.ndim == spatial + 2 else array[None]
    return np.moveaxis(whole, -1, 1) if layout == "NHWC" else whole


def from_channels_first(array: Any, rank: int, layout: str) -> Any:
    """The reverse of `channels_first`, to an array with `rank` axes."""
    arranged = np.moveaxis(array, 1, -1) if layout == "NHWC" else array
    return arranged if arranged.ndim == rank else arranged[0]


def channel_axis(layout: str) -> int:
    """Where the channels of images are."""
    return -1 if layout == "NHWC" else 1


def from_the_front(axis: Any, rank: int) -> Ints:
    """An axis, several or None for all, numbered from the front.

    Examples
    --------
    >>> from_the_front(-1, 3), from_the_front((0, -2), 3), from_the_front(None, 2)
    ((2,), (0, 1), (0, 1))
    """
    if axis is None:
        return tuple(range(rank))
    return tuple(range(rank)[a] for a in each(axis, 1))
