"""Resize as ONNX defines it, axis by axis: for what `pycnn.interpolate` does not have.

Every result is a weighted sum of a few elements along each axis; which, and with what weights,
follows from where its coordinate falls.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pycnn.onnx.errors import OnnxError


@dataclass(frozen=True)
class Settings:
    """Attributes of Resize that say what is computed."""

    mode: str
    coordinates: str
    nearest: str
    cubic_a: float
    exclude_outside: bool
    antialias: bool
    extrapolation: float


@dataclass(frozen=True)
class Along:
    """One axis: extents before and after, their ratio as it was given, and a region of it."""

    axis: int
    before: int
    after: int
    scale: float
    region: tuple[float, float] = (0.0, 1.0)

    def coordinates(self, kind: str) -> np.ndarray:
        """Where results lie in what is given."""
        at = np.arange(self.after, dtype=np.float64)
        centred = (at + 0.5) / self.scale - 0.5
        if kind == "half_pixel":
            return centred
        if kind == "asymmetric":
            return at / self.scale
        if kind == "pytorch_half_pixel":
            return centred if self.after > 1 else at * 0
        if kind == "half_pixel_symmetric":
            rest = self.after / (self.scale * self.before)
            return centred + self.before / 2 * (1 - rest)
        if kind == "align_corners":
            length = self.scale * self.before
            return at * 0 if length == 1 else at * (self.before - 1) / (length - 1)
        if kind == "tf_crop_and_resize":
            return self._cropped().astype(np.float64)
        raise OnnxError(f"coordinate_transformation_mode {kind!r} is none of ONNX's")

    def _cropped(self) -> np.ndarray:
        """In float32, as the region is given: in float64 its digits decide what is beyond."""
        one = np.float32
        first, last = map(one, self.region)
        span = one(self.before - 1)
        if self.after == 1:
            return np.full(1, one(0.5) * (first + last) * span)
        step = (last - first) * span / one(self.after - 1)
        return first * span + np.arange(self.after, dtype=np.float32) * step


_ROUNDED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def _triangle(distance: np.ndarray, settings: Settings) -> np.ndarray:
    return np.maximum(1 - distance, 0)


def _cubic(distance: np.ndarray, settings: Settings) -> np.ndarray:
    """Keys' kernel, of support 2."""
    a, d = settings.cubic_a, distance
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = a * (((d - 5) * d + 8) * d - 4)
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def taps(along: Along, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """Indices and weights, (after, taps) each."""
    at = along.coordinates(settings.coordinates)
    if settings.mode == "nearest":
        if settings.nearest not in _ROUNDED:
            raise OnnxError(f"nearest_mode {settings.nearest!r}; allowed: {', '.join(_ROUNDED)}")
        index = _ROUNDED[settings.nearest](at).astype(np.int64)[:, None]
        return np.clip(index, 0, along.before - 1), np.ones(index.shape)
    kernel, reach = {"linear": (_triangle, 1), "cubic": (_cubic, 2)}[settings.mode]
    shrunk = min(along.scale, 1.0) if settings.antialias else 1.0
    wide = int(np.ceil(reach / shrunk))
    index = np.floor(at).astype(np.int64)[:, None] + np.arange(1 - wide, wide + 1)
    weights = kernel(np.abs(index - at[:, None]) * shrunk, settings)
    if settings.exclude_outside:
        weights = np.where((index >= 0) & (index < along.before), weights, 0.0)
    if settings.exclude_outside or settings.antialias:
        weights = weights / weights.sum(axis=1, keepdims=True)
    return np.clip(index, 0, along.before - 1), weights


def resample(x: Any, axes: list[Along], settings: Settings) -> Any:
    """x with those axes resized."""
    y: Any = x if settings.mode == "nearest" else x.astype(np.float64)
    for along in axes:
        index, weights = taps(along, settings)
        if settings.mode == "nearest":
            y = np.take(y, index[:, 0], axis=along.axis)
            continue
        shape = [-1 if i == along.axis else 1 for i in range(x.ndim)]
        total = 0.0
        for place, weight in zip(index.T, weights.T, strict=True):
            total = total + np.take(y, place, axis=along.axis) * weight.reshape(shape)
        y = total
    if settings.coordinates == "tf_crop_and_resize":
        y = _outside(y, axes, settings)
    return (np.rint(y) if x.dtype.kind in "iu" else y).astype(x.dtype)


def _outside(y: Any, axes: list[Along], settings: Settings) -> Any:
    """What lies beyond the input has a value of its own."""
    for along in axes:
        at = along.coordinates(settings.coordinates)
        inside = (at >= 0) & (at <= along.before - 1)
        shape = [-1 if i == along.axis else 1 for i in range(y.ndim)]
        y = np.where(inside.reshape(shape), y, y.dtype.type(settings.extrapolation))
    return y
