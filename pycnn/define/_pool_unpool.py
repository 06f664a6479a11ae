"""Definitions of putting maxima back where they came from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pycnn.define import _pool_problem as pooling
from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.conv_layout import LAYOUTS, Layout
from pycnn.define.operand import Operand
from pycnn.define.operation import Gradient, Operation
from pycnn.define.validate import check_shape, integer, paddings, per_axis
from pycnn.define.values import Allowed
from pycnn.define.views import View
from pycnn.plan import pool_unpool as plans
from pycnn.plan.pool_unpool import Unpooling
from pycnn.reference.cpu import pool as cpu
from pycnn.runtime.plan import Plan

Views = Mapping[str, View]
Ints = tuple[int, ...]


@dataclass(frozen=True)
class Problem:
    """Arguments, checked."""

    layout: Layout
    unpooling: Unpooling


class MaxUnpool(Operation):
    """Values where their indices say, zero elsewhere."""

    family = "pool"
    layouts = LAYOUTS

    def __init__(self, axes: int) -> None:
        self.axes = axes
        self.name = f"max_unpool{axes}d"
        text, ranks = pooling.axes_text(axes), (axes + 1, axes + 2)
        self.operands = (Operand("x", text, ranks), Operand("indices", text, ranks, ("int64",)))

    def infer(self, views: Views, args: Arguments) -> Inference:
        shape = views["x"].shape
        check_shape("indices", views["indices"].shape, shape, "the shape of x")
        arrangement = Layout.of(args.layout, self.axes, len(shape))
        images, channels, *small = arrangement.extents(shape)
        kernel = per_axis("kernel_size", args.kernel_size, 1, self.axes)
        step = kernel if args.stride is None else per_axis("stride", args.stride, 1, self.axes)
        sides = paddings(args.padding, self.axes)
        default = tuple(
            (extent - 1) * s + k - low - high
            for extent, s, k, (low, high) in zip(small, step, kernel, sides, strict=True)
        )
        large = default if args.output_size is None else _asked(args.output_size, default, step)
        if min((*small, *large)) < 1:
            raise ValueError(
                f"x has shape {shape} and gives planes of {large}; allowed: extents of at least 1"
            )
        flags = (arrangement.channels_last, arrangement.batched)
        unpooling = Unpooling(images, channels, tuple(small), large, *flags)
        return Problem(arrangement, unpooling), {"y": (unpooling.shape(large), None)}

    def allowed(self, call: Call) -> dict[str, Allowed]:
        return {"indices": pooling.places(call.settings.unpooling.large)}

    def plan(self, call: Call) -> Plan:
        p: Problem = call.settings
        x, indices = (pooling.strides(p.layout, call.views[name]) for name in ("x", "indices"))
        return plans.max_unpool(self.name, p.unpooling, x, indices, call.dtype)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        p: Problem = call.settings
        x, indices = (p.layout.channels_first(a) for a in arrays.values())
        if out is None:
            out = np.empty(call.outputs["y"].shape, x.dtype)
        cpu.max_unpool(x, indices, p.unpooling.large, p.layout.channels_first(out))
        return {"y": out}

    def flops(self, call: Call) -> int:
        return 0


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

    def infer(self, views: Views, args: Arguments) -> Inference:
        dy, indices = views["dy"], views["indices"]
        arrangement = Layout.of(args.layout, self.axes, dy.rank)
        images, channels, *large = arrangement.extents(dy.shape)
        if indices.rank != dy.rank:
            raise ValueError(f"indices has shape {indices.shape}; allowed: {dy.rank} axes, as dy")
        extents = arrangement.extents(indices.shape)
        if extents[:2] != (images, channels) or 0 in (*large, *extents[2:]):
            raise ValueError(
                f"indices has shape {indices.shape} and dy {dy.shape}; allowed: the same N and C, "
                "and extents of at least 1"
            )
        flags = (arrangement.channels_last, arrangement.batched)
        unpooling = Unpooling(images, channels, extents[2:], tuple(large), *flags)
        return Problem(arrangement, unpooling), {"dx": (indices.shape, None)}

    def allowed(self, call: Call) -> dict[str, Allowed]:
        return {"indices": pooling.places(call.settings.unpooling.large)}

    def plan(self, call: Call) -> Plan:
        p: Problem = call.settings
        dy, indices = (pooling.strides(p.layout, call.views[name]) for name in ("dy", "indices"))
        return plans.max_unpool_backward(self.name, p.unpooling, dy, indices, call.dtype)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        p: Problem = call.settings
        dx = cpu.max_unpool_backward(*(p.layout.channels_first(a) for a in arrays.values()))
        return {"dx": np.ascontiguousarray(p.layout.from_channels_first(dx))}

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
