"""Definitions of average and sum pooling: over sliding windows, adaptive ones and everything."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pycnn.define import _pool_cases as cases
from pycnn.define import _pool_problem as given
from pycnn.define._pool_problem import Problem
from pycnn.define.call import Call, Inferred
from pycnn.define.case import Case
from pycnn.define.conv_layout import LAYOUTS
from pycnn.define.operand import Operand
from pycnn.define.operation import Arrays, Gradient, Operation
from pycnn.define.validate import boolean, integer, per_axis
from pycnn.define.views import View
from pycnn.plan import pool as plans
from pycnn.plan.pool import Average
from pycnn.plan.pool_global import global_pool
from pycnn.reference.cpu import pool as cpu
from pycnn.reference.oracle import pool as oracle
from pycnn.runtime.plan import Plan

Views = Mapping[str, View]


def cpu_divisor(problem: Problem) -> np.ndarray:
    """What the sum of each window of a plane is divided by, as the CPU path counts it."""
    average = problem.average
    if average.divisor:
        return np.full([a.windows for a in problem.pooling.axes], average.divisor)
    return cpu.divisors(problem.cpu_axes(), average.count_include_pad)


def oracle_divisor(problem: Problem) -> np.ndarray | float:
    """The same by the oracle."""
    average, axes, windows = problem.average, problem.pooling.axes, problem.windows()
    if average.divisor:
        return float(average.divisor)
    if axes[0].kernel == 0:
        return oracle.sizes(windows)
    return oracle.divisors(
        [a.extent for a in axes],
        windows,
        [a.kernel for a in axes],
        [a.stride for a in axes],
        [(a.low, a.high) for a in axes],
        [a.dilation for a in axes],
        average.count_include_pad,
    )


class Mean(Operation):
    """The sum of every window over its divisor."""

    family = "pool"
    layouts = LAYOUTS

    def __init__(self, axes: int) -> None:
        self.axes = axes
        self.operands = (given.operand_x(axes),)

    def found(self, problem: Problem) -> Inferred:
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

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        p: Problem = call.settings
        x = p.layout.channels_first(arrays["x"])
        return {"y": p.layout.as_given(oracle.avg_pool(x, p.windows(), oracle_divisor(p)))}

    def flops(self, call: Call) -> int:
        """One addition for each element of each window."""
        return call.settings.pooling.windows * call.settings.pooling.taps

    def terms(self, call: Call) -> int:
        return call.settings.pooling.taps

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        axes = tensors["x"].dim() - 2 if self.axes == 0 else self.axes
        x = given.to_torch(tensors["x"], axes, settings)
        y = self.peer(x, axes, given.torch_settings(settings, axes, ("dilation",)))
        return {"y": given.from_torch(y, axes, settings)}

    def peer(self, x: Any, axes: int, settings: dict[str, Any]) -> Any:
        """By PyTorch."""
        import torch

        return getattr(torch.nn.functional, self.name)(x, **settings)


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

    def settings(self, case: Case) -> dict[str, Any]:
        rest = {name: value for name, value in case.settings.items() if name != "output_size"}
        return {"x_shape": case.shapes["x"], **rest}

    def found(self, problem: Problem, views: Views) -> Inferred:
        """What `infer` returns."""
        given.check_gradient(problem, views)
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

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        p: Problem = call.settings
        dy = p.layout.channels_first(arrays["dy"])
        dx = oracle.avg_pool_backward(dy, p.x_shape, p.windows(), oracle_divisor(p))
        return {"dx": p.layout.as_given(dx)}

    def flops(self, call: Call) -> int:
        return call.settings.pooling.windows * call.settings.pooling.taps

    def terms(self, call: Call) -> int:
        return min(call.settings.pooling.taps, call.settings.pooling.windows) or 1


class AvgPool(Mean):
    """The mean over sliding windows."""

    def __init__(self, axes: int) -> None:
        super().__init__(axes)
        self.name = f"avg_pool{axes}d"
        padded = {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}
        dilated = {**padded, "padding": 3, "dilation": 2}
        more: dict[str, Any] = {}
        if axes > 1:
            more["divisor"] = {"kernel_size": 2, "padding": 1, "divisor_override": 3}
        self.cases = cases.sliding(
            axes,
            padded=padded,
            padding_not_counted={**padded, "count_include_pad": False},
            dilated=dilated,
            dilated_padding_not_counted={**dilated, "count_include_pad": False},
            asymmetric={"kernel_size": 2, "padding": ((1, 0), (0, 1), (1, 1))[:axes]},
            **more,
        )

    def infer(
        self,
        views: Views,
        *,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: Any = False,
        count_include_pad: Any = True,
        divisor_override: Any = None,
        dilation: Any = 1,
        layout: Any = "NCHW",
    ) -> Inferred:
        window = (layout, kernel_size, stride, padding, dilation, ceil_mode)
        found = given.sliding("x", views["x"].shape, self.axes, *window)
        return self.found(Problem(*found, average(count_include_pad, divisor_override)))


class AvgPoolBackward(MeanGradient):
    """Gradient of `AvgPool`."""

    def infer(
        self,
        views: Views,
        *,
        x_shape: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: Any = False,
        count_include_pad: Any = True,
        divisor_override: Any = None,
        dilation: Any = 1,
        layout: Any = "NCHW",
    ) -> Inferred:
        shape = given.shape_of_x(x_shape, self.axes)
        window = (layout, kernel_size, stride, padding, dilation, ceil_mode)
        found = given.sliding("x_shape", shape, self.axes, *window)
        return self.found(Problem(*found, average(count_include_pad, divisor_override)), views)


class SumPool(Mean):
    """The sum over sliding windows."""

    def __init__(self, axes: int) -> None:
        super().__init__(axes)
        self.name = f"sum_pool{axes}d"
        self.cases = cases.sliding(
            axes,
            padded={"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
            dilated={"kernel_size": 2, "stride": 1, "padding": 1, "dilation": 3},
        )

    def infer(
        self,
        views: Views,
        *,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: Any = False,
        dilation: Any = 1,
        layout: Any = "NCHW",
    ) -> Inferred:
        window = (layout, kernel_size, stride, padding, dilation, ceil_mode)
        found = given.sliding("x", views["x"].shape, self.axes, *window)
        return self.found(Problem(*found, Average(True, 1)))

    def peer(self, x: Any, axes: int, settings: dict[str, Any]) -> Any:
        """PyTorch's mean takes a divisor, though not with one axis."""
        import torch

        if axes > 1:
            function = getattr(torch.nn.functional, f"avg_pool{axes}d")
            return function(x, **settings, divisor_override=1)
        of_row = {}
        for name, across in (("kernel_size", 1), ("stride", 1), ("padding", 0)):
            if name in settings:
                of_row[name] = (across, *per_axis(name, settings[name], 0, 1))
        rest = {**settings, **of_row, "divisor_override": 1}
        return torch.nn.functional.avg_pool2d(x.unsqueeze(-2), **rest).squeeze(-2)


