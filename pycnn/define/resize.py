"""Definitions of interpolation and of its gradient."""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from pycnn.define._resize import ResizeSettings, factors, one_each, resolve, scaled, spatial
from pycnn.define.call import Call, Inferred
from pycnn.define.case import Case
from pycnn.define.operand import Operand
from pycnn.define.operation import Arrays, Gradient, NoPeer, Operation
from pycnn.define.validate import integer
from pycnn.define.views import View
from pycnn.plan import resize as plans
from pycnn.reference.cpu import resize as cpu
from pycnn.reference.oracle import resize as oracle
from pycnn.runtime.plan import Plan

X = "(N, C, W), (N, C, H, W) or (N, C, D, H, W), or the same with C last (NHWC)"

CASES = (
    Case("nearest", {"x": (2, 3, 5, 7)}, {"scale_factor": 2}),
    Case("nearest to size", {"x": (2, 3, 5, 7)}, {"size": (8, 3)}),
    Case("nearest 3 axes NHWC", {"x": (1, 2, 3, 5, 6)}, {"size": (3, 7, 4), "layout": "NHWC"}),
    Case("nearest exact", {"x": (3, 2, 7)}, {"size": 10, "mode": "nearest-exact"}),
    Case("linear", {"x": (2, 3, 7)}, {"scale_factor": 2.3, "mode": "linear"}),
    Case("bilinear", {"x": (2, 3, 5, 7)}, {"scale_factor": (2, 3), "mode": "bilinear"}),
    Case(
        "bilinear NHWC, corners",
        {"x": (2, 5, 7, 3)},
        {"size": (9, 4), "mode": "bilinear", "align_corners": True, "layout": "NHWC"},
    ),
    Case(
        "factor as given",
        {"x": (1, 2, 6, 5)},
        {"scale_factor": 1.7, "mode": "bilinear", "align_corners": False},
    ),
    Case(
        "factor recomputed",
        {"x": (1, 2, 6, 5)},
        {"scale_factor": 1.7, "mode": "bilinear", "recompute_scale_factor": True},
    ),
    Case("trilinear", {"x": (1, 2, 3, 5, 4)}, {"size": (5, 4, 9), "mode": "trilinear"}),
    Case("much smaller", {"x": (1, 2, 13, 17)}, {"size": (3, 5), "mode": "bilinear"}),
    Case(
        "ONNX nearest",
        {"x": (1, 2, 5, 7)},
        {"size": (9, 4), "coordinate_mode": "half_pixel", "nearest_mode": "round_prefer_floor"},
    ),
    Case(
        "ONNX nearest ceil",
        {"x": (1, 2, 5, 7)},
        {"size": (9, 4), "coordinate_mode": "asymmetric", "nearest_mode": "ceil"},
    ),
    Case(
        "ONNX symmetric",
        {"x": (1, 2, 5, 7)},
        {
            "scale_factor": (1.7, 0.6),
            "mode": "bilinear",
            "coordinate_mode": "half_pixel_symmetric",
        },
    ),
    Case(
        "to one pixel",
        {"x": (2, 3, 5, 7)},
        {"size": (1, 3), "mode": "bilinear", "coordinate_mode": "pytorch_half_pixel"},
    ),
    Case("empty", {"x": (0, 3, 5, 7)}, {"scale_factor": 2}),
    Case(
        "u-net decoder",
        {"x": (1, 32, 28, 28)},
        {"scale_factor": 2, "mode": "bilinear"},
        standard=True,
    ),
    Case("fpn top-down", {"x": (1, 32, 28, 28)}, {"scale_factor": 2}, standard=True),
    Case(
        "u-net decoder NHWC",
        {"x": (1, 28, 28, 32)},
        {"scale_factor": 2, "mode": "bilinear", "layout": "NHWC"},
        standard=True,
    ),
)


