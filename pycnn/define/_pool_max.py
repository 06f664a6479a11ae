"""Definitions of max pooling: over sliding windows, adaptive ones and everything."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from pycnn.define.validate import boolean
from pycnn.define.values import Allowed
from pycnn.define.views import View
from pycnn.plan import pool as plans
from pycnn.plan.pool_global import global_pool
from pycnn.reference.cpu import pool as cpu
from pycnn.reference.oracle import pool as oracle
from pycnn.runtime.plan import Plan

Views = Mapping[str, View]


class Max(Operation):
    """The maximum of every window, and where it is."""

    family = "pool"
    layouts = LAYOUTS

    def __init__(self, axes: int) -> None:
        self.axes = axes
        self.operands = (given.operand_x(axes),)

    def found(self, problem: Problem, return_indices: Any) -> Inferred:
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
        return {"y": out, "indices": np.ascontiguousarray(p.layout.as_given(indices))}

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        p: Problem = call.settings
        y, indices = oracle.max_pool(p.layout.channels_first(arrays["x"]), p.windows())
        found = {"y": y, "indices": indices}
        return {n: np.ascontiguousarray(p.layout.as_given(found[n])) for n in call.outputs}

    def flops(self, call: Call) -> int:
        """One comparison for each element of each window."""
        return call.settings.pooling.windows * call.settings.pooling.taps

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        axes = tensors["x"].dim() - 2 if self.axes == 0 else self.axes
        x = given.to_torch(tensors["x"], axes, settings)
        function = getattr(torch.nn.functional, self.peer(axes))
        rest = self.torch_settings(given.torch_settings(settings, axes))
        y, indices = function(x, **{**rest, "return_indices": True})
        found = {"y": y, "indices": indices} if settings.get("return_indices") else {"y": y}
        return {n: given.from_torch(t, axes, settings) for n, t in found.items()}

    def peer(self, axes: int) -> str:
        """Name of PyTorch's function."""
        return self.name

    def torch_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Arguments of PyTorch's function."""
        return settings


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

    @property
    def cases(self) -> Sequence[Case]:  # type: ignore[override]
        """Those of forward, once each."""
        return [c for c in self.forward.cases if c.settings.get("return_indices", True)]

    def settings(self, case: Case) -> dict[str, Any]:
        rest = {
            n: v for n, v in case.settings.items() if n not in ("return_indices", "output_size")
        }
        return {"x_shape": case.shapes["x"], **rest}

    def draw_both(
        self, case: Case, rng: np.random.Generator, dtype: str
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Indices are what forward makes, whether the case asks for them or not."""
        indexed = replace(case, settings={**case.settings, "return_indices": True})
        return super().draw_both(indexed, rng, dtype)

    def found(self, problem: Problem, views: Views) -> Inferred:
        """What `infer` returns."""
        given.check_gradient(problem, views)
        return Inferred(problem, {"dx": (problem.shape(of_x=True), None)})

    def allowed(self, call: Call) -> dict[str, Allowed]:
        return {"indices": given.places(call.settings.x_shape[2:])}

    def plan(self, call: Call) -> Plan:
        p: Problem = call.settings
        dy, indices = (p.strides(call.views[name]) for name in ("dy", "indices"))
        return plans.max_pool_backward(self.name, p.pooling, dy, indices, call.dtype)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        p: Problem = call.settings
        out, into = p.first(call, out, arrays["dy"].dtype)
        dy, indices = p.given(arrays)
        into[...] = cpu.max_pool_backward(dy, indices, p.x_shape)
        return {"dx": out}

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        p: Problem = call.settings
        dy, indices = p.given(arrays)
        return {"dx": p.layout.as_given(oracle.max_pool_backward(dy, indices, p.x_shape))}

    def flops(self, call: Call) -> int:
        """One comparison for each element of each window, as forward."""
        return call.settings.pooling.windows * call.settings.pooling.taps

    def terms(self, call: Call) -> int:
        return min(call.settings.pooling.taps, call.settings.pooling.windows) or 1


class MaxPool(Max):
    """Over sliding windows."""

    def __init__(self, axes: int) -> None:
        super().__init__(axes)
        self.name = f"max_pool{axes}d"
        self.cases = cases.sliding(
            axes,
            indices={"kernel_size": 3, "stride": 2, "padding": 1, "return_indices": True},
            dilated={"kernel_size": 2, "stride": 1, "dilation": 3, "return_indices": True},
            asymmetric={"kernel_size": 2, "padding": ((1, 0), (0, 1), (1, 1))[:axes]},
            wide_padding={"kernel_size": 3, "stride": 2, "padding": 2, "return_indices": True},
        )
        if axes == 2:
            stem = {"kernel_size": 3, "stride": 2, "padding": 1}
            shape = (1, 8, 112, 112)
            self.cases += (
                cases.case("resnet50 stem", shape, True, **stem),
                cases.case("resnet50 stem, NHWC", shape, True, layout="NHWC", **stem),
            )

    def infer(
        self,
        views: Views,
        *,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: Any = False,
        return_indices: Any = False,
        layout: Any = "NCHW",
    ) -> Inferred:
        window = (layout, kernel_size, stride, padding, dilation, ceil_mode)
        problem = Problem(*given.sliding("x", views["x"].shape, self.axes, *window))
        return self.found(problem, return_indices)


class MaxPoolBackward(MaxGradient):
    """Gradient of `MaxPool`."""

    def infer(
        self,
        views: Views,
        *,
        x_shape: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: Any = False,
        layout: Any = "NCHW",
    ) -> Inferred:
        shape = given.shape_of_x(x_shape, self.axes)
        window = (layout, kernel_size, stride, padding, dilation, ceil_mode)
        return self.found(Problem(*given.sliding("x_shape", shape, self.axes, *window)), views)


class AdaptiveMaxPool(Max):
    """Over as many windows as asked for."""

    def __init__(self, axes: int) -> None:
        super().__init__(axes)
        self.name = f"adaptive_max_pool{axes}d"
        self.cases = (
            *cases.adaptive(axes),
            cases.case("indices", cases.SMALL[axes], output_size=4, return_indices=True),
            cases.case("global indices", cases.WIDE[axes], output_size=1, return_indices=True),
        )

    def infer(
        self,
        views: Views,
        *,
        output_size: Any,
        return_indices: Any = False,
        layout: Any = "NCHW",
    ) -> Inferred:
        found = given.adaptive("x", views["x"].shape, self.axes, layout, output_size)
        return self.found(Problem(*found), return_indices)


class AdaptiveMaxPoolBackward(MaxGradient):
    """Gradient of `AdaptiveMaxPool`."""

    def infer(self, views: Views, *, x_shape: Any, layout: Any = "NCHW") -> Inferred:
        shape = given.shape_of_x(x_shape, self.axes)
        size = given.output_size(views["dy"], len(shape), self.axes, layout)
        found = given.adaptive("x_shape", shape, self.axes, layout, size)
        return self.found(Problem(*found), views)


class GlobalMaxPool(Max):
    """Over all spatial axes, however many."""

    name = "global_max_pool"
    cases = (
        *cases.over_everything(),
        cases.case("indices", (2, 37, 7, 5), return_indices=True),
        cases.case("indices, large", (2, 3, 43, 50), return_indices=True),
        cases.case("indices, channels last", (2, 37, 7, 5), return_indices=True, layout="NHWC"),
    )

    def __init__(self) -> None:
        super().__init__(0)

    def infer(self, views: Views, *, return_indices: Any = False, layout: Any = "NCHW") -> Inferred:
        shape = views["x"].shape
        found = given.adaptive("x", shape, len(shape) - 2, layout, 1)
        return self.found(Problem(*found), return_indices)

    def peer(self, axes: int) -> str:
        return f"adaptive_max_pool{axes}d"

    def torch_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        return {"output_size": 1, **settings}


class GlobalMaxPoolBackward(MaxGradient):
    """Gradient of `GlobalMaxPool`."""

    def infer(self, views: Views, *, x_shape: Any, layout: Any = "NCHW") -> Inferred:
        shape = given.global_shape(x_shape)
        found = given.adaptive("x_shape", shape, len(shape) - 2, layout, 1)
        return self.found(Problem(*found), views)


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
