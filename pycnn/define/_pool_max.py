"""Definitions of max pooling: over sliding windows, adaptive ones and everything."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pycnn.define import _pool_problem as pooling
from pycnn.define._pool_problem import Problem
from pycnn.define.call import Arguments, Call, Inferred
from pycnn.define.conv_layout import LAYOUTS
from pycnn.define.operand import Operand
from pycnn.define.operation import Gradient, Operation
from pycnn.define.validate import boolean
from pycnn.define.values import Allowed
from pycnn.define.views import View
from pycnn.plan import pool as plans
from pycnn.plan.pool_global import global_pool
from pycnn.reference.cpu import pool as cpu
from pycnn.runtime.plan import Plan

Views = Mapping[str, View]


class Max(Operation):
    """The maximum of every window, and where it is."""

    family = "pool"
    layouts = LAYOUTS

    def __init__(self, axes: int) -> None:
        self.axes = axes
        self.operands = (pooling.operand_x(axes),)

    def inferred(self, problem: Problem, return_indices: Any) -> Inferred:
        """What `infer` returns."""
        indices = boolean("return_indices", return_indices)
        shape = problem.shape(of_x=False)
        outputs: dict[str, tuple[tuple[int, ...], str | None]] = {"y": (shape, None)}
        if indices:
            outputs["indices"] = (shape, "int64")
        return Inferred(replace(problem, indices=indices), outputs)

    def plan(self, call: Call) -> Plan:
        p: Problem = call.settings
        strides = p.strides(call.views["x"])
        if p.pooling.is_global:
            return global_pool(self.name, "max", p.pooling, strides, call.dtype, p.indices)
        return plans.max_pool(self.name, p.pooling, strides, call.dtype, p.indices)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        p: Problem = call.settings
        out, into = p.first(call, out, arrays["x"].dtype)
        x = p.layout.channels_first(arrays["x"])
        _, indices = cpu.max_pool(x, p.cpu_axes(), with_indices=p.indices, out=into)
        if indices is None:
            return {"y": out}
        return {"y": out, "indices": np.ascontiguousarray(p.layout.from_channels_first(indices))}

    def flops(self, call: Call) -> int:
        """One comparison for each element of each window."""
        return call.settings.pooling.windows * call.settings.pooling.taps


class MaxGradient(Gradient):
    """Every dy to where its maximum came from."""

    family = "pool"
    layouts = LAYOUTS

    def __init__(self, forward: Max) -> None:
        self.forward = forward
        self.axes = forward.axes
        self.name = f"{forward.name}_backward"
        x = forward.operands[0]
        self.operands = (
            Operand("dy", x.axes, x.ranks),
            Operand("indices", x.axes, x.ranks, ("int64",)),
        )

    def inferred(self, problem: Problem, views: Views) -> Inferred:
        """What `infer` returns."""
        pooling.check_gradient(problem, views)
        return Inferred(problem, {"dx": (problem.shape(of_x=True), None)})

    def allowed(self, call: Call) -> dict[str, Allowed]:
        return {"indices": pooling.places(call.settings.x_shape[2:])}

    def plan(self, call: Call) -> Plan:
        p: Problem = call.settings
        dy, indices = (p.strides(call.views[name]) for name in ("dy", "indices"))
        return plans.max_pool_backward(self.name, p.pooling, dy, indices, call.dtype)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        p: Problem = call.settings
        out, into = p.first(call, out, arrays["dy"].dtype)
        dy, indices = p.channels_first(arrays)
        into[...] = cpu.max_pool_backward(dy, indices, p.x_shape)
        return {"dx": out}

    def flops(self, call: Call) -> int:
        """One comparison for each element of each window, as forward."""
        return call.settings.pooling.windows * call.settings.pooling.taps


class MaxPool(Max):
    """Over sliding windows."""

    def __init__(self, axes: int) -> None:
        super().__init__(axes)
        self.name = f"max_pool{axes}d"

    def infer(self, views: Views, args: Arguments) -> Inferred:
        problem = Problem(*pooling.sliding("x", views["x"].shape, self.axes, args))
        return self.inferred(problem, args.return_indices)


class MaxPoolBackward(MaxGradient):
    """Gradient of `MaxPool`."""

    def infer(self, views: Views, args: Arguments) -> Inferred:
        shape = pooling.shape_of_x(args.x_shape, self.axes)
        return self.inferred(Problem(*pooling.sliding("x_shape", shape, self.axes, args)), views)


class AdaptiveMaxPool(Max):
    """Over as many windows as asked for."""

    def __init__(self, axes: int) -> None:
        super().__init__(axes)
        self.name = f"adaptive_max_pool{axes}d"

    def infer(self, views: Views, args: Arguments) -> Inferred:
        windows = pooling.adaptive("x", views["x"].shape, self.axes, args.layout, args.output_size)
        return self.inferred(Problem(*windows), args.return_indices)


class AdaptiveMaxPoolBackward(MaxGradient):
    """Gradient of `AdaptiveMaxPool`."""

    def infer(self, views: Views, args: Arguments) -> Inferred:
        shape = pooling.shape_of_x(args.x_shape, self.axes)
        size = pooling.output_size(views["dy"], len(shape), self.axes, args.layout)
        windows = pooling.adaptive("x_shape", shape, self.axes, args.layout, size)
        return self.inferred(Problem(*windows), views)


class GlobalMaxPool(Max):
    """Over all spatial axes, however many."""

    name = "global_max_pool"

    def __init__(self) -> None:
        super().__init__(0)

    def infer(self, views: Views, args: Arguments) -> Inferred:
        shape = views["x"].shape
        windows = pooling.adaptive("x", shape, len(shape) - 2, args.layout, 1)
        return self.inferred(Problem(*windows), args.return_indices)


class GlobalMaxPoolBackward(MaxGradient):
    """Gradient of `GlobalMaxPool`."""

    def infer(self, views: Views, args: Arguments) -> Inferred:
        shape = pooling.global_shape(args.x_shape)
        windows = pooling.adaptive("x_shape", shape, len(shape) - 2, args.layout, 1)
        return self.inferred(Problem(*windows), views)


MAX_POOL: dict[int, MaxPool] = {axes: MaxPool(axes) for axes in (1, 2, 3)}
MAX_POOL_BACKWARD: dict[int, MaxPoolBackward] = {
    axes: MaxPoolBackward(op) for axes, op in MAX_POOL.items()
}
ADAPTIVE_MAX_POOL: dict[int, AdaptiveMaxPool] = {axes: AdaptiveMaxPool(axes) for axes in (1, 2, 3)}
ADAPTIVE_MAX_POOL_BACKWARD: dict[int, AdaptiveMaxPoolBackward] = {
    axes: AdaptiveMaxPoolBackward(op) for axes, op in ADAPTIVE_MAX_POOL.items()
}
GLOBAL_MAX_POOL: GlobalMaxPool = GlobalMaxPool()
GLOBAL_MAX_POOL_BACKWARD: GlobalMaxPoolBackward = GlobalMaxPoolBackward(GLOBAL_MAX_POOL)
