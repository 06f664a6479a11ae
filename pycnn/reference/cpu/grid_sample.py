"""Sampling at the points of a grid on the CPU: all points at once, one tap after the other."""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np

from pycnn.plan.grid_sample import WIDTHS, Sampling
from pycnn.reference.cpu._common import quiet

Array = np.ndarray


class _Taps(NamedTuple):
    """Along an axis, for every point: elements, and weights and slopes, (N, points) each."""

    elements: list[Array]
    inside: list[Array]
    weights: list[Array]
    slopes: list[Array]


@quiet
def grid_sample(x: Array, grid: Array, s: Sampling) -> Array:
    """x at the points of the grid."""
    values, axes = _by_pixel(x), _axes(grid, s)
    y = np.zeros((x.shape[0], axes[0].elements[0].shape[1], x.shape[1]), x.dtype)
    for taps in _each(s):
        index, inside, weight = _joined(axes, taps, s)
        y += weight.astype(x.dtype) * _taken(values, index, inside)
    return np.ascontiguousarray(y.transpose(0, 2, 1)).reshape(*x.shape[:2], *grid.shape[1:-1])


@quiet
def grid_sample_backward(dy: Array, x: Array, grid: Array, s: Sampling) -> tuple[Array, Array]:
    """Gradients with respect to x and to the grid."""
    values, upstream, axes = _by_pixel(x), _by_pixel(dy), _axes(grid, s)
    dx = np.zeros_like(values)
    moved = np.zeros((*upstream.shape[:2], len(axes)), x.dtype)
    images = np.arange(len(x))[:, None]
    for taps in _each(s):
        index, inside, weight = _joined(axes, taps, s)
        share = np.where(inside, weight.astype(x.dtype) * upstream, 0)
        np.add.at(dx, (images, index), share)
        value = (np.where(inside, upstream, 0) * _taken(values, index, inside)).sum(axis=2)
        for a in range(len(axes)):
            parts = [
                (axis.slopes if b == a else axis.weights)[k]
                for b, (axis, k) in enumerate(zip(axes, taps, strict=True))
            ]
            slope = np.where(inside[..., 0], np.prod(parts, axis=0), 0).astype(x.dtype)
            moved[..., -1 - a] += slope * value
    dx = np.ascontiguousarray(dx.transpose(0, 2, 1)).reshape(x.shape)
    return dx, moved.reshape(grid.shape)


def _by_pixel(x: Array) -> Array:
    """(N, elements, C)."""
    return x.reshape(*x.shape[:2], int(np.prod(x.shape[2:]))).transpose(0, 2, 1)


def _each(s: Sampling) -> Iterator[tuple[int, ...]]:
    return product(range(WIDTHS[s.mode]), repeat=len(s.extents))


def _joined(axes: list[_Taps], taps: tuple[int, ...], s: Sampling) -> tuple[Array, Array, Array]:
    """Number of an element of x, whether there is one, and its weight."""
    chosen = list(zip(axes, taps, strict=True))
    inside = np.logical_and.reduce([axis.inside[k] for axis, k in chosen])
    weight = np.where(inside, np.prod([axis.weights[k] for axis, k in chosen], axis=0), 0)
    index = np.ravel_multi_index([axis.elements[k] for axis, k in chosen], s.extents)
    return index, inside[..., None], weight[..., None]


def _taken(values: Array, index: Array, inside: Array) -> Array:
    return np.where(inside, np.take_along_axis(values, index[..., None], axis=1), 0)


def _axes(grid: Array, s: Sampling) -> list[_Taps]:
    """Of every axis of x; the first coordinate is that of the last one. In float64."""
    points = grid.reshape(len(grid), int(np.prod(grid.shape[1:-1])), grid.shape[-1])
    return [
        _taps(points[..., -1 - a].astype(np.float64), extent, s)
        for a, extent in enumerate(s.extents)
    ]


def _taps(g: Array, extent: int, s: Sampling) -> _Taps:
    rate = (extent - 1) / 2 if s.align_corners else extent / 2
    at = (g + 1) / 2 * (extent - 1) if s.align_corners else ((g + 1) * extent - 1) / 2
    rates = np.full(g.shape, rate)
    if s.mode != "bicubic":
        at, rates = _padded(at, rates, extent, s)
    if s.mode == "nearest":
        return _elements([np.rint(at)], [np.ones_like(at)], [np.zeros_like(at)], extent)
    lower = np.floor(at)
    t = at - lower
    if s.mode == "bilinear":
        return _elements([lower, lower + 1], [1 - t, t], [-rates, rates], extent)
    places = [_padded(lower + k, rates, extent, s)[0] for k in (-1, 0, 1, 2)]
    a = -0.75
    weights = [
        ((a * t - 2 * a) * t + a) * t,
        ((a + 2) * t - (a + 3)) * t * t + 1,
        ((-(a + 2) * t + 2 * a + 3) * t - a) * t,
        (a - a * t) * t * t,
    ]
    slopes = [
        (3 * a * t - 4 * a) * t + a,
        (3 * (a + 2) * t - 2 * (a + 3)) * t,
        (-3 * (a + 2) * t + 2 * (2 * a + 3)) * t - a,
        (2 * a - 3 * a * t) * t,
    ]
    return _elements(places, weights, [slope * rates for slope in slopes], extent)


def _elements(places: list[Array], weights: list[Array], slopes: list[Array], extent: int) -> _Taps:
    inside = [(place >= 0) & (place < extent) for place in places]
    pairs = zip(places, inside, strict=True)
    elements = [np.where(there, place, 0).astype(np.int64) for place, there in pairs]
    return _Taps(elements, inside, weights, slopes)


def _padded(at: Array, rates: Array, extent: int, s: Sampling) -> tuple[Array, Array]:
    """Coordinates as the padding has them, and how fast these move."""
    if s.padding == "zeros":
        return at, rates
    if s.padding == "reflection":
        low, span = (0.0, extent - 1) if s.align_corners else (-0.5, extent)
        if span == 0:
            return np.zeros_like(at), np.zeros_like(at)
        inward = at - low
        rates = np.where(inward < 0, -rates, rates)
        inward = np.abs(inward)
        extra = np.fmod(inward, span)
        even = np.fmod(np.floor(inward / span), 2) == 0
        at = np.where(even, extra, span - extra) + low
        rates = np.where(even, rates, -rates)
    free = (at > 0) & (at < extent - 1)  # a NaN is at the first element
    clipped = np.where(at > 0, np.minimum(at, extent - 1), 0.0)
    return clipped, np.where(free, rates, 0.0)
