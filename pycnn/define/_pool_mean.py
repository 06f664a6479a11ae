"""Definitions of average and sum pooling: over sliding windows, adaptive ones and everything."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pycnn.define._pool_kinds import Adaptive, Global, Pool, PoolGradient, Sliding
from pycnn.define._pool_problem import Problem
from pycnn.define.call import Arguments, Call
from pycnn.define.conv_layout import Layout
from pycnn.define.validate import boolean, integer
from pycnn.plan import pool as plans
from pycnn.plan.pool import Average, Pooling
from pycnn.plan.pool_global import global_pool
from pycnn.reference.cpu import pool as cpu
from pycnn.runtime.plan import Plan


def cpu_divisor(problem: Problem) -> np.ndarray:
    """What the sum of each window of a plane is divided by, as the CPU path counts it."""
    average = problem.average
    if average.divisor:
        return np.full([a.windows for a in problem.pooling.axes], average.divisor)
    return cpu.divisors(problem.cpu_axes(), average.count_include_pad)


class Mean(Pool):
    """The sum of every window over its divisor."""

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


class MeanGradient(PoolGradient):
    """Every dy, divided as in forward, to its whole window."""

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


class AvgPool(Sliding, Mean):
    """The mean over sliding windows."""

    stem = "avg_pool"

    def __init__(self, axes: int) -> None:
        super().__init__(axes)
        # PyTorch's function for one axis has no such argument, and neither has ours.
        self.fixed = {"divisor_override": None} if axes == 1 else {}

    def problem(self, windows: tuple[Layout, Pooling], args: Arguments) -> Problem:
        return Problem(*windows, average(args.count_include_pad, args.divisor_override))


class SumPool(Sliding, Mean):
    """The sum over sliding windows."""

    stem = "sum_pool"

    def problem(self, windows: tuple[Layout, Pooling], args: Arguments) -> Problem:
        return Problem(*windows, Average(True, 1))


class AdaptiveAvgPool(Adaptive, Mean):
    """The mean over as many windows as asked for."""

    stem = "adaptive_avg_pool"


class GlobalAvgPool(Global, Mean):
    """The mean over all spatial axes, however many."""

    name = "global_avg_pool"


def average(count_include_pad: Any, divisor_override: Any) -> Average:
    """What a sum is divided by, from the arguments."""
    divisor = 0 if divisor_override is None else integer("divisor_override", divisor_override, 1)
    return Average(boolean("count_include_pad", count_include_pad), divisor)


AVG_POOL: dict[int, Pool] = {axes: AvgPool(axes) for axes in (1, 2, 3)}
AVG_POOL_BACKWARD = {axes: MeanGradient(op) for axes, op in AVG_POOL.items()}
SUM_POOL: dict[int, Pool] = {axes: SumPool(axes) for axes in (1, 2, 3)}
SUM_POOL_BACKWARD = {axes: MeanGradient(op) for axes, op in SUM_POOL.items()}
ADAPTIVE_AVG_POOL: dict[int, Pool] = {axes: AdaptiveAvgPool(axes) for axes in (1, 2, 3)}
ADAPTIVE_AVG_POOL_BACKWARD = {axes: MeanGradient(op) for axes, op in ADAPTIVE_AVG_POOL.items()}
GLOBAL_AVG_POOL = GlobalAvgPool()
GLOBAL_AVG_POOL_BACKWARD = MeanGradient(GLOBAL_AVG_POOL)
