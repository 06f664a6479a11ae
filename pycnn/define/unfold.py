"""Definitions of unfold and fold, each the gradient of the other."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.operand import Operand
from pycnn.define.operation import Operation
from pycnn.define.validate import pair
from pycnn.define.views import View
from pycnn.dtypes import MOVABLE
from pycnn.plan import unfold as plans
from pycnn.plan.unfold import Window
from pycnn.reference.cpu import unfold as cpu
from pycnn.runtime.plan import Plan


@dataclass(frozen=True)
class UnfoldSettings:
    """The window, and the extents it slides over: (N, C, H, W)."""

    window: Window
    extents: tuple[int, ...]


def _window(kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Window:
    return Window(
        pair("kernel_size", kernel_size, 1),
        pair("dilation", dilation, 1),
        pair("padding", padding, 0),
        pair("stride", stride, 1),
    )


def _count(window: Window, extents: tuple[int, ...]) -> int:
    """Number of windows, at least one."""
    p, q = window.positions((extents[2], extents[3]))
    if p < 1 or q < 1:
        raise ValueError(
            f"kernel_size={window.kernel} with dilation={window.dilation}; allowed: what fits in "
            f"{extents[2]}x{extents[3]} with padding={window.padding}"
        )
    return p * q


class Unfold(Operation):
    """Every sliding window as a column."""

    name = "unfold"
    family = "movement"
    operands = (Operand("x", "(N, C, H, W) or (C, H, W)", (4, 3)),)
    dtypes = MOVABLE
    no_gradient = "fold is its gradient"

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        x = views["x"]
        extents = x.with_rank(4).shape
        window = _window(args.kernel_size, args.dilation, args.padding, args.stride)
        n, c, *_ = extents
        columns = (c * prod(window.kernel), _count(window, extents))
        shape = columns if x.rank == 3 else (n, *columns)
        return UnfoldSettings(window, extents), {"y": (shape, None)}

    def plan(self, call: Call) -> Plan:
        x = call.views["x"].with_rank(4)
        return plans.unfold(x, call.outputs["y"].shape, call.settings.window)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        s: UnfoldSettings = call.settings
        return {"y": cpu.unfold(arrays["x"].reshape(s.extents), s.window)}

    def flops(self, call: Call) -> int:
        return 0


UNFOLD = Unfold()


class Fold(Operation):
    """Columns as sliding windows, summed where they overlap."""

    name = "fold"
    family = "movement"
    operands = (Operand("x", "(N, C R S, L) or (C R S, L)", (3, 2)),)
    no_gradient = "unfold is its gradient"

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        x = views["x"]
        n, rows, columns = x.with_rank(3).shape
        window = _window(args.kernel_size, args.dilation, args.padding, args.stride)
        taps = prod(window.kernel)
        if rows % taps:
            raise ValueError(
                f"x has shape {x.shape}; allowed: a multiple of {taps}, the elements of a window, "
                f"in its axis {x.rank - 2}"
            )
        extents = (n, rows // taps, *pair("output_size", args.output_size, 1))
        expected = _count(window, extents)
        if columns != expected:
            raise ValueError(
                f"x has shape {x.shape}; allowed: {expected} columns, as many as there are windows"
            )
        shape = extents[1:] if x.rank == 2 else extents
        return UnfoldSettings(window, extents), {"y": (shape, None)}

    def plan(self, call: Call) -> Plan:
        s: UnfoldSettings = call.settings
        x = call.views["x"].with_rank(3)
        return plans.fold(x, call.outputs["y"].shape, s.extents, s.window)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        s: UnfoldSettings = call.settings
        x = arrays["x"]
        return {"y": cpu.fold(x.reshape(s.extents[0], *x.shape[-2:]), s.extents, s.window)}

    def flops(self, call: Call) -> int:
        return prod(call.views["x"].shape)


FOLD = Fold()

DEFINITIONS = (UNFOLD, FOLD)
