"""Sampling at the points of a grid: one point, and one element near it, after the other."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray


class Tap(NamedTuple):
    """An element of an axis, its weight, and the derivative of that by the grid's coordinate."""

    element: int
    weight: float
    slope: float


@dataclass(frozen=True)
class Sampler:
    """How a coordinate is read: the settings of `pycnn.grid_sample`."""

    mode: str
    padding_mode: str
    align_corners: bool

    def taps(self, g: float, extent: int) -> list[Tap]:
        """The elements near a coordinate in [-1, 1]; none of those outside."""
        if self.align_corners:
            at, rate = (g + 1) / 2 * (extent - 1), (extent - 1) / 2
        else:
            at, rate = ((g + 1) * extent - 1) / 2, extent / 2
        if self.mode == "bicubic":
            if not math.isfinite(at):
                return []
            lower = math.floor(at)
            near = [
                (self.pad(i, 1.0, extent)[0], cubic(at - i), cubic_slope(at - i) * rate)
                for i in range(lower - 1, lower + 3)
            ]
        else:
            at, rate = self.pad(at, rate, extent)
            if not math.isfinite(at):
                return []
            if self.mode == "nearest":
                near = [(float(round(at)), 1.0, 0.0)]  # of two, the even one
            else:
                lower = math.floor(at)
                near = [(lower, lower + 1 - at, -rate), (lower + 1, at - lower, rate)]
        return [Tap(int(i), w, s) for i, w, s in near if 0 <= i < extent]

    def pad(self, at: float, rate: float, extent: int) -> tuple[float, float]:
        """A coordinate as the padding has it, and how fast it moves."""
        last = extent - 1
        if self.padding_mode == "reflection":
            low, high = (0.0, float(last)) if self.align_corners else (-0.5, extent - 0.5)
            if low == high or not math.isfinite(at):
                return 0.0, 0.0
            turn = 2 * (high - low)
            inward = math.fmod(at - low, turn)
            if inward < 0:
                inward += turn
            if inward > turn / 2:
                inward, rate = turn - inward, -rate
            at = inward + low
        if self.padding_mode != "zeros":
            if not 0 < at < last:
                rate = 0.0
            at = min(max(at, 0.0), float(last)) if not math.isnan(at) else 0.0
        return at, rate


def cubic(d: float, a: float = -0.75) -> float:
    """Keys' kernel, for an element at distance d.

    Examples
    --------
    >>> [cubic(d) for d in (0.0, 1.0, -1.0, 2.0)]
    [1.0, 0.0, 0.0, 0.0]
    """
    d = abs(d)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a


def cubic_slope(d: float, a: float = -0.75) -> float:
    """Derivative of `cubic`."""
    sign, d = math.copysign(1, d), abs(d)
    if d <= 1:
        return sign * (3 * (a + 2) * d**2 - 2 * (a + 3) * d)
    return sign * (3 * a * d**2 - 10 * a * d + 8 * a)


def grid_sample(x: Array, grid: Array, sampler: Sampler) -> Array:
    """x at the points of the grid.

    Examples
    --------
    >>> x, grid = np.array([[[[0.0, 4.0]]]]), np.array([[[[0.0, 0.0]]]])
    >>> grid_sample(x, grid, Sampler("bilinear", "zeros", False)).tolist()
    [[[[2.0]]]]
    """
    x = x.astype(np.float64)
    y = np.zeros((*x.shape[:2], *grid.shape[1:-1]))
    for point, taps in each_point(x, grid, sampler):
        for near in taps:
            weight = math.prod(tap.weight for tap in near)
            y[_at(point)] += weight * x[_at((point[0], *(tap.element for tap in near)))]
    return y


def grid_sample_backward(dy: Array, x: Array, grid: Array, sampler: Sampler) -> tuple[Array, Array]:
    """Gradients of `grid_sample` with respect to x and to the grid."""
    dy, x = dy.astype(np.float64), x.astype(np.float64)
    dx, dgrid = np.zeros(x.shape), np.zeros(grid.shape)
    for point, taps in each_point(x, grid, sampler):
        upstream = dy[_at(point)]
        for near in taps:
            place = _at((point[0], *(tap.element for tap in near)))
            dx[place] += math.prod(tap.weight for tap in near) * upstream
            value = (upstream * x[place]).sum()
            for a, moved in enumerate(near):
                others = math.prod(tap.weight for b, tap in enumerate(near) if b != a)
                dgrid[point][-1 - a] += value * moved.slope * others
    return dx, dgrid


def _at(place: tuple[int, ...]) -> Any:
    """All channels of a place of an image."""
    return place[0], slice(None), *place[1:]


def each_point(
    x: Array, grid: Array, sampler: Sampler
) -> Iterator[tuple[tuple[int, ...], list[tuple[Tap, ...]]]]:
    """Every point, and the elements near it: one tap of each axis."""
    for point in np.ndindex(grid.shape[:-1]):
        coordinates = grid[point].astype(np.float64)[::-1]  # x, y, z are W, H, D
        pairs = zip(coordinates, x.shape[2:], strict=True)
        axes = [sampler.taps(float(g), extent) for g, extent in pairs]
        yield point, list(product(*axes))
