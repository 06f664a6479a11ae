"""Definitions of sampling at the points of a grid, and of its gradients."""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.operand import Operand
from pycnn.define.operation import Gradient, Operation
from pycnn.define.validate import boolean, check_shape, choice
from pycnn.define.views import View
from pycnn.plan import grid_sample as plans
from pycnn.plan.grid_sample import MODES, PADDINGS, Sampling
from pycnn.reference.cpu import grid_sample as cpu
from pycnn.runtime.plan import Plan

Ints = tuple[int, ...]

OPERANDS = (
    Operand("x", "(N, C, H, W) or (N, C, D, H, W)", (4, 5)),
    Operand("grid", "(N, P, Q, 2) or (N, O, P, Q, 3)", (4, 5)),
)


def _sampling(x: Ints, grid: Ints, args: Arguments) -> Sampling:
    """The settings, checked against the shapes."""
    extents = x[2:]
    choice("mode", args.mode, MODES if len(x) == 4 else MODES[:2])
    choice("padding_mode", args.padding_mode, PADDINGS)
    corners = args.align_corners is not None and boolean("align_corners", args.align_corners)
    if not 1 <= min(extents) <= max(extents) < 2**31:
        raise ValueError(f"x has shape {x}; allowed: spatial extents from 1 to 2147483647")
    if len(grid) != len(x) or grid[0] != x[0] or grid[-1] != len(extents):
        raise ValueError(
            f"grid has shape {grid} and x {x}; allowed: as many axes, the same N, and "
            f"{len(extents)} coordinates on the last axis"
        )
    return Sampling(args.mode, args.padding_mode, corners, extents)


class GridSample(Operation):
    """x at the points of a grid, by the nearest element, by linear or by cubic interpolation."""

    name = "grid_sample"
    family = "resize"
    bound = "latency"  # points are anywhere, each with parts of sectors of its own
    operands = OPERANDS

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        x, grid = views["x"].shape, views["grid"].shape
        sampling = _sampling(x, grid, args)
        return sampling, {"y": ((*x[:2], *grid[1:-1]), None)}

    def plan(self, call: Call) -> Plan:
        return plans.grid_sample(call.settings, call.views, call.outputs["y"].shape)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        return {"y": cpu.grid_sample(arrays["x"], arrays["grid"], call.settings)}

    def flops(self, call: Call) -> int:
        return int(2 * call.settings.taps * prod(call.outputs["y"].shape))


GRID_SAMPLE = GridSample()


class GridSampleBackward(Gradient):
    """dy given back to the elements it was made from; and how y moves with every coordinate."""

    name = "grid_sample_backward"
    family = "resize"
    bound = "latency"
    forward = GRID_SAMPLE
    operands = (Operand("dy", "(N, C, P, Q) or (N, C, O, P, Q)", (4, 5)), *OPERANDS)

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        x, grid = views["x"].shape, views["grid"].shape
        sampling = _sampling(x, grid, args)
        expected = (*x[:2], *grid[1:-1])
        check_shape("dy", views["dy"].shape, expected, "that of the result")
        return sampling, {"dx": (x, None), "dgrid": (grid, None)}

    def plan(self, call: Call) -> Plan:
        return plans.grid_sample_backward(call.settings, call.views)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        operands = arrays["dy"], arrays["x"], arrays["grid"]
        dx, dgrid = cpu.grid_sample_backward(*operands, call.settings)
        return {"dx": dx, "dgrid": dgrid}

    def flops(self, call: Call) -> int:
        s: Sampling = call.settings
        return (2 + 2 * len(s.extents)) * s.taps * prod(call.views["dy"].shape)


GRID_SAMPLE_BACKWARD = GridSampleBackward()

DEFINITIONS = (GRID_SAMPLE, GRID_SAMPLE_BACKWARD)
