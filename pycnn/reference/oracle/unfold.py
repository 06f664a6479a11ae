"""Sliding windows as columns, one window at a time."""

from math import prod

import numpy as np

Pair = tuple[int, int]
Axes = tuple[np.ndarray, ...]


def unfold(x: np.ndarray, kernel: Pair, dilation: Pair, padding: Pair, stride: Pair) -> np.ndarray:
    """Columns (N, C R S, P Q) of x (N, C, H, W), which is zero in the padding.

    Examples
    --------
    >>> x = np.arange(6.0).reshape(1, 1, 2, 3)
    >>> unfold(x, (2, 2), (1, 1), (0, 0), (1, 1))[0].T.tolist()
    [[0.0, 1.0, 3.0, 4.0], [1.0, 2.0, 4.0, 5.0]]
    """
    (n, c), windows = x.shape[:2], _windows(x.shape[2:], kernel, dilation, padding, stride)
    columns = np.zeros((n, c, *kernel, len(windows)))
    for number, ((r, s), (h, w)) in enumerate(windows):
        columns[:, :, r, s, number] = x[:, :, h, w]
    return columns.reshape(n, c * prod(kernel), len(windows))


def fold(
    x: np.ndarray,
    extents: Pair,
    kernel: Pair,
    dilation: Pair,
    padding: Pair,
    stride: Pair,
) -> np.ndarray:
    """(N, C, H, W) from columns (N, C R S, P Q): every window is added where it was taken.

    Examples
    --------
    >>> fold(np.ones((1, 4, 2)), (2, 3), (2, 2), (1, 1), (0, 0), (1, 1))[0, 0].tolist()
    [[1.0, 2.0, 1.0], [1.0, 2.0, 1.0]]
    """
    windows = _windows(extents, kernel, dilation, padding, stride)
    n, c = x.shape[0], x.shape[1] // prod(kernel)
    columns, y = x.reshape(n, c, *kernel, len(windows)), np.zeros((n, c, *extents))
    for number, ((r, s), (h, w)) in enumerate(windows):
        y[:, :, h, w] += columns[:, :, r, s, number]
    return y


def _windows(
    extents: Pair, kernel: Pair, dilation: Pair, padding: Pair, stride: Pair
) -> list[tuple[Axes, Axes]]:
    """What of every window is no padding: its elements, and where they are in the plane."""
    along = []
    for extent, taps, apart, pad, step in zip(
        extents, kernel, dilation, padding, stride, strict=True
    ):
        last = extent + pad - apart * (taps - 1) - 1
        along.append(
            [
                [(k, at) for k in range(taps) if 0 <= (at := first + k * apart) < extent]
                for first in range(-pad, last + 1, step)
            ]
        )
    return [
        (np.ix_([r for r, _ in down], [s for s, _ in across]),
         np.ix_([h for _, h in down], [w for _, w in across]))
        for down in along[0]
        for across in along[1]
    ]  # fmt: skip
