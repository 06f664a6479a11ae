"""Definitions of putting maxima back where they came from."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from pycnn.define import _pool_problem as given
from pycnn.define._pool_cases import channels_last
from pycnn.define.call import Call, Inferred
from pycnn.define.case import Case
from pycnn.define.conv_layout import LAYOUTS, Layout
from pycnn.define.operand import Operand
from pycnn.define.operation import Arrays, Gradient, Operation, normal
from pycnn.define.validate import check_shape, integer
from pycnn.define.values import Allowed
from pycnn.define.views import View
from pycnn.plan import pool_unpool as plans
from pycnn.plan.pool_unpool import Unpooling
from pycnn.reference.cpu import pool as cpu
from pycnn.reference.oracle import pool as oracle
from pycnn.runtime.plan import Plan

Views = Mapping[str, View]
Ints = tuple[int, ...]


@dataclass(frozen=True)
class Problem:
    """Arguments, checked."""

    layout: Layout
    unpooling: Unpooling


def _cases(axes: int) -> tuple[Case, ...]:
    small = {1: (2, 3, 7), 2: (2, 3, 5, 4), 3: (2, 3, 2, 3, 4)}[axes]
    layer = {1: (2, 32, 512), 2: (1, 32, 28, 28), 3: (1, 8, 4, 14, 14)}[axes]
    odd = tuple(2 * extent + 1 for extent in small[2:])

    def case(name: str, shape: Ints, standard: bool = False, **settings: Any) -> Case:
        if settings.get("layout") == "NHWC":
            shape = channels_last(shape)
        return Case(name, {"x": shape, "indices": shape}, settings, standard)

    found = [
        case("halves", small, kernel_size=2),
        case("overlap", small, kernel_size=3, stride=2, padding=1),
        case("output size", small, kernel_size=2, output_size=odd),
        case("channels last", (2, 37, *small[2:]), kernel_size=2, layout="NHWC"),
    ]
    if axes == 2:  # what has nothing to do with the number of axes
        found.append(case("unbatched", small[1:], kernel_size=2))
        found.append(case("empty", (0, *small[1:]), kernel_size=2))
    return (*found, case("layer", layer, True, kernel_size=2))


class MaxUnpool(Operation):
    """Values where their indices say, zero elsewhere."""

    family = "pool"
    layouts = LAYOUTS

    def __init__(self, axes: int) -> None:
        self.axes = axes
        self.name = f"max_unpool{axes}d"
        text, ranks = given.axes_text(axes), (axes + 1, axes + 2)
        self.operands = (Operand("x", text, ranks), Operand("indices", text, ranks, ("int64",)))
        self.cases = _cases(axes)

    def infer(
        self,
        views: Views,
        *,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        output_size: Any = None,
        layout: Any = "NCHW",
    ) -> Inferred:
        shape = views["x"].shape
        check_shape("indices", views["indices"].shape, shape, "the shape of x")
        arrangement = Layout.of(layout, self.axes, len(shape))
        images, channels, *small = arrangement.extents(shape)
        kernel = given.extents("kernel_size", kernel_size, 1, self.axes)
        step = kernel if stride is None else given.extents("stride", stride, 1, self.axes)
        sides = given.paddings(padding, self.axes)
        default = tuple(
            (extent - 1) * s + k - low - high
            for extent, s, k, (low, high) in zip(small, step, kernel, sides, strict=True)
        )
        large = default if output_size is None else _asked(output_size, default, step)
        if min((*small, *large)) < 1:
            raise ValueError(
                f"x has shape {shape} and gives planes of {large}; allowed: extents of at least 1"
            )
        flags = (arrangement.channels_last, arrangement.batched)
        unpooling = Unpooling(images, channels, tuple(small), large, *flags)
        return Inferred(Problem(arrangement, unpooling), {"y": (unpooling.shape(large), None)})

    def allowed(self, call: Call) -> dict[str, Allowed]:
        return {"indices": given.places(call.settings.unpooling.large)}

    def plan(self, call: Call) -> Plan:
        p: Problem = call.settings
        x, indices = (given.strides(p.layout, call.views[name]) for name in ("x", "indices"))
        return plans.max_unpool(self.name, p.unpooling, x, indices, call.dtype)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        p: Problem = call.settings
        x, indices = (p.layout.channels_first(a) for a in arrays.values())
        if out is None:
            out = np.empty(call.outputs["y"].shape, x.dtype)
        cpu.max_unpool(x, indices, p.unpooling.large, p.layout.channels_first(out))
        return {"y": out}

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        p: Problem = call.settings
        x, indices = (p.layout.channels_first(a) for a in arrays.values())
        return {"y": p.layout.as_given(oracle.max_unpool(x, indices, p.unpooling.large))}

    def flops(self, call: Call) -> int:
        return 0

    def draw(self, case: Case, rng: np.random.Generator, dtype: str) -> dict[str, np.ndarray]:
        """Indices of which no two in a plane are the same."""
        x = normal(rng, case.shapes["x"], dtype)
        placeholder = np.zeros(x.shape, np.int64)
        call = self.describe({"x": x, "indices": placeholder}, **self.settings(case))
        p: Problem = call.settings
        indices = p.layout.channels_first(placeholder)
        for plane in np.ndindex(indices.shape[:2]):
            places = rng.choice(prod(p.unpooling.large), prod(p.unpooling.small), replace=False)
            ordered = np.sort(places) if case.standard else places
            indices[plane] = ordered.reshape(p.unpooling.small)
        return {"x": x, "indices": placeholder}

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        x, indices = (given.to_torch(t, self.axes, settings) for t in tensors.values())
        function = getattr(torch.nn.functional, self.name)
        y = function(x, indices, **given.torch_settings(settings, self.axes))
        return {"y": given.from_torch(y, self.axes, settings)}


class MaxUnpoolBackward(Gradient):
    """dy where the indices say."""

    family = "pool"
    layouts = LAYOUTS

    def __init__(self, forward: MaxUnpool) -> None:
        self.forward = forward
        self.axes = forward.axes
        self.name = f"{forward.name}_backward"
        x, indices = forward.operands
        self.operands = (Operand("dy", x.axes, x.ranks), indices)

    def settings(self, case: Case) -> dict[str, Any]:
        return {name: value for name, value in case.settings.items() if name == "layout"}

    def infer(self, views: Views, *, layout: Any = "NCHW") -> Inferred:
        dy, indices = views["dy"], views["indices"]
        arrangement = Layout.of(layout, self.axes, dy.rank)
        images, channels, *large = arrangement.extents(dy.shape)
        if indices.rank != dy.rank:
            raise ValueError(f"indices has shape {indices.shape}; allowed: {dy.rank} axes, as dy")
        found = arrangement.extents(indices.shape)
        if found[:2] != (images, channels) or 0 in (*large, *found[2:]):
            raise ValueError(
                f"indices has shape {indices.shape} and dy {dy.shape}; allowed: the same N and C, "
                "and extents of at least 1"
            )
        flags = (arrangement.channels_last, arrangement.batched)
        unpooling = Unpooling(images, channels, found[2:], tuple(large), *flags)
        return Inferred(Problem(arrangement, unpooling), {"dx": (indices.shape, None)})

    def allowed(self, call: Call) -> dict[str, Allowed]:
        return {"indices": given.places(call.settings.unpooling.large)}

    def plan(self, call: Call) -> Plan:
        p: Problem = call.settings
        dy, indices = (given.strides(p.layout, call.views[name]) for name in ("dy", "indices"))
        return plans.max_unpool_backward(self.name, p.unpooling, dy, indices, call.dtype)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        p: Problem = call.settings
        dx = cpu.max_unpool_backward(*(p.layout.channels_first(a) for a in arrays.values()))
        return {"dx": np.ascontiguousarray(p.layout.as_given(dx))}

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        p: Problem = call.settings
        dx = oracle.max_unpool_backward(*(p.layout.channels_first(a) for a in arrays.values()))
        return {"dx": p.layout.as_given(dx)}

    def flops(self, call: Call) -> int:
        return 0


def _asked(output_size: Any, default: Ints, step: Ints) -> Ints:
    """The spatial extents of the argument, which may be less than a step from the default."""
    if not isinstance(output_size, (tuple, list)):
        raise TypeError(f"output_size={output_size!r}; allowed: a sequence of int")
    size = tuple(integer("output_size", extent, 1) for extent in output_size)[-len(default) :]
    low = tuple(extent - s for extent, s in zip(default, step, strict=True))
    high = tuple(extent + s for extent, s in zip(default, step, strict=True))
    if len(size) != len(default) or not all(
        a < extent < b for a, extent, b in zip(low, size, high, strict=True)
    ):
        raise ValueError(
            f"output_size={output_size!r}; allowed: {len(default)} extents between {low} and "
            f"{high}, both excluded"
        )
    return size


MAX_UNPOOL: dict[int, MaxUnpool] = {axes: MaxUnpool(axes) for axes in (1, 2, 3)}
MAX_UNPOOL_BACKWARD: dict[int, MaxUnpoolBackward] = {
    axes: MaxUnpoolBackward(op) for axes, op in MAX_UNPOOL.items()
}
