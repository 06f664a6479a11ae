"""What the arguments of interpolation mean: PyTorch's conventions, or ONNX's by their names."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, isfinite
from typing import Any, NamedTuple

import numpy as np

from pycnn.define.call import Arguments
from pycnn.define.validate import boolean, choice, each
from pycnn.define.views import View
from pycnn.plan import resize as plans
from pycnn.plan.resize import ROUNDINGS, Axis
from pycnn.plan.resize_filter import FilterAxis

#: mode -> spatial axes that it takes; linear ones have a name for each number of axes.
MODES = {
    "nearest": (1, 2, 3),
    "nearest-exact": (1, 2, 3),
    "linear": (1,),
    "bilinear": (2,),
    "trilinear": (3,),
    "bicubic": (2,),
}

#: Modes that can be antialiased, and the filter that does it.
AREAS = {"bilinear": "linear area", "bicubic": "cubic area"}
COORDINATES = (
    "half_pixel",
    "asymmetric",
    "align_corners",
    "pytorch_half_pixel",
    "half_pixel_symmetric",
)


class Described(NamedTuple):
    """One axis: extents before and after, the factor if one was given, and the conventions."""

    extent: int
    resized: int
    scale: float | None
    coordinate: str
    nearest: str | None


@dataclass(frozen=True)
class ResizeSettings:
    """Every spatial axis, as plans take it.

    Attributes
    ----------
    axes : tuple of Axis
    channels_last : bool
    kind : str or None
        A filter of several taps, of `pycnn.plan.resize_filter.KINDS`.
    """

    axes: tuple[Axis, ...]
    channels_last: bool
    kind: str | None = None

    @property
    def first(self) -> int:
        """Number of the first spatial axis."""
        return 1 if self.channels_last else 2

    def shape(self, x: Sequence[int], extents: Sequence[int]) -> tuple[int, ...]:
        """That of x, with other spatial extents."""
        return (*x[: self.first], *extents, *x[self.first + len(self.axes) :])

    def numbered(self, axes: Sequence[Any]) -> list[tuple[int, Any]]:
        """`axes` with their numbers."""
        return [(self.first + i, axis) for i, axis in enumerate(axes)]

    @property
    def filters(self) -> list[tuple[int, FilterAxis]]:
        """Axes as filters take them, with their numbers."""
        return [
            (
                number,
                FilterAxis(
                    *(a.extent, a.resized, a.numerator, a.denominator, a.shift, a.offset),
                    kind=str(self.kind),
                ),
            )
            for number, a in self.numbered(self.axes)
        ]

    @property
    def volume(self) -> plans.Axes:
        """As three axes."""
        plain = Axis(1, 1, rounding=self.axes[0].rounding)
        d, h, w = (*[plain] * (3 - len(self.axes)), *self.axes)
        return d, h, w

    def as_volume(self, view: View) -> View:
        """A view (N, C, W), (N, C, H, W) ... of any layout as (N, C, D, H, W)."""
        shape, strides = list(view.shape), list(view.strides)
        if self.channels_last:
            shape.insert(1, shape.pop())
            strides.insert(1, strides.pop())
        missing = 3 - len(self.axes)
        shape[2:2], strides[2:2] = [1] * missing, [0] * missing
        return View(tuple(shape), tuple(strides), view.dtype)


def spatial(shape: Sequence[int], layout: Any, name: str = "x") -> tuple[int, ...]:
    """Extents of the spatial axes, none of them zero."""
    choice("layout", layout, ("NCHW", "NHWC"))
    extents = tuple(shape[2:] if layout == "NCHW" else shape[1:-1])
    if 0 in extents:
        raise ValueError(f"{name} has shape {tuple(shape)}; allowed: spatial extents of at least 1")
    return extents


def one_each(name: str, value: Any, count: int) -> tuple[Any, ...]:
    """A number for each of `count` axes."""
    return each(name, value, count, f"one number, or one for each of {count} axes")


def factors(value: Any, count: int) -> tuple[float | None, ...]:
    """The factor of every axis, None where none is given."""
    if value is None:
        return (None,) * count
    scales = one_each("scale_factor", value, count)
    for scale in scales:
        if isinstance(scale, (bool, np.bool_)) or not isinstance(
            scale, (int, float, np.integer, np.floating)
        ):
            raise TypeError(f"scale_factor={value!r}; allowed: numbers > 0")
        if not (isfinite(scale) and scale > 0):
            raise ValueError(f"scale_factor={value!r}; allowed: numbers > 0")
    return tuple(float(scale) for scale in scales)


def scaled(extents: Sequence[int], scales: Sequence[float | None]) -> tuple[int, ...]:
    """Extents times factors, rounded down."""
    resized = tuple(floor(e * (s or 1)) for e, s in zip(extents, scales, strict=True))
    if min(resized) < 1:
        raise ValueError(
            f"scale_factor={scales} makes {resized} of {tuple(extents)}; allowed: extents of at "
            "least 1"
        )
    return resized


def resolve(
    extents: Sequence[int], resized: Sequence[int], scales: Sequence[float | None], args: Arguments
) -> ResizeSettings:
    """The conventions of PyTorch, or of ONNX where they are named."""
    choice("mode", args.mode, tuple(MODES))
    if len(extents) not in MODES[args.mode]:
        fitting = [name for name, counts in MODES.items() if len(extents) in counts]
        raise ValueError(
            f"mode={args.mode!r}; allowed with {len(extents)} spatial axes: {', '.join(fitting)}"
        )
    kind = "cubic" if args.mode == "bicubic" else None
    if boolean("antialias", args.antialias):
        if args.mode not in AREAS or args.coordinate_mode is not None:
            raise ValueError(
                f"antialias=True with mode={args.mode!r} and coordinate_mode="
                f"{args.coordinate_mode!r}; allowed: False, or bilinear and bicubic without the "
                "latter"
            )
        kind = AREAS[args.mode]
    if args.recompute_scale_factor is not None and boolean(
        "recompute_scale_factor", args.recompute_scale_factor
    ):
        scales = (None,) * len(extents)
    if max(*extents, *resized) >= 2**31:
        raise ValueError(
            f"spatial extents {tuple(extents)} to {tuple(resized)}; allowed: below 2147483648"
        )
    coordinate, nearest = _conventions(
        args.mode, args.align_corners, args.coordinate_mode, args.nearest_mode
    )
    described = tuple(
        Described(extent, out, scale, coordinate, nearest)
        for extent, out, scale in zip(extents, resized, scales, strict=True)
    )
    return ResizeSettings(tuple(map(_axis, described)), args.layout == "NHWC", kind)


def _conventions(
    mode: str, align_corners: Any, coordinate_mode: Any, nearest_mode: Any
) -> tuple[str, str | None]:
    """Names of the coordinates and of the rounding; the latter is None for linear modes."""
    is_nearest = mode.startswith("nearest")
    if align_corners is not None:
        boolean("align_corners", align_corners)
        if is_nearest or coordinate_mode is not None:
            raise ValueError(
                f"align_corners={align_corners!r}; allowed: None with mode={mode!r} and "
                f"coordinate_mode={coordinate_mode!r}"
            )
    if nearest_mode is not None:
        if mode != "nearest":
            raise ValueError(f"nearest_mode={nearest_mode!r}; allowed with mode={mode!r}: None")
        choice("nearest_mode", nearest_mode, ROUNDINGS)
    if coordinate_mode is not None:
        if mode == "nearest-exact":
            raise ValueError(
                f"coordinate_mode={coordinate_mode!r}; allowed with mode={mode!r}: None"
            )
        choice("coordinate_mode", coordinate_mode, COORDINATES)
    if mode == "nearest-exact":
        return "half_pixel", "round_prefer_ceil"
    if mode == "nearest":
        return coordinate_mode or "asymmetric", nearest_mode or "floor"
    return coordinate_mode or ("align_corners" if align_corners else "half_pixel"), None


def _axis(axis: Described) -> Axis:
    """The coordinates of an axis as one linear map."""
    extent, resized = axis.extent, axis.resized
    ratio = (float(extent), float(resized)) if axis.scale is None else (1.0, axis.scale)
    shift, offset = 0.5, -0.5
    if axis.coordinate == "asymmetric":
        shift, offset = 0.0, 0.0
    elif axis.coordinate == "align_corners":
        ratio = (extent - 1.0, resized - 1.0) if resized > 1 else (0.0, 1.0)
        shift, offset = 0.0, 0.0
    elif axis.coordinate == "pytorch_half_pixel" and resized == 1:
        ratio, shift, offset = (0.0, 1.0), 0.0, 0.0
    elif axis.coordinate == "half_pixel_symmetric" and axis.scale is not None:
        offset += extent / 2 * (1 - resized / (axis.scale * extent))
    return Axis(extent, resized, *ratio, shift, offset, axis.nearest)
