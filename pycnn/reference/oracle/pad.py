"""Padding, one position at a time."""

from collections.abc import Sequence
from itertools import product

import numpy as np

Pads = Sequence[tuple[int, int]]


def source(position: int, extent: int, before: int, after: int, mode: str) -> int | None:
    """The index in x that a position of y is a copy of; None for a constant.

    Examples
    --------
    >>> [source(j, 4, 2, 2, "reflect") for j in range(8)]
    [2, 1, 0, 1, 2, 3, 2, 1]
    >>> [source(j, 4, 2, -1, "circular") for j in range(5)]
    [1, 2, 0, 1, 2]
    """
    kept = list(range(extent))
    if mode == "circular":  # what is cropped does not come back
        kept = kept[max(0, -before) : extent - max(0, -after)]
        return kept[(position - max(0, before)) % len(kept)]
    index = position - before
    if 0 <= index < extent:
        return index
    if mode == "constant":
        return None
    if mode == "replicate":
        return kept[0] if index < 0 else kept[-1]
    mirrored = [*reversed(kept[1:]), *kept, *reversed(kept[:-1])]
    return mirrored[index + extent - 1]


def pad(x: np.ndarray, pads: Pads, mode: str, value: float) -> np.ndarray:
    """x with (before, after) more elements around every axis; less where that is negative."""
    shape = [extent + sum(around) for extent, around in zip(x.shape, pads, strict=True)]
    y = np.full(shape, value, x.dtype)
    for place, origin in _copies(x.shape, pads, mode):
        y[place] = x[origin]
    return y


def pad_backward(dy: np.ndarray, pads: Pads, mode: str) -> np.ndarray:
    """Every dy, added where its element came from."""
    shape = tuple(extent - sum(around) for extent, around in zip(dy.shape, pads, strict=True))
    dx = np.zeros(shape)
    for place, origin in _copies(shape, pads, mode):
        dx[origin] += dy[place]
    return dx


def _copies(
    shape: tuple[int, ...], pads: Pads, mode: str
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Positions of y that are no constant, with the index in x of each."""
    along = []
    for extent, (before, after) in zip(shape, pads, strict=True):
        positions = range(extent + before + after)
        sources = [(j, source(j, extent, before, after, mode)) for j in positions]
        along.append([(j, i) for j, i in sources if i is not None])
    return [(tuple(j for j, _ in pairs), tuple(i for _, i in pairs)) for pairs in product(*along)]
