"""Definitions of Lp pooling."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pycnn.define import _pool_cases as cases
from pycnn.define import _pool_problem as given
from pycnn.define._pool_mean import cpu_divisor, oracle_divisor
from pycnn.define._pool_problem import Problem
from pycnn.define.call import Arguments, Call, Inferred
from pycnn.define.case import Case
from pycnn.define.conv_layout import LAYOUTS
from pycnn.define.operand import Operand
from pycnn.define.operation import Arrays, Gradient, Operation, normal
from pycnn.define.validate import check_shape
from pycnn.define.views import View
from pycnn.plan import pool as plans
from pycnn.reference.cpu import pool as cpu
from pycnn.reference.oracle import pool as oracle
from pycnn.runtime.plan import Plan

Views = Mapping[str, View]


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


class LpPool(Operation):
    """The norm of every window."""

    family = "pool"
    layouts = LAYOUTS

    def __init__(self, axes: int) -> None:
        self.axes = axes
        self.name = f"lp_pool{axes}d"
        self.operands = (given.operand_x(axes),)
        also: dict[str, dict[str, Any]] = {
            "cubes": {"kernel_size": 2, "norm_type": 3},
            "roots": {"kernel_size": 3, "stride": 2, "ceil_mode": True, "norm_type": 2.5},
            "sum": {"kernel_size": 2, "stride": 3, "norm_type": 1},
            "padded": {"kernel_size": 3, "stride": 2, "padding": 2, "ceil_mode": True},
            "dilated": {"kernel_size": 2, "stride": 1, "padding": 1, "dilation": 3},
        }
        self.cases = tuple(
            Case(c.name, c.shapes, {"norm_type": 2, **c.settings}, c.standard)
            for c in cases.sliding(axes, **also)
        )

    def infer(self, views: Views, args: Arguments) -> Inferred:
        norm = exponent(args.norm_type)
        problem = Problem(*given.sliding("x", views["x"].shape, self.axes, args), norm=norm)
        return Inferred(problem, {"y": (problem.shape(of_x=False), None)})

    def plan(self, call: Call) -> Plan:
        p: Problem = call.settings
        return plans.lp_pool(self.name, p.pooling, p.strides(call.views["x"]), call.dtype, p.norm)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        p: Problem = call.settings
        out, into = p.first(call, out, arrays["x"].dtype)
        (x,) = p.given(arrays)
        cpu.lp_pool(x, p.cpu_axes(), p.norm, scale(p), out=into)
        return {"y": out}

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        p: Problem = call.settings
        (x,) = p.given(arrays)
        y = oracle.lp_pool(x, p.windows(), p.norm, oracle_divisor(p) / p.pooling.taps)
        return {"y": np.ascontiguousarray(p.layout.as_given(y))}

    def flops(self, call: Call) -> int:
        """A power and an addition for each element of each window."""
        return 2 * call.settings.pooling.windows * call.settings.pooling.taps

    def terms(self, call: Call) -> int:
        return call.settings.pooling.taps

    def draw(self, case: Case, rng: np.random.Generator, dtype: str) -> dict[str, np.ndarray]:
        """Positive values: sums of others may cancel, or have no root."""
        drawn = {name: normal(rng, shape, dtype) for name, shape in case.shapes.items()}
        return {name: np.abs(a) + a.dtype.type(0.125) for name, a in drawn.items()}

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        x = given.to_torch(tensors["x"], self.axes, settings)
        function = getattr(torch.nn.functional, self.name)
        y = function(x, **given.torch_settings(settings, self.axes, ("padding", "dilation")))
        return {"y": given.from_torch(y, self.axes, settings)}


class LpPoolBackward(Gradient):
    """Every dy to its whole window, by the share of each element in the norm."""

    family = "pool"
    layouts = LAYOUTS

    def __init__(self, forward: LpPool) -> None:
        self.forward = forward
        self.axes = forward.axes
        self.name = f"{forward.name}_backward"
        x = forward.operands[0]
        self.operands = tuple(Operand(name, x.axes, x.ranks) for name in ("dy", "x", "y"))

    def infer(self, views: Views, args: Arguments) -> Inferred:
        norm = exponent(args.norm_type)
        problem = Problem(*given.sliding("x", views["x"].shape, self.axes, args), norm=norm)
        for name in ("dy", "y"):
            check_shape(name, views[name].shape, problem.shape(False), "the windows over x")
        return Inferred(problem, {"dx": (problem.shape(of_x=True), None)})

    def plan(self, call: Call) -> Plan:
        p: Problem = call.settings
        dy, y, x = (p.strides(call.views[name]) for name in ("dy", "y", "x"))
        return plans.lp_pool_backward(self.name, p.pooling, dy, y, x, call.dtype, p.norm)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        p: Problem = call.settings
        out, into = p.first(call, out, arrays["x"].dtype)
        dy, x, y = p.given(arrays)
        into[...] = cpu.lp_pool_backward(dy, x, y, p.cpu_axes(), p.norm, scale(p))
        return {"dx": out}

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        p: Problem = call.settings
        dy, x, y = p.given(arrays)
        share = oracle_divisor(p) / p.pooling.taps
        dx = oracle.lp_pool_backward(dy, x, y, p.windows(), p.norm, share)
        return {"dx": p.layout.as_given(dx)}

    def flops(self, call: Call) -> int:
        return 3 * call.settings.pooling.windows * call.settings.pooling.taps

    def terms(self, call: Call) -> int:
        return min(call.settings.pooling.taps, call.settings.pooling.windows) or 1


LP_POOL: dict[int, LpPool] = {axes: LpPool(axes) for axes in (1, 2, 3)}
LP_POOL_BACKWARD: dict[int, LpPoolBackward] = {
    axes: LpPoolBackward(op) for axes, op in LP_POOL.items()
}
