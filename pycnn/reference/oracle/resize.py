"""Interpolation as ONNX's operator Resize defines it, one element at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil, floor
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Resized:
    """One axis: extents before and after, the factor if one was given, and the conventions."""

    extent: int
    resized: int
    scale: float | None
    coordinate: str
    nearest: str | None
    cubic: bool = False
    area: bool = False


def coordinate(o: int, axis: Resized) -> float:
    """Where element o of y lies in x.

    Examples
    --------
    >>> [coordinate(o, Resized(2, 4, None, "half_pixel", None)) for o in range(4)]
    [-0.25, 0.25, 0.75, 1.25]
    """
    extent, resized = axis.extent, axis.resized

    def unscaled(position: float) -> float:
        return position / axis.scale if axis.scale else position * extent / resized

    if axis.coordinate == "asymmetric":
        return unscaled(o)
    if axis.coordinate == "align_corners":
        return o * (extent - 1) / (resized - 1) if resized > 1 else 0.0
    if axis.coordinate == "pytorch_half_pixel" and resized == 1:
        return 0.0
    at = unscaled(o + 0.5) - 0.5
    if axis.coordinate == "half_pixel_symmetric" and axis.scale:
        at += extent / 2 * (1 - resized / (axis.scale * extent))
    return at


def shares(o: int, axis: Resized) -> list[tuple[int, float]]:
    """What element o of y is made from: indices in x and their weights.

    Examples
    --------
    >>> shares(1, Resized(2, 4, None, "half_pixel", None))
    [(0, 0.75), (1, 0.25)]
    >>> shares(1, Resized(2, 4, None, "half_pixel", "round_prefer_ceil"))
    [(0, 1.0)]
    """
    if axis.area:
        return _area(o, axis)
    at, last = coordinate(o, axis), axis.extent - 1
    if axis.cubic:
        around = range(floor(at) - 1, floor(at) + 3)
        return [(min(max(i, 0), last), keys(i - at, -0.75)) for i in around]
    if axis.nearest is not None:
        rounded = {
            "floor": floor(at),
            "ceil": ceil(at),
            "round_prefer_floor": ceil(at - 0.5),
            "round_prefer_ceil": floor(at + 0.5),
        }[axis.nearest]
        return [(min(max(rounded, 0), last), 1.0)]
    if at <= 0 or at >= last:
        return [(0 if at <= 0 else last, 1.0)]
    return [(floor(at), 1 - (at - floor(at))), (floor(at) + 1, at - floor(at))]


def keys(u: float, a: float) -> float:
    """Keys' cubic convolution: its equation 4, with any a.

    Examples
    --------
    >>> [keys(u, -0.5) for u in (0.0, 0.5, 1.0, 2.0)]
    [1.0, 0.5625, 0.0, 0.0]
    """
    u = abs(u)
    if u <= 1:
        return (a + 2) * u**3 - (a + 3) * u**2 + 1
    return a * u**3 - 5 * a * u**2 + 8 * a * u - 4 * a if u < 2 else 0.0


def _area(o: int, axis: Resized) -> list[tuple[int, float]]:
    """As `shares`, by a filter that is as wide as what becomes one element."""
    ratio = 1 / axis.scale if axis.scale else axis.extent / axis.resized
    if axis.coordinate == "align_corners":
        ratio = (axis.extent - 1) / (axis.resized - 1) if axis.resized > 1 else 0.0
    wide, centre = max(ratio, 1.0), ratio * (o + 0.5)
    reach = (2 if axis.cubic else 1) * wide
    first, end = max(int(centre - reach + 0.5), 0), min(int(centre + reach + 0.5), axis.extent)
    weights = [
        keys((i - centre + 0.5) / wide, -0.5)
        if axis.cubic
        else max(1 - abs(i - centre + 0.5) / wide, 0.0)
        for i in range(first, end)
    ]
    return [(first + k, w / sum(weights)) for k, w in enumerate(weights)]


def interpolate(x: np.ndarray, axes: Sequence[tuple[int, Resized]]) -> np.ndarray:
    """Every element of y, from its shares of x."""
    shape = list(x.shape)
    for number, axis in axes:
        shape[number] = axis.resized
    y = np.zeros(shape)
    for place, origin, weight in _shares(x.ndim, axes):
        y[place] += weight * x[origin].astype(np.float64)
    return y


def interpolate_backward(dy: np.ndarray, axes: Sequence[tuple[int, Resized]]) -> np.ndarray:
    """Every dy, given back in the same shares."""
    shape = list(dy.shape)
    for number, axis in axes:
        shape[number] = axis.extent
    dx = np.zeros(shape)
    for place, origin, weight in _shares(dy.ndim, axes):
        dx[origin] += weight * dy[place].astype(np.float64)
    return dx


def _shares(rank: int, axes: Sequence[tuple[int, Resized]]) -> list[tuple[Any, Any, float]]:
    """Index in y, index in x and weight, for all positions along `axes`."""
    terms = []
    for positions in product(*(range(axis.resized) for _, axis in axes)):
        along = [shares(o, axis) for o, (_, axis) in zip(positions, axes, strict=True)]
        for chosen in product(*along):
            place: list[Any] = [slice(None)] * rank
            origin: list[Any] = [slice(None)] * rank
            weight = 1.0
            for (number, _), o, (i, share) in zip(axes, positions, chosen, strict=True):
                place[number], origin[number] = o, i
                weight *= share
            terms.append((tuple(place), tuple(origin), weight))
    return terms
