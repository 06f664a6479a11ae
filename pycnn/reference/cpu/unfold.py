"""Sliding windows as columns on the CPU, one window element at a time."""

from collections.abc import Iterator

import numpy as np

from pycnn.plan.unfold import Window
from pycnn.reference.cpu._common import quiet

Slices = tuple[slice, slice]


def unfold(x: np.ndarray, window: Window, *, out: np.ndarray | None = None) -> np.ndarray:
    """Columns (N, C R S, P Q) of x (N, C, H, W)."""
    n, c, h, w = x.shape
    p, q = window.positions((h, w))
    r, s = window.kernel
    columns = np.empty((n, c * r * s, p * q), x.dtype) if out is None else out
    y = columns.reshape(n, c, r * s, p, q)
    for tap, (seen, met) in enumerate(_taps(window, (h, w))):
        y[:, :, tap] = 0
        y[:, :, tap, seen[0], seen[1]] = x[:, :, met[0], met[1]]
    return columns


@quiet
def fold(
    x: np.ndarray, extents: tuple[int, ...], window: Window, *, out: np.ndarray | None = None
) -> np.ndarray:
    """(N, C, H, W) from columns (N, C R S, P Q), summed where windows overlap."""
    n, c, h, w = extents
    y = np.empty(extents, x.dtype) if out is None else out
    y[...] = 0
    columns = x.reshape(n, c, window.kernel[0] * window.kernel[1], *window.positions((h, w)))
    for tap, (seen, met) in enumerate(_taps(window, (h, w))):
        y[:, :, met[0], met[1]] += columns[:, :, tap, seen[0], seen[1]]
    return y


def _taps(window: Window, extents: tuple[int, int]) -> Iterator[tuple[Slices, Slices]]:
    """For every element of a window: the windows where it is in x, and what it meets there."""
    positions = window.positions(extents)
    for r in range(window.kernel[0]):
        for s in range(window.kernel[1]):
            rows, cols = (
                _along(tap * window.dilation[k] - window.padding[k], window.stride[k], extent, out)
                for k, (tap, extent, out) in enumerate(zip((r, s), extents, positions, strict=True))
            )
            yield (rows[0], cols[0]), (rows[1], cols[1])


def _along(shift: int, stride: int, extent: int, out: int) -> tuple[slice, slice]:
    """Windows p with 0 <= p * stride + shift < extent, and these positions."""
    first = max(0, -(shift // stride))
    last = min(out, (extent - 1 - shift) // stride + 1)
    if last <= first:
        return slice(0, 0), slice(0, 0)
    begin = first * stride + shift
    return slice(first, last), slice(begin, begin + (last - first - 1) * stride + 1, stride)
