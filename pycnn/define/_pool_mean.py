"""Definitions of average and sum pooling: over sliding windows, adaptive ones and everything."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pycnn.define import _pool_problem as pooling
from pycnn.define._pool_problem import Problem
from pycnn.define.call import Arguments, Call, Inferred
from pycnn.define.conv_layout import LAYOUTS
from pycnn.define.operand import Operand
from pycnn.define.operation import Gradient, Operation
from pycnn.define.validate import boolean, integer
from pycnn.define.views import View
from pycnn.plan import pool as plans
from pycnn.plan.pool import Average
from pycnn.plan.pool_global import global_pool
from pycnn.reference.cpu import pool as cpu
from pycnn.runtime.plan import Plan

Views = Mapping[str, View]


def cpu_divisor(problem: Problem) -> np.ndarray:
    """What the sum of each window of a plane is divided by, as the CPU path counts it."""
    average = problem.average
    if average.divisor:
        return np.full([a.windows for a in problem.pooling.axes], average.divisor)
    return cpu.divisors(problem.cpu_axes(), average.count_include_pad)


class Mean(Operation):
    """The sum of every window over its divisor."""

    family = "pool"
    layouts = LAYOUTS

    def __init__(self, axes: int) -> None:
        self.axes = axes
        self.operands = (pooling.operand_x(axes),)

    def inferred(self, problem: Problem) -> Inferred:
        """What `infer` returns."""
        return Inferred(problem, {"y": (problem.shape(of_x=False), None)})

    def plan(self, call: Call) -> Plan:
        p: Problem = call.settings
        strides = p.strides(call.views["x"])
        if p.pooling.is_global:
            return global_pool(self.name, "avg", p.pooling, strides, call.dtype)
        return plans.avg_pool(self.name, p.pooling, strides, call.dtype, p.average)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        p: Problem = call.settings
        out, into = p.first(call, out, arrays["x"].dtype)
        x = p.layout.channels_first(arrays["x"])
        cpu.avg_pool(x, p.cpu_axes(), cpu_divisor(p), out=into)
        return {"y": out}

    def flops(self, call: Call) -> int:
        """One addition for each element of each window."""
        return call.settings.pooling.windows * call.settings.pooling.taps


class MeanGradient(Gradient):
    """Every dy, divided as in forward, to its whole window."""

    family = "pool"
    layouts = LAYOUTS

    def __init__(self, forward: Mean) -> None:
        self.forward = forward
        self.axes = forward.axes
        self.name = f"{forward.name}_backward"
        x = forward.operands[0]
        self.operands = (Operand("dy", x.axes, x.ranks),)

    def inferred(self, problem: Problem, views: Views) -> Inferred:
        """What `infer` returns."""
        pooling.check_gradient(problem, views)
        return Inferred(problem, {"dx": (problem.shape(of_x=True), None)})

    def plan(self, call: Call) -> Plan:
        p: Problem = call.settings
        dy = p.strides(call.views["dy"])
        return plans.avg_pool_backward(self.name, p.pooling, dy, call.dtype, p.average)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        p: Problem = call.settings
        out, into = p.first(call, out, arrays["dy"].dtype)
        dy = p.layout.channels_first(arrays["dy"])
        into[...] = cpu.avg_pool_backward(dy, p.x_shape, p.cpu_axes(), cpu_divisor(p))
        return {"dx": out}

    def flops(self, call: Call) -> int:
        return call.settings.pooling.windows * call.settings.pooling.taps


#: PyTorch's function for one axis has no such argument, and neither has ours.
NO_DIVISOR = {"divisor_override": None}


class AvgPool(Mean):
    """The mean over sliding windows."""

    def __init__(self, axes: int) -> None:
        super().__init__(axes)
        self.name = f"avg_pool{axes}d"
        self.fixed = NO_DIVISOR if axes == 1 else {}

    def infer(self, views: Views, args: Arguments) -> Inferred:
        windows = pooling.sliding("x", views["x"].shape, self.axes, args)
        return self.inferred(
            Problem(*windows, average(args.count_include_pad, args.divisor_override))
        )


class AvgPoolBackward(MeanGradient):
    """Gradient of `AvgPool`."""

    def __init__(self, forward: Mean) -> None:
        super().__init__(forward)
        self.fixed = forward.fixed

    def infer(self, views: Views, args: Arguments) -> Inferred:
        shape = pooling.shape_of_x(args.x_shape, self.axes)
        windows = pooling.sliding("x_shape", shape, self.axes, args)
        return self.inferred(
            Problem(*windows, average(args.count_include_pad, args.divisor_override)), views
        )


class SumPool(Mean):
    """The sum over sliding windows."""

    def __init__(self, axes: int) -> None:
        super().__init__(axes)
        self.name = f"sum_pool{axes}d"

    def infer(self, views: Views, args: Arguments) -> Inferred:
        windows = pooling.sliding("x", views["x"].shape, self.axes, args)
        return self.inferred(Problem(*windows, Average(True, 1)))


class SumPoolBackward(MeanGradient):
    """Gradient of `SumPool`."""

    def infer(self, views: Views, args: Arguments) -> Inferred:
        shape = pooling.shape_of_x(args.x_shape, self.axes)
        windows = pooling.sliding("x_shape", shape, self.axes, args)
        return self.inferred(Problem(*windows, Average(True, 1)), views)


class AdaptiveAvgPool(Mean):
    """The mean over as many windows as asked for."""

    def __init__(self, axes: int) -> None:
        super().__init__(axes)
        self.name = f"adaptive_avg_pool{axes}d"

    def infer(self, views: Views, args: Arguments) -> Inferred:
        windows = pooling.adaptive("x", views["x"].shape, self.axes, args.layout, args.output_size)
        return self.inferred(Problem(*windows))


class AdaptiveAvgPoolBackward(MeanGradient):
    """Gradient of `AdaptiveAvgPool`."""

    def infer(self, views: Views, args: Arguments) -> Inferred:
        shape = pooling.shape_of_x(args.x_shape, self.axes)
        size = pooling.output_size(views["dy"], len(shape), self.axes, args.layout)
        windows = pooling.adaptive("x_shape", shape, self.axes, args.layout, size)
        return self.inferred(Problem(*windows), views)


class GlobalAvgPool(Mean):
    """The mean over all spatial axes, however many."""

    name = "global_avg_pool"

    def __init__(self) -> None:
        super().__init__(0)

    def infer(self, views: Views, args: Arguments) -> Inferred:
        shape = views["x"].shape
        return self.inferred(Problem(*pooling.adaptive("x", shape, len(shape) - 2, args.layout, 1)))


class GlobalAvgPoolBackward(MeanGradient):
    """Gradient of `GlobalAvgPool`."""

    def infer(self, views: Views, args: Arguments) -> Inferred:
        shape = pooling.global_shape(args.x_shape)
        windows = pooling.adaptive("x_shape", shape, len(shape) - 2, args.layout, 1)
        return self.inferred(Problem(*windows), views)


def average(count_include_pad: Any, divisor_override: Any) -> Average:
    """What a sum is divided by, from the arguments."""
    divisor = 0 if divisor_override is None else integer("divisor_override", divisor_override, 1)
    return Average(boolean("count_include_pad", count_include_pad), divisor)


AVG_POOL: dict[int, AvgPool] = {axes: AvgPool(axes) for axes in (1, 2, 3)}
AVG_POOL_BACKWARD: dict[int, AvgPoolBackward] = {
    axes: AvgPoolBackward(op) for axes, op in AVG_POOL.items()
}
SUM_POOL: dict[int, SumPool] = {axes: SumPool(axes) for axes in (1, 2, 3)}
SUM_POOL_BACKWARD: dict[int, SumPoolBackward] = {
    axes: SumPoolBackward(op) for axes, op in SUM_POOL.items()
}
ADAPTIVE_AVG_POOL: dict[int, AdaptiveAvgPool] = {axes: AdaptiveAvgPool(axes) for axes in (1, 2, 3)}
ADAPTIVE_AVG_POOL_BACKWARD: dict[int, AdaptiveAvgPoolBackward] = {
    axes: AdaptiveAvgPoolBackward(op) for axes, op in ADAPTIVE_AVG_POOL.items()
}
GLOBAL_AVG_POOL: GlobalAvgPool = GlobalAvgPool()
GLOBAL_AVG_POOL_BACKWARD: GlobalAvgPoolBackward = GlobalAvgPoolBackward(GLOBAL_AVG_POOL)
