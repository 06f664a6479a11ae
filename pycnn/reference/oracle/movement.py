"""Movement of elements, one index or channel at a time."""

from collections.abc import Sequence

import numpy as np


def permute(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """y[i...] = x[j...], where index j of axis axes[k] is index i of axis k.

    Examples
    --------
    >>> permute(np.array([[1, 2, 3]]), (1, 0)).tolist()
    [[1], [2], [3]]
    """
    y = np.empty([x.shape[axis] for axis in axes], x.dtype)
    for place in np.ndindex(y.shape):
        source = [0] * x.ndim
        for index, axis in zip(place, axes, strict=True):
            source[axis] = index
        y[place] = x[tuple(source)]
    return y


def concat(arrays: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """Every array in its place.

    Examples
    --------
    >>> concat([np.array([1, 2]), np.array([3])], 0).tolist()
    [1, 2, 3]
    """
    shape = list(arrays[0].shape)
    shape[axis] = sum(a.shape[axis] for a in arrays)
    y = np.empty(shape, arrays[0].dtype)
    begin = 0
    for array in arrays:
        for i in range(array.shape[axis]):
            np.moveaxis(y, axis, 0)[begin + i] = np.moveaxis(array, axis, 0)[i]
        begin += array.shape[axis]
    return y


def split(x: np.ndarray, sizes: Sequence[int], axis: int) -> list[np.ndarray]:
    """Parts of `sizes` along an axis.

    Examples
    --------
    >>> [part.tolist() for part in split(np.array([1, 2, 3]), (1, 2), 0)]
    [[1], [2, 3]]
    """
    ends = np.cumsum(sizes)
    return [np.take(x, range(end - size, end), axis) for size, end in zip(sizes, ends, strict=True)]


def channel_shuffle(x: np.ndarray, groups: int, axis: int) -> np.ndarray:
    """Channel k of group g becomes channel k * groups + g.

    Examples
    --------
    >>> channel_shuffle(np.array([[1, 2, 3, 4, 5, 6]]), 2, 1).tolist()
    [[1, 4, 2, 5, 3, 6]]
    """
    y = np.empty(x.shape, x.dtype)
    each = x.shape[axis] // groups
    from_, to = np.moveaxis(x, axis, 0), np.moveaxis(y, axis, 0)
    for g in range(groups):
        for k in range(each):
            to[k * groups + g] = from_[g * each + k]
    return y


def to_blocks(x: np.ndarray, r: int, order: str) -> np.ndarray:
    """Channels of x (..., H, W, C) become blocks of r x r pixels.

    The old channel of new channel c, row i and column j of a block is ``(c r + i) r + j`` in the
    order "CRD", and ``(i r + j) C + c`` of C new ones in the order "DCR".

    Examples
    --------
    >>> to_blocks(np.arange(4).reshape(1, 1, 4), 2, "CRD")[..., 0].tolist()
    [[0, 1], [2, 3]]
    """
    *batch, h, w, c = x.shape
    channels = c // (r * r)
    y = np.empty((*batch, h * r, w * r, channels), x.dtype)
    for k in range(channels):
        for i in range(r):
            for j in range(r):
                old = (k * r + i) * r + j if order == "CRD" else (i * r + j) * channels + k
                y[..., i::r, j::r, k] = x[..., old]
    return y


def from_blocks(y: np.ndarray, r: int, order: str) -> np.ndarray:
    """The reverse of `to_blocks`."""
    *batch, h, w, channels = y.shape
    x = np.empty((*batch, h // r, w // r, channels * r * r), y.dtype)
    for k in range(channels):
        for i in range(r):
            for j in range(r):
                old = (k * r + i) * r + j if order == "CRD" else (i * r + j) * channels + k
                x[..., old] = y[..., i::r, j::r, k]
    return x