class SumPoolBackward(MeanGradient):
    """Gradient of `SumPool`."""

    def infer(
        self,
        views: Views,
        *,
        x_shape: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: Any = False,
        dilation: Any = 1,
        layout: Any = "NCHW",
    ) -> Inferred:
        shape = given.shape_of_x(x_shape, self.axes)
        window = (layout, kernel_size, stride, padding, dilation, ceil_mode)
        found = given.sliding("x_shape", shape, self.axes, *window)
        return self.found(Problem(*found, Average(True, 1)), views)


class AdaptiveAvgPool(Mean):
    """The mean over as many windows as asked for."""

    def __init__(self, axes: int) -> None:
        super().__init__(axes)
        self.name = f"adaptive_avg_pool{axes}d"
        self.cases = cases.adaptive(axes)

    def infer(self, views: Views, *, output_size: Any, layout: Any = "NCHW") -> Inferred:
        found = given.adaptive("x", views["x"].shape, self.axes, layout, output_size)
        return self.found(Problem(*found))


class AdaptiveAvgPoolBackward(MeanGradient):
    """Gradient of `AdaptiveAvgPool`."""

    def infer(self, views: Views, *, x_shape: Any, layout: Any = "NCHW") -> Inferred:
        shape = given.shape_of_x(x_shape, self.axes)
        size = given.output_size(views["dy"], len(shape), self.axes, layout)
        found = given.adaptive("x_shape", shape, self.axes, layout, size)
        return self.found(Problem(*found), views)


class GlobalAvgPool(Mean):
    """The mean over all spatial axes, however many."""

    name = "global_avg_pool"
    cases = cases.over_everything()

    def __init__(self) -> None:
        super().__init__(0)

    def infer(self, views: Views, *, layout: Any = "NCHW") -> Inferred:
        shape = views["x"].shape
        return self.found(Problem(*given.adaptive("x", shape, len(shape) - 2, layout, 1)))

    def peer(self, x: Any, axes: int, settings: dict[str, Any]) -> Any:
        import torch

        return getattr(torch.nn.functional, f"adaptive_avg_pool{axes}d")(x, 1)


class GlobalAvgPoolBackward(MeanGradient):
    """Gradient of `GlobalAvgPool`."""

    def infer(self, views: Views, *, x_shape: Any, layout: Any = "NCHW") -> Inferred:
        shape = given.global_shape(x_shape)
        found = given.adaptive("x_shape", shape, len(shape) - 2, layout, 1)
        return self.found(Problem(*found), views)


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
