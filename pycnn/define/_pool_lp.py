"""Definitions of Lp pooling."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pycnn.define._pool_kinds import Pool, PoolGradient, Sliding, Views
from pycnn.define._pool_mean import cpu_divisor
from pycnn.define._pool_problem import Problem
from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.conv_layout import Layout
from pycnn.define.validate import check_shape
from pycnn.plan import pool as plans
from pycnn.plan.pool import Pooling
from pycnn.reference.cpu import pool as cpu
from pycnn.runtime.plan import Plan


def exponent(norm_type: Any) -> float:
    """The argument as a positive, finite number."""
    if isinstance(norm_type, bool) or not isinstance(norm_type, (int, float, np.number)):
        raise TypeError(
            f"norm_type={norm_type!r} is of type {type(norm_type).__name__}; allowed: a number > 0"
        )
    if not 0 < norm_type < math.inf:
        raise ValueError(f"norm_type={norm_type!r}; allowed: a finite number > 0")
    return float(norm_type)


def scale(problem: Problem) -> np.ndarray:
    """Taps of a window over those in the padded input, for every window of a plane."""
    return problem.pooling.taps / cpu_divisor(problem)


class LpPool(Sliding):
    """The norm of every window."""

    stem = "lp_pool"

    def problem(self, windows: tuple[Layout, Pooling], args: Arguments) -> Problem:
        return Problem(*windows, norm=exponent(args.norm_type))

    def plan(self, call: Call) -> Plan:
        p: Problem = call.settings
        return plans.lp_pool(self.name, p.pooling, p.strides(call.views["x"]), call.dtype, p.norm)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        p: Problem = call.settings
        out, into = p.first(call, out, arrays["x"].dtype)
        (x,) = p.channels_first(arrays)
        cpu.lp_pool(x, p.cpu_axes(), p.norm, scale(p), out=into)
        return {"y": out}

    def flops(self, call: Call) -> int:
        """A power and an addition for each element of each window."""
        return 2 * call.settings.pooling.windows * call.settings.pooling.taps


class LpPoolBackward(PoolGradient):
    """Every dy to its whole window, by the share of each element in the norm."""

    names = ("dy", "x", "y")

    def infer(self, views: Views, args: Arguments) -> Inference:
        problem, _ = self.forward.infer(views, args)
        for name in ("dy", "y"):
            check_shape(name, views[name].shape, problem.shape(False), "the windows over x")
        return problem, {"dx": (problem.shape(of_x=True), None)}

    def plan(self, call: Call) -> Plan:
        p: Problem = call.settings
        dy, y, x = (p.strides(call.views[name]) for name in ("dy", "y", "x"))
        return plans.lp_pool_backward(self.name, p.pooling, dy, y, x, call.dtype, p.norm)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        p: Problem = call.settings
        out, into = p.first(call, out, arrays["x"].dtype)
        dy, x, y = p.channels_first(arrays)
        into[...] = cpu.lp_pool_backward(dy, x, y, p.cpu_axes(), p.norm, scale(p))
        return {"dx": out}

    def flops(self, call: Call) -> int:
        return 3 * call.settings.pooling.windows * call.settings.pooling.taps


LP_POOL: dict[int, Pool] = {axes: LpPool(axes) for axes in (1, 2, 3)}
LP_POOL_BACKWARD = {axes: LpPoolBackward(op) for axes, op in LP_POOL.items()}
