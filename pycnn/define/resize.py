"""Definitions of interpolation and of its gradient."""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from pycnn.define._resize import ResizeSettings, factors, one_each, resolve, scaled, spatial
from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.operand import Operand
from pycnn.define.operation import Gradient, Operation
from pycnn.define.validate import integer
from pycnn.define.views import View
from pycnn.plan import resize as plans, resize_filter
from pycnn.reference.cpu import resize as cpu
from pycnn.runtime.plan import Plan

X = "(N, C, W), (N, C, H, W) or (N, C, D, H, W), or the same with C last (NHWC)"


class Interpolate(Operation):
    """Other spatial extents, by the nearest element, by linear or by cubic interpolation."""

    name = "interpolate"
    family = "resize"
    operands = (Operand("x", X, (3, 4, 5)),)
    layouts = ("NCHW", "NHWC")

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        x = views["x"]
        extents = spatial(x.shape, args.layout)
        if (args.size is None) == (args.scale_factor is None):
            raise ValueError(
                f"size={args.size!r} and scale_factor={args.scale_factor!r}; "
                "allowed: exactly one of the two"
            )
        scales = factors(args.scale_factor, len(extents))
        if args.size is not None:
            sizes = one_each("size", args.size, len(extents))
            resized = tuple(integer("size", extent, 1) for extent in sizes)
        else:
            resized = scaled(extents, scales)
        settings = resolve(extents, resized, scales, args)
        return settings, {"y": (settings.shape(x.shape, resized), None)}

    def plan(self, call: Call) -> Plan:
        s: ResizeSettings = call.settings
        if s.kind:
            return resize_filter.interpolate(call.views["x"], s.filters)
        x = s.as_volume(call.views["x"])
        return plans.interpolate(x, s.volume, call.outputs["y"].shape, s.channels_last)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        s: ResizeSettings = call.settings
        if s.kind:
            return {"y": cpu.filtered(arrays["x"], s.filters)}
        return {"y": cpu.interpolate(arrays["x"], s.numbered(s.axes))}

    def flops(self, call: Call) -> int:
        if call.settings.kind:
            return _taps(call.settings) * prod(call.outputs["y"].shape)
        if call.settings.axes[0].rounding is not None:
            return 0
        return 3 * (2 ** len(call.settings.axes) - 1) * prod(call.outputs["y"].shape)


def _taps(settings: ResizeSettings) -> int:
    """Operations for an element of y: a multiply-add for every tap, roughly."""
    return sum(2 * axis.taps[0].shape[1] for _, axis in settings.filters)


INTERPOLATE = Interpolate()


class InterpolateBackward(Gradient):
    """Every dy, given back in the same shares."""

    name = "interpolate_backward"
    family = "resize"
    forward = INTERPOLATE
    operands = (Operand("dy", X, (3, 4, 5)),)
    layouts = ("NCHW", "NHWC")

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        dy = views["dy"]
        resized = spatial(dy.shape, args.layout, "dy")
        sizes = one_each("input_size", args.input_size, len(resized))
        extents = tuple(integer("input_size", extent, 1) for extent in sizes)
        scales = factors(args.scale_factor, len(extents))
        if args.scale_factor is not None and scaled(extents, scales) != resized:
            raise ValueError(
                f"dy has shape {dy.shape}; allowed: {scaled(extents, scales)} along its spatial "
                f"axes, as input_size={args.input_size!r} and scale_factor={args.scale_factor!r} "
                "have it"
            )
        settings = resolve(extents, resized, scales, args)
        return settings, {"dx": (settings.shape(dy.shape, extents), None)}

    def plan(self, call: Call) -> Plan:
        s: ResizeSettings = call.settings
        if s.kind:
            return resize_filter.interpolate_backward(call.views["dy"], s.filters)
        dy = s.as_volume(call.views["dy"])
        return plans.interpolate_backward(dy, s.volume, call.outputs["dx"].shape, s.channels_last)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        s: ResizeSettings = call.settings
        if s.kind:
            return {"dx": cpu.filtered_backward(arrays["dy"], s.filters)}
        return {"dx": cpu.interpolate_backward(arrays["dy"], s.numbered(s.axes))}

    def flops(self, call: Call) -> int:
        axes = call.settings.axes
        if call.settings.kind:
            return _taps(call.settings) * prod(call.views["dy"].shape)
        taps = 1 if axes[0].rounding is not None else 2 ** len(axes)
        return 2 * taps * prod(call.views["dy"].shape)


INTERPOLATE_BACKWARD = InterpolateBackward()

DEFINITIONS = (INTERPOLATE, INTERPOLATE_BACKWARD)
