"""Interpolation on the CPU, one axis after the other."""

from collections.abc import Sequence

import numpy as np

from pycnn.plan.resize import Axis
from pycnn.plan.resize_filter import FilterAxis
from pycnn.reference.cpu._common import quiet


@quiet
def interpolate(x: np.ndarray, axes: Sequence[tuple[int, Axis]]) -> np.ndarray:
    """x resized along the axes of these numbers."""
    for number, axis in axes:
        lower, upper, weight = axis.taps
        at_lower = x.take(lower, number)
        if axis.rounding is None:
            along = (-1, *(1,) * (x.ndim - 1 - number))
            share = weight.astype(x.dtype).reshape(along)
            mixed = (1 - share) * at_lower + share * x.take(upper, number)
            x = np.where((lower == upper).reshape(along), at_lower, mixed)
        else:
            x = at_lower
    return x


@quiet
def interpolate_backward(dy: np.ndarray, axes: Sequence[tuple[int, Axis]]) -> np.ndarray:
    """dx from dy: along every axis, what is made from an element is gathered for it."""
    for number, axis in axes:
        lower, _, weight = axis.taps
        shape = (*dy.shape[:number], axis.extent, *dy.shape[number + 1 :])
        dx = np.zeros(shape, dy.dtype)
        to, from_ = np.moveaxis(dx, number, 0), np.moveaxis(dy, number, 0)
        behind = (-1, *(1,) * (dy.ndim - 1))
        for i, (first, last) in enumerate(zip(*axis.ranges, strict=True)):
            gathered = slice(first, last)
            share = np.where(lower[gathered] == i, 1 - weight[gathered], weight[gathered])
            to[i] = (share.astype(dy.dtype).reshape(behind) * from_[gathered]).sum(0)
        dy = dx
    return dy


@quiet
def filtered(x: np.ndarray, axes: Sequence[tuple[int, FilterAxis]]) -> np.ndarray:
    """x resized by filters along the axes of these numbers, the last one first."""
    for number, axis in axes[::-1]:
        index, weights, there = axis.taps
        along = (-1, *(1,) * (x.ndim - 1 - number))
        y = np.zeros((*x.shape[:number], axis.resized, *x.shape[number + 1 :]), x.dtype)
        for i, share, used in zip(index.T, weights.T.astype(x.dtype), there.T, strict=True):
            values = np.where(used.reshape(along), x.take(i, number), x.dtype.type(0))
            y += share.reshape(along) * values
        x = y
    return x


@quiet
def filtered_backward(dy: np.ndarray, axes: Sequence[tuple[int, FilterAxis]]) -> np.ndarray:
    """dx from dy, the first axis first: every dy given back in the same shares."""
    for number, axis in axes:
        index, weights, there = axis.taps
        dx = np.zeros((*dy.shape[:number], axis.extent, *dy.shape[number + 1 :]), dy.dtype)
        to, from_ = np.moveaxis(dx, number, 0), np.moveaxis(dy, number, 0)
        behind = (-1, *(1,) * (dy.ndim - 1))
        for i, share, used in zip(index.T, weights.T.astype(dy.dtype), there.T, strict=True):
            values = np.where(used.reshape(behind), from_, dy.dtype.type(0))
            np.add.at(to, i, share.reshape(behind) * values)
        dy = dx
    return dy