class Interpolate(Operation):
    """Other spatial extents, by the nearest element or by linear interpolation."""

    name = "interpolate"
    family = "resize"
    operands = (Operand("x", X, (3, 4, 5)),)
    layouts = ("NCHW", "NHWC")
    cases = CASES

    def infer(
        self, views: Mapping[str, View], *, size: Any = None, scale_factor: Any = None, **how: Any
    ) -> Inferred:
        x = views["x"]
        extents = spatial(x.shape, how.get("layout", "NCHW"))
        if (size is None) == (scale_factor is None):
            raise ValueError(
                f"size={size!r} and scale_factor={scale_factor!r}; allowed: exactly one of the two"
            )
        scales = factors(scale_factor, len(extents))
        if size is not None:
            resized = tuple(integer("size", s, 1) for s in one_each("size", size, len(extents)))
        else:
            resized = scaled(extents, scales)
        settings = resolve(extents, resized, scales, **how)
        return Inferred(settings, {"y": (settings.shape(x.shape, resized), None)})

    def plan(self, call: Call) -> Plan:
        s: ResizeSettings = call.settings
        x = s.as_volume(call.views["x"])
        return plans.interpolate(x, s.volume, call.outputs["y"].shape, s.channels_last)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        s: ResizeSettings = call.settings
        return {"y": cpu.interpolate(arrays["x"], s.numbered(s.axes))}

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        s: ResizeSettings = call.settings
        return {"y": oracle.interpolate(arrays["x"], s.numbered(s.described))}

    def flops(self, call: Call) -> int:
        if call.settings.axes[0].rounding is not None:
            return 0
        return 3 * (2 ** len(call.settings.axes) - 1) * prod(call.outputs["y"].shape)

    def terms(self, call: Call) -> int:
        return 2 ** len(call.settings.axes)

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        others = dict(settings)
        if others.pop("coordinate_mode", None) or others.pop("nearest_mode", None):
            raise NoPeer("PyTorch has no coordinate_mode and no nearest_mode")
        x = tensors["x"]
        if others.pop("layout", "NCHW") == "NCHW":
            return {"y": torch.nn.functional.interpolate(x, **others)}
        y = torch.nn.functional.interpolate(x.movedim(-1, 1), **others)
        return {"y": y.movedim(1, -1)}


INTERPOLATE = Interpolate()


class InterpolateBackward(Gradient):
    """Every dy, given back in the same shares."""

    name = "interpolate_backward"
    family = "resize"
    forward = INTERPOLATE
    operands = (Operand("dy", X, (3, 4, 5)),)
    layouts = ("NCHW", "NHWC")

    def settings(self, case: Case) -> dict[str, Any]:
        extents = spatial(case.shapes["x"], case.settings.get("layout", "NCHW"))
        kept = {name: value for name, value in case.settings.items() if name != "size"}
        return {"input_size": extents, **kept}

    def infer(
        self, views: Mapping[str, View], *, input_size: Any, scale_factor: Any = None, **how: Any
    ) -> Inferred:
        dy = views["dy"]
        resized = spatial(dy.shape, how.get("layout", "NCHW"), "dy")
        given = one_each("input_size", input_size, len(resized))
        extents = tuple(integer("input_size", extent, 1) for extent in given)
        scales = factors(scale_factor, len(extents))
        if scale_factor is not None and scaled(extents, scales) != resized:
            raise ValueError(
                f"dy has shape {dy.shape}; allowed: {scaled(extents, scales)} along its spatial "
                f"axes, as input_size={input_size!r} and scale_factor={scale_factor!r} have it"
            )
        settings = resolve(extents, resized, scales, **how)
        return Inferred(settings, {"dx": (settings.shape(dy.shape, extents), None)})

    def plan(self, call: Call) -> Plan:
        s: ResizeSettings = call.settings
        dy = s.as_volume(call.views["dy"])
        return plans.interpolate_backward(dy, s.volume, call.outputs["dx"].shape, s.channels_last)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        s: ResizeSettings = call.settings
        return {"dx": cpu.interpolate_backward(arrays["dy"], s.numbered(s.axes))}

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        s: ResizeSettings = call.settings
        return {"dx": oracle.interpolate_backward(arrays["dy"], s.numbered(s.described))}

    def flops(self, call: Call) -> int:
        axes = call.settings.axes
        taps = 1 if axes[0].rounding is not None else 2 ** len(axes)
        return 2 * taps * prod(call.views["dy"].shape)

    def terms(self, call: Call) -> int:
        return prod(
            int((axis.ranges[1] - axis.ranges[0]).max(initial=1)) for axis in call.settings.axes
        )


INTERPOLATE_BACKWARD = InterpolateBackward()

DEFINITIONS = (INTERPOLATE, INTERPOLATE_BACKWARD)
