"""Definitions of unfold and fold, each the gradient of the other."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from pycnn.define.call import Call, Inferred
from pycnn.define.case import Case
from pycnn.define.operand import Operand
from pycnn.define.operation import Operation
from pycnn.define.validate import pair
from pycnn.define.views import View
from pycnn.dtypes import MOVABLE
from pycnn.plan import unfold as plans
from pycnn.plan.unfold import Window
from pycnn.reference.cpu import unfold as cpu
from pycnn.reference.oracle import unfold as oracle
from pycnn.runtime.plan import Plan

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {"kernel_size": 2},
    "all different": {
        "kernel_size": (3, 2),
        "dilation": (1, 2),
        "padding": (2, 1),
        "stride": (2, 1),
    },
    "dilated": {"kernel_size": 3, "dilation": 2, "padding": 2},
    "far apart": {"kernel_size": (1, 2), "stride": (3, 4)},
    "one image": {"kernel_size": (2, 3), "padding": (0, 1)},
    "large window": {"kernel_size": (9, 8), "padding": (4, 3)},
    "empty": {"kernel_size": 2},
    "vgg layer": {"kernel_size": 3, "padding": 1},
}
EXTENTS = {
    "plain": (2, 3, 5, 7),
    "all different": (2, 3, 9, 7),
    "dilated": (1, 2, 7, 9),
    "far apart": (2, 1, 8, 11),
    "one image": (3, 5, 7),
    "large window": (1, 1, 4, 6),
    "empty": (0, 3, 5, 7),
    "vgg layer": (1, 8, 28, 28),
}


def _unfolded(name: str) -> tuple[int, ...]:
    """Shape of the columns of a case."""
    view = View(EXTENTS[name], (), "float32")
    shape: tuple[int, ...] = UNFOLD.infer({"x": view}, **SETTINGS[name]).outputs["y"][0]
    return shape


@dataclass(frozen=True)
class UnfoldSettings:
    """The window, and the extents it slides over: (N, C, H, W)."""

    window: Window
    extents: tuple[int, ...]

    @property
    def arguments(self) -> tuple[tuple[int, int], ...]:
        """Kernel, dilation, padding and stride, as the oracle takes them."""
        w = self.window
        return w.kernel, w.dilation, w.padding, w.stride


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
    cases = tuple(
        Case(name, {"x": EXTENTS[name]}, settings, standard=name == "vgg layer")
        for name, settings in SETTINGS.items()
    )

    def infer(
        self,
        views: Mapping[str, View],
        *,
        kernel_size: Any,
        dilation: Any = 1,
        padding: Any = 0,
        stride: Any = 1,
    ) -> Inferred:
        x = views["x"]
        extents = x.with_rank(4).shape
        window = _window(kernel_size, dilation, padding, stride)
        n, c, *_ = extents
        columns = (c * prod(window.kernel), _count(window, extents))
        shape = columns if x.rank == 3 else (n, *columns)
        return Inferred(UnfoldSettings(window, extents), {"y": (shape, None)})

    def plan(self, call: Call) -> Plan:
        x = call.views["x"].with_rank(4)
        return plans.unfold(x, call.outputs["y"].shape, call.settings.window)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        s: UnfoldSettings = call.settings
        return {"y": cpu.unfold(arrays["x"].reshape(s.extents), s.window)}

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        s: UnfoldSettings = call.settings
        y = oracle.unfold(arrays["x"].reshape(s.extents), *s.arguments)
        return {"y": y.reshape(call.outputs["y"].shape)}

    def flops(self, call: Call) -> int:
        return 0


UNFOLD = Unfold()


class Fold(Operation):
    """Columns as sliding windows, summed where they overlap."""

    name = "fold"
    family = "movement"
    operands = (Operand("x", "(N, C R S, L) or (C R S, L)", (3, 2)),)
    no_gradient = "unfold is its gradient"
    cases = tuple(
        Case(
            name,
            {"x": _unfolded(name)},
            {"output_size": EXTENTS[name][-2:], **settings},
            standard=name == "vgg layer",
        )
        for name, settings in SETTINGS.items()
    )

    def infer(
        self,
        views: Mapping[str, View],
        *,
        output_size: Any,
        kernel_size: Any,
        dilation: Any = 1,
        padding: Any = 0,
        stride: Any = 1,
    ) -> Inferred:
        x = views["x"]
        n, rows, columns = x.with_rank(3).shape
        window = _window(kernel_size, dilation, padding, stride)
        taps = prod(window.kernel)
        if rows % taps:
            raise ValueError(
                f"x has shape {x.shape}; allowed: a multiple of {taps}, the elements of a window, "
                f"in its axis {x.rank - 2}"
            )
        extents = (n, rows // taps, *pair("output_size", output_size, 1))
        expected = _count(window, extents)
        if columns != expected:
            raise ValueError(
                f"x has shape {x.shape}; allowed: {expected} columns, as many as there are windows"
            )
        shape = extents[1:] if x.rank == 2 else extents
        return Inferred(UnfoldSettings(window, extents), {"y": (shape, None)})

    def plan(self, call: Call) -> Plan:
        s: UnfoldSettings = call.settings
        x = call.views["x"].with_rank(3)
        return plans.fold(x, call.outputs["y"].shape, s.extents, s.window)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        s: UnfoldSettings = call.settings
        x = arrays["x"]
        return {"y": cpu.fold(x.reshape(s.extents[0], *x.shape[-2:]), s.extents, s.window)}

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        s: UnfoldSettings = call.settings
        x = arrays["x"].reshape(s.extents[0], *arrays["x"].shape[-2:])
        y = oracle.fold(x, (s.extents[2], s.extents[3]), *s.arguments)
        return {"y": y.reshape(call.outputs["y"].shape)}

    def flops(self, call: Call) -> int:
        return prod(call.views["x"].shape)

    def terms(self, call: Call) -> int:
        return prod(call.settings.window.kernel)


FOLD = Fold()

DEFINITIONS = (UNFOLD, FOLD)
