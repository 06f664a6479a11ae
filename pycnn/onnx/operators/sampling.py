"""Other extents, and samples at points of a grid."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import pycnn
from pycnn.onnx.errors import OnnxError
from pycnn.onnx.limits import check_size
from pycnn.onnx.operators.arrays import integers, is_float, normal_axis
from pycnn.onnx.operators.registry import operator
from pycnn.onnx.operators.resampling import Along, Settings, resample

_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
_CUBIC = {2: "bicubic"}

_COORDINATES = {"half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel",
                "half_pixel_symmetric"}  # fmt: skip


@operator("Resize", since=11, kernels=True)
def resize(
    x: Any,
    roi: Any = None,
    scales: Any = None,
    sizes: Any = None,
    *,
    antialias: int = 0,
    axes: Sequence[int] | None = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Any:
    """By `pycnn.interpolate` where it has the mode, else by a sum over the taps of each axis."""
    if mode not in ("nearest", "linear", "cubic"):
        raise OnnxError(f"mode {mode!r}; allowed: nearest, linear, cubic")
    settings = Settings(
        mode, coordinate_transformation_mode, nearest_mode, cubic_coeff_a, bool(exclude_outside),
        bool(antialias) and mode != "nearest", extrapolation_value,
    )  # fmt: skip
    chosen = [normal_axis(a, x.ndim) for a in axes] if axes is not None else list(range(x.ndim))
    along = _along(x, chosen, scales, sizes, roi, keep_aspect_ratio_policy)
    shape = list(x.shape)
    for one in along:
        shape[one.axis] = one.after
    check_size(shape, x.itemsize)
    changed = [one for one in along if one.before != one.after or one.region != (0.0, 1.0)]
    if not changed and settings.coordinates != "tf_crop_and_resize":
        return x
    if min(shape) == 0 or x.size == 0:
        raise OnnxError(f"x of shape {x.shape} to {tuple(shape)}; allowed: none of them empty")
    name = _operation(x, changed, settings)
    if name and keep_aspect_ratio_policy == "stretch":
        return _interpolated(x, changed, settings, name, scales is not None and scales.size > 0)
    return resample(x, changed, settings)


def _along(x: Any, axes: list[int], scales: Any, sizes: Any, roi: Any, policy: str) -> list[Along]:
    """Extents and scales of the axes, from `scales` or `sizes`."""
    before = [x.shape[a] for a in axes]
    if sizes is not None and sizes.size:
        after = integers(sizes)
        if len(after) != len(axes):
            raise OnnxError(f"sizes {after} of {len(axes)} axes")
        ratios = [b / a if a else 1.0 for a, b in zip(before, after, strict=True)]
        if policy != "stretch":
            ratio = min(ratios) if policy == "not_larger" else max(ratios)
            after = [math.floor(e * ratio + 0.5) for e in before]
            ratios = [ratio] * len(axes)
    elif scales is not None and scales.size:
        ratios = [float(v) for v in scales.reshape(-1).tolist()]
        if len(ratios) != len(axes) or not all(0 < r < math.inf for r in ratios):
            raise OnnxError(f"scales {ratios} of {len(axes)} axes; allowed: above 0")
        after = [math.floor(e * r) for e, r in zip(before, ratios, strict=True)]
    else:
        raise OnnxError("neither scales nor sizes")
    regions = [(0.0, 1.0)] * len(axes)
    if roi is not None and roi.size == 2 * len(axes):
        ends = [float(v) for v in roi.reshape(-1).tolist()]
        regions = list(zip(ends[: len(axes)], ends[len(axes) :], strict=True))
    listed = zip(axes, before, after, ratios, regions, strict=True)
    return [Along(*one) for one in listed]


def _operation(x: Any, changed: list[Along], settings: Settings) -> str:
    """The mode of `pycnn.interpolate` that computes this, or nothing."""
    spatial = x.ndim - 2
    if not is_float(x) or spatial not in _LINEAR or any(one.axis < 2 for one in changed):
        return ""
    if settings.coordinates not in _COORDINATES:
        return ""
    if settings.coordinates == "align_corners" and any(
        one.after != one.scale * one.before for one in changed
    ):
        return ""
    if settings.mode == "nearest":
        return "nearest"
    if settings.antialias or settings.exclude_outside:
        return ""
    if settings.mode == "linear":
        return _LINEAR[spatial]
    return _CUBIC.get(spatial, "") if settings.cubic_a == -0.75 else ""


def _interpolated(x: Any, changed: list[Along], settings: Settings, name: str, scaled: bool) -> Any:
    extents, factors = list(x.shape[2:]), [1.0] * (x.ndim - 2)
    for one in changed:
        extents[one.axis - 2], factors[one.axis - 2] = one.after, one.scale
    nearest = settings.nearest if name == "nearest" else None
    size, factor = (None, tuple(factors)) if scaled else (tuple(extents), None)
    return pycnn.interpolate(
        x, size, factor, name, coordinate_mode=settings.coordinates, nearest_mode=nearest
    )


@operator("Resize", since=10, kernels=True)
@operator("Upsample", since=9, kernels=True)
def upsample(x: Any, scales: Any, *, mode: str = "nearest") -> Any:
    """Coordinates are divided by the scale, and rounded down."""
    return resize(
        x, None, scales, mode=mode, coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )  # fmt: skip


@operator("Upsample", kernels=True)
def upsample_by_attributes(
    x: Any,
    *,
    scales: Sequence[float] | None = None,
    height_scale: float = 1.0,
    width_scale: float = 1.0,
    mode: str = "nearest",
) -> Any:
    factors = scales if scales is not None else (1.0, 1.0, height_scale, width_scale)
    return upsample(x, np.array(factors, np.float32), mode="linear" if mode != "nearest" else mode)


@operator("GridSample", kernels=True)
def grid_sample(
    x: Any,
    grid: Any,
    *,
    align_corners: int = 0,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
) -> Any:
    name = {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)
    return pycnn.grid_sample(x, grid, name, padding_mode, bool(align_corners))
