"""Definitions of convolution along one, two and three axes, and of its gradients."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any

import numpy as np

from pycnn.define.call import Call, Inferred
from pycnn.define.case import Case
from pycnn.define.conv_cases import CONV_CASES
from pycnn.define.conv_geometry import EXTENTS, FILTER, geometry
from pycnn.define.conv_layout import LAYOUTS, Layout, weight_view
from pycnn.define.conv_settings import (
    FINISH,
    GRADIENTS,
    Settings,
    check_algorithm,
    epilogue,
    finish,
    finished_by_torch,
    first_axes,
    last_axes,
    needed_gradients,
    planar_geometry,
    refuse_kernel_algorithm,
    workspace_limit,
)
from pycnn.define.operand import Operand
from pycnn.define.operation import Arrays, Gradient, Operation
from pycnn.define.validate import check_shape
from pycnn.define.views import View
from pycnn.dtypes import numpy_dtype
from pycnn.plan import conv as plans
from pycnn.plan.conv_problem import Problem
from pycnn.plan.conv_problem import View as Axes
from pycnn.reference.cpu import conv_axes as cpu
from pycnn.reference.oracle import conv as oracle
from pycnn.runtime.plan import Plan


def _placeholder(tensor: Any) -> np.ndarray:
    """An array without memory, shaped as a tensor of PyTorch that may be on a GPU or bfloat16."""
    dtype = numpy_dtype(str(tensor.dtype).removeprefix("torch."))
    return np.broadcast_to(np.zeros((), dtype), tuple(tensor.shape))


class Conv(Operation):
    """Cross-correlation with filters, along `spatial` axes."""

    family = "conv"
    layouts = LAYOUTS
    bound = "arithmetic"

    def __init__(self, spatial: int) -> None:
        self.spatial = spatial
        self.name = f"conv{spatial}d"
        self.cases = CONV_CASES[spatial]
        extents, ranks = EXTENTS[spatial], (spatial + 1, spatial + 2)
        per_filter = {"axes": "(K,)", "ranks": (1,), "optional": True}
        self.operands = (
            Operand("x", f"(N, C, {extents}) or (C, {extents})", ranks),
            Operand("weight", f"(K, C/G, {FILTER[spatial]})", (spatial + 2,)),
            Operand("bias", **per_filter),  # type: ignore[arg-type]
            Operand("scale", **per_filter),  # type: ignore[arg-type]
            Operand("shift", **per_filter),  # type: ignore[arg-type]
            Operand("residual", "the shape of the result", ranks, optional=True),
        )

    def infer(
        self,
        views: Mapping[str, View],
        *,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: Any = 1,
        padding_mode: Any = "zeros",
        activation: Any = None,
        negative_slope: Any = 0.01,
        layout: Any = "NCHW",
        algo: Any = "auto",
        limit: int | None = None,
    ) -> Inferred:
        placed = Layout.of(layout, self.spatial, views["x"].rank)
        x = placed.extents(views["x"].shape)
        weight = views["weight"].shape
        found = geometry(
            ("x", x), ("weight", weight), stride, padding, dilation, groups, padding_mode
        )
        y = (x[0], weight[0], *found.out)
        problem = Problem(
            views["x"].dtype,
            placed.view(views["x"]),
            weight_view(views["weight"]),
            placed.made(y),
            **planar_geometry(found),
            epilogue=epilogue(views, placed, y, activation, negative_slope),
        )
        check_algorithm(algo, ["forward"])
        settings = Settings(found, placed, problem, algo, workspace_limit(limit))
        return Inferred(settings, {"y": (placed.arranged(y), None)})

    def plan(self, call: Call) -> Plan:
        s: Settings = call.settings
        return plans.plan(s.problem, "forward", s.algo, s.limit, self.name, call.outputs["y"])

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        s: Settings = call.settings
        refuse_kernel_algorithm(s.algo)
        y = cpu.convolve(
            s.layout.channels_first(arrays["x"]),
            arrays["weight"],
            arrays.get("bias"),
            *s.geometry.as_arguments(),
            mode=s.geometry.mode,
            out=None if out is None else s.layout.channels_first(out),
        )
        cpu.finish(y, **finish(call, arrays))
        return {"y": s.layout.as_given(y) if out is None else out}

    def oracle(self, call: Call, arrays: Arrays) -> dict[str, np.ndarray]:
        s: Settings = call.settings
        y = oracle.convolve(
            s.layout.channels_first(arrays["x"]),
            arrays["weight"],
            arrays.get("bias"),
            *s.geometry.as_arguments(),
            s.geometry.mode,
        )
        return {"y": s.layout.as_given(oracle.finished(y, **finish(call, arrays)))}

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        given = {k: v for k, v in settings.items() if k in ("stride", "dilation", "groups")}
        layout = settings.get("layout", "NCHW")
        x, weight = first_axes(tensors["x"], layout, self.spatial), tensors["weight"]
        call = self.describe({n: _placeholder(t) for n, t in tensors.items()}, **settings)
        pads = [p for pair in call.settings.geometry.padding[::-1] for p in pair]
        mode = settings.get("padding_mode", "zeros")
        batched = x if x.ndim == weight.ndim else x[None]
        padded = torch.nn.functional.pad(batched, pads, "constant" if mode == "zeros" else mode)
        y = getattr(torch.nn.functional, self.name)(padded, weight, tensors.get("bias"), **given)
        y = y if x.ndim == weight.ndim else y[0]
        return {"y": last_axes(finished_by_torch(y, tensors, settings), layout, self.spatial)}

    def flops(self, call: Call) -> int:
        problem = call.settings.problem
        return 2 * prod(problem.y.shape) * problem.channels * problem.taps

    def terms(self, call: Call) -> int:
        problem = call.settings.problem
        return problem.channels * problem.taps


class ConvGradients(Gradient):
    """What the gradients of convolution and of its transpose have in common."""

    family = "conv"
    layouts = LAYOUTS
    bound = "arithmetic"
    takes_out = False

    def __init__(self, forward: Operation) -> None:
        self.forward = forward
        self.name = f"{forward.name}_backward"
        x, weight = forward.operands[:2]
        self.operands = (Operand("dy", "the shape of the result", x.ranks), x, weight)

    @property
    def cases(self) -> Sequence[Case]:  # type: ignore[override]
        """Those of forward that end with the sum and a bias."""
        ends = {*FINISH, "activation"}
        return [c for c in self.forward.cases if not ends & {*c.shapes, *c.settings}]

    def by_reference(self, backward: Any, call: Call, arrays: Arrays) -> dict[str, Any]:
        """What a reference's function `backward` gives, by name."""
        s: Settings = call.settings
        given = [s.layout.channels_first(arrays[name]) for name in ("dy", "x")]
        needs = tuple(name in s.needs for name in GRADIENTS)
        found = backward(*given, arrays["weight"], *s.geometry.as_arguments(), needs)
        named = {n: g for n, g in zip(GRADIENTS, found, strict=True) if g is not None}
        if "dx" in named:
            named["dx"] = s.layout.as_given(named["dx"])
        return named

    def invoke(self, function: Any, arrays: Arrays, settings: Mapping[str, Any]) -> tuple[Any, ...]:
        """Without the gradients that were not asked for."""
        return tuple(g for g in function(**arrays, **settings) if g is not None)


