"""Definitions of max pooling: over sliding windows, adaptive ones and everything."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pycnn.define import _pool_problem as pooling
from pycnn.define._pool_kinds import Adaptive, Global, Pool, PoolGradient, Sliding, Views
from pycnn.define._pool_problem import Problem
from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.validate import boolean
from pycnn.define.values import Allowed
from pycnn.plan import pool as plans
from pycnn.plan.pool_global import global_pool
from pycnn.reference.cpu import pool as cpu
from pycnn.runtime.plan import Plan


class Max(Pool):
    """The maximum of every window, and where it is."""

    def infer(self, views: Views, args: Arguments) -> Inference:
        problem, outputs = super().infer(views, args)
        indices = boolean("return_indices", args.return_indices)
        if indices:
            outputs = {**outputs, "indices": (problem.shape(of_x=False), "int64")}
        return replace(problem, indices=indices), outputs

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


class MaxGradient(PoolGradient):
    """Every dy to where its maximum came from."""

    names = ("dy", "indices")

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


class MaxPool(Sliding, Max):
    """Over sliding windows."""

    stem = "max_pool"


class AdaptiveMaxPool(Adaptive, Max):
    """Over as many windows as asked for."""

    stem = "adaptive_max_pool"


class GlobalMaxPool(Global, Max):
    """Over all spatial axes, however many."""

    name = "global_max_pool"


MAX_POOL: dict[int, Pool] = {axes: MaxPool(axes) for axes in (1, 2, 3)}
MAX_POOL_BACKWARD = {axes: MaxGradient(op) for axes, op in MAX_POOL.items()}
ADAPTIVE_MAX_POOL: dict[int, Pool] = {axes: AdaptiveMaxPool(axes) for axes in (1, 2, 3)}
ADAPTIVE_MAX_POOL_BACKWARD = {axes: MaxGradient(op) for axes, op in ADAPTIVE_MAX_POOL.items()}
GLOBAL_MAX_POOL = GlobalMaxPool()
GLOBAL_MAX_POOL_BACKWARD = MaxGradient(GLOBAL_MAX_POOL)
