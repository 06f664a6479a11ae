"""The elements along an axis that each window of pooling covers."""

import math


def sliding(
    extent: int, windows: int, kernel: int, stride: int = 1, low: int = 0, dilation: int = 1
) -> list[range]:
    """The elements along an axis that each of `windows` sliding windows covers.

    Examples
    --------
    >>> sliding(4, 3, 3, 2, 1)
    [range(0, 2), range(1, 4), range(3, 4)]
    """
    covered = []
    for window in range(windows):
        start = window * stride - low
        taps = [t for t in range(start, start + kernel * dilation, dilation) if 0 <= t < extent]
        covered.append(range(taps[0], taps[-1] + 1, dilation) if taps else range(0))
    return covered


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