class ConvBackward(ConvGradients):
    """Gradients of a convolution with respect to input, weight and bias."""

    forward: Conv

    def infer(
        self,
        views: Mapping[str, View],
        *,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: Any = 1,
        padding_mode: Any = "zeros",
        layout: Any = "NCHW",
        needs: Any = (True, True, True),
        algo: Any = "auto",
        limit: int | None = None,
    ) -> Inferred:
        placed = Layout.of(layout, self.forward.spatial, views["x"].rank)
        x, weight = placed.extents(views["x"].shape), views["weight"].shape
        found = geometry(
            ("x", x), ("weight", weight), stride, padding, dilation, groups, padding_mode
        )
        y = placed.arranged((x[0], weight[0], *found.out))
        check_shape("dy", views["dy"].shape, y, f"the shape of the result of {self.forward.name}")
        problem = Problem(
            views["x"].dtype,
            placed.view(views["x"]),
            weight_view(views["weight"]),
            placed.view(views["dy"]),
            **planar_geometry(found),
        )
        needed = needed_gradients(needs)
        check_algorithm(algo, [GRADIENTS[n] for n in needed if n != "dbias"])
        settings = Settings(found, placed, problem, algo, workspace_limit(limit), needed)
        shapes = {"dx": views["x"].shape, "dweight": weight, "dbias": weight[:1]}
        return Inferred(settings, {name: (shapes[name], None) for name in needed})

    def plan(self, call: Call) -> tuple[Plan, ...]:
        s: Settings = call.settings
        made: dict[str, dict[str, Any]] = {
            # What is computed is contiguous, whatever the strides of its argument.
            "dx": {"x": s.layout.made(s.layout.extents(call.views["x"].shape))},
            "dweight": {"weight": Axes.of(s.problem.weight.shape)},
            "dbias": {},
        }
        return tuple(
            plans.plan(
                replace(s.problem, **made[name]),
                GRADIENTS[name],
                "auto" if name == "dbias" else s.algo,
                s.limit,
                f"{self.name}_{GRADIENTS[name].removeprefix('backward_')}",
                call.outputs[name],
            )
            for name in s.needs
        )

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        refuse_kernel_algorithm(call.settings.algo)
        backward = partial(cpu.convolve_backward, mode=call.settings.geometry.mode)
        return self.by_reference(backward, call, arrays)

    def oracle(self, call: Call, arrays: Arrays) -> dict[str, np.ndarray]:
        backward = partial(oracle.convolve_backward, mode=call.settings.geometry.mode)
        return self.by_reference(backward, call, arrays)

    def flops(self, call: Call) -> int:
        problem = call.settings.problem
        products = 2 * prod(problem.y.shape) * problem.channels * problem.taps
        gradients = [n for n in call.settings.needs if n != "dbias"]
        return products * len(gradients) + prod(problem.y.shape) * ("dbias" in call.settings.needs)

    def terms(self, call: Call) -> dict[str, int]:
        s: Settings = call.settings
        problem = s.problem
        copies = 1  # positions beyond the edges that stand for one element
        if problem.mode != "zeros":
            copies = prod(1 + max(p) for p in s.geometry.padding)
        pixels = problem.y.shape[0] * problem.pixels
        found = {"dx": problem.filters * problem.taps * copies, "dweight": pixels, "dbias": pixels}
        return {name: found[name] for name in s.needs}


CONV1D, CONV2D, CONV3D = Conv(1), Conv(2), Conv(3)
CONV1D_BACKWARD = ConvBackward(CONV1D)
CONV2D_BACKWARD = ConvBackward(CONV2D)
CONV3D_BACKWARD = ConvBackward(CONV3D)

DEFINITIONS = (
    CONV1D,
    CONV1D_BACKWARD,
    CONV2D,
    CONV2D_BACKWARD,
    CONV3D,
    CONV3D_BACKWARD,
)
