"""Sliding windows as columns, one window at a time."""

import numpy as np

Pair = tuple[int, int]


def unfold(x: np.ndarray, kernel: Pair, dilation: Pair, padding: Pair, stride: Pair) -> np.ndarray:
    """Columns (N, C R S, P Q) of x (N, C, H, W), which is zero in the padding.

    Examples
    --------
    >>> x = np.arange(6.0).reshape(1, 1, 2, 3)
    >>> unfold(x, (2, 2), (1, 1), (0, 0), (1, 1))[0].T.tolist()
    [[0.0, 1.0, 3.0, 4.0], [1.0, 2.0, 4.0, 5.0]]
    """
    (top, left), (h, w) = padding, x.shape[2:]
    padded = np.zeros((*x.shape[:2], h + 2 * top, w + 2 * left))
    padded[:, :, top : top + h, left : left + w] = x
    columns = [
        padded[:, :, i, j].reshape(x.shape[0], x.shape[1] * kernel[0] * kernel[1])
        for i, j in _windows((h, w), kernel, dilation, padding, stride)
    ]
    return np.stack(columns, axis=2)


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
    (top, left), (h, w), (r, s) = padding, extents, kernel
    n, c = x.shape[0], x.shape[1] // (r * s)
    padded = np.zeros((n, c, h + 2 * top, w + 2 * left))
    for number, (i, j) in enumerate(_windows(extents, kernel, dilation, padding, stride)):
        padded[:, :, i, j] += x[:, :, number].reshape(n, c, r, s)
    return padded[:, :, top : top + h, left : left + w]


def _windows(
    extents: Pair, kernel: Pair, dilation: Pair, padding: Pair, stride: Pair
) -> list[tuple[np.ndarray, ...]]:
    """Indices of every window in the padded plane, as np.ix_ makes them."""
    starts = []
    for k in range(2):
        last = extents[k] + 2 * padding[k] - dilation[k] * (kernel[k] - 1) - 1
        starts.append(range(0, last + 1, stride[k]))
    return [
        np.ix_(
            [p + r * dilation[0] for r in range(kernel[0])],
            [q + s * dilation[1] for s in range(kernel[1])],
        )
        for p in starts[0]
        for q in starts[1]
    ]
