"""Passes over windows, axis by axis: what they hold folded into one, or spread over them."""

from collections.abc import Sequence

import numpy as np

from pycnn.reference.cpu._axis import Adaptive, Axis

Axes = Sequence[Axis]


def at(dim: int, where: slice) -> tuple[slice, ...]:
    """The index of a part of axis `dim`."""
    return (slice(None),) * dim + (where,)


def fold(ufunc: np.ufunc, start: float, x: np.ndarray, y: np.ndarray, axes: Axes) -> None:
    """y = ufunc over the taps of every window, beginning with `start`.

    Rows first: what is left of them has fewer elements for the last axis, whose strides are slow.
    """
    if all(isinstance(axis, Adaptive) and axis.out == 1 for axis in axes):
        ufunc.reduce(x, axis=tuple(range(2, x.ndim)), keepdims=True, out=y)
        return
    for dim, axis in enumerate(axes, 2):
        shape = (*x.shape[:dim], axis.out, *x.shape[dim + 1 :])
        folded = y if dim == x.ndim - 1 else np.empty_like(x, shape=shape)
        if isinstance(axis, Adaptive):
            for i, span in enumerate(axis.spans()):
                to = folded[at(dim, slice(i, i + 1))]
                ufunc.reduce(x[at(dim, span)], axis=dim, keepdims=True, out=to)
        else:
            taps = list(axis.taps())
            if len(taps) > 1 and all(tap.windows == slice(0, axis.out) for tap in taps[:2]):
                ufunc(*(x[at(dim, tap.inputs)] for tap in taps[:2]), out=folded)
                taps = taps[2:]
            else:
                folded[...] = start
            for tap in taps:
                windows = folded[at(dim, tap.windows)]
                ufunc(windows, x[at(dim, tap.inputs)], out=windows)
        x = folded


def spread(share: np.ndarray, axes: Axes) -> np.ndarray:
    """Every element of `share` added to all elements under its window."""
    for dim, axis in enumerate(axes, 2):
        shape = (*share.shape[:dim], axis.extent, *share.shape[dim + 1 :])
        spread = np.zeros_like(share, shape=shape)
        if isinstance(axis, Adaptive):
            for i, span in enumerate(axis.spans()):
                spread[at(dim, span)] += share[at(dim, slice(i, i + 1))]
        else:
            for tap in axis.taps():
                spread[at(dim, tap.inputs)] += share[at(dim, tap.windows)]
        share = spread
    return share
