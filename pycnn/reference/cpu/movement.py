"""Movement of elements on the CPU: NumPy's own."""

from collections.abc import Sequence

import numpy as np


def permute(x: np.ndarray, axes: tuple[int, ...], *, out: np.ndarray | None = None) -> np.ndarray:
    """x with its axes in another order, contiguous."""
    seen = x.transpose(axes)
    y = np.empty(seen.shape, x.dtype) if out is None else out
    np.copyto(y, seen)
    return y


def concat(arrays: Sequence[np.ndarray], axis: int, *, out: np.ndarray | None = None) -> np.ndarray:
    """The arrays one after the other along an axis, in their dtype."""
    return np.concatenate(arrays, axis, out=out)


def channel_shuffle(
    x: np.ndarray, groups: int, axis: int, *, out: np.ndarray | None = None
) -> np.ndarray:
    """Channels of all groups in turn; `axis` is that of the channels."""
    y = np.empty(x.shape, x.dtype) if out is None else out
    each = x.shape[axis] // groups
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    shuffled = x.reshape(*before, groups, each, *after).swapaxes(axis, axis + 1)
    np.copyto(y.reshape(*before, each, groups, *after), shuffled)
    return y
