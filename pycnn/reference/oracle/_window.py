"""Sliding windows as strided slices: what convolution and pooling share."""

import math
from collections.abc import Iterator
from types import EllipsisType

from pycnn.shapes import conv_out

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]


def output_extent(
    x_shape: tuple[int, ...],
    kernel: Pair,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    ceil_mode: bool = False,
) -> Pair:
    """(P, Q) of an input (N, C, H, W)."""
    p, q = (
        conv_out(x_shape[2 + i], *padding[i], kernel[i], stride[i], dilation[i], ceil_mode)
        for i in (0, 1)
    )
    return p, q


def taps(
    kernel: Pair, out: Pair, stride: Pair, dilation: Pair
) -> Iterator[tuple[int, int, tuple[EllipsisType, slice, slice]]]:
    """(r, s, index) for every tap of the window in row-major order.

    `index` selects, from the padded input, the element that the tap meets in every window.
    """
    for r in range(kernel[0]):
        for s in range(kernel[1]):
            rows, cols = (
                slice(tap * d, tap * d + (extent - 1) * step + 1, step)
                for tap, extent, step, d in zip((r, s), out, stride, dilation, strict=True)
            )
            yield r, s, (..., rows, cols)


def sliding(
    extent: int, windows: int, kernel: int, stride: int = 1, low: int = 0, dilation: int = 1
) -> list[range]:
    """The elements along an axis that each of `windows` sliding windows covers.

    Examples
    --------
    >>> sliding(4, 3, 3, 2, 1)
    [range(0, 2), range(1, 4), range(3, 4)]
    """
    found = []
    for window in range(windows):
        start = window * stride - low
        taps = [t for t in range(start, start + kernel * dilation, dilation) if 0 <= t < extent]
        found.append(range(taps[0], taps[-1] + 1, dilation) if taps else range(0))
    return found


def adaptive(extent: int, windows: int) -> list[range]:
    """The elements along an axis that each of `windows` adaptive windows covers.

    Examples
    --------
    >>> adaptive(5, 3)
    [range(0, 2), range(1, 4), range(3, 5)]
    """
    return [
        range(math.floor(i * extent / windows), math.ceil((i + 1) * extent / windows))
        for i in range(windows)
    ]
