"""Definitions of convolution along one, two and three axes, and of its gradients."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any

from pycnn import config
from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.conv_geometry import EXTENTS, FILTER, Windows, geometry
from pycnn.define.conv_layout import LAYOUTS, Layout, planar, planar_array
from pycnn.define.conv_settings import (
    GRADIENTS,
    LIMIT,
    Settings,
    check_algorithm,
    epilogue,
    finish,
    needed_gradients,
    refuse_kernel_algorithm,
)
from pycnn.define.operand import Operand
from pycnn.define.operation import Arrays, Gradient, Operation
from pycnn.define.validate import check_shape
from pycnn.define.views import View
from pycnn.dtypes import FLOATS
from pycnn.plan import conv as plans
from pycnn.plan.choice import Candidate
from pycnn.plan.conv_problem import Problem
from pycnn.reference.cpu import conv_axes as cpu
from pycnn.runtime.plan import Plan


class Convolution(Operation):
    """What convolution along `spatial` axes and its transpose have in common."""

    family = "conv"
    layouts = LAYOUTS
    bound = "arithmetic"
    environment = (LIMIT, "PYCNN_TUNED")
    #: The name but for the number of axes, and the first axes of the weight.
    stem: str
    weight: str

    def __init__(self, spatial: int) -> None:
        self.spatial = spatial
        self.name = f"{self.stem}{spatial}d"
        extents, ranks = EXTENTS[spatial], (spatial + 1, spatial + 2)
        per_filter = {"axes": "(K,)", "ranks": (1,), "optional": True}
        self.operands = (
            Operand("x", f"(N, C, {extents}) or (C, {extents})", ranks),
            Operand("weight", f"({self.weight}, {FILTER[spatial]})", (spatial + 2,)),
            Operand("bias", **per_filter),  # type: ignore[arg-type]
            Operand("scale", **per_filter),  # type: ignore[arg-type]
            Operand("shift", **per_filter),  # type: ignore[arg-type]
            Operand("residual", "the shape of the result", ranks, optional=True),
        )

    @abstractmethod
    def extents(
        self, views: Mapping[str, View], args: Arguments
    ) -> tuple[Layout, Windows, tuple[int, ...]]:
        """Where the axes are, the windows, and the extents of y (N, K, ...)."""

    @abstractmethod
    def choices(self, call: Call) -> tuple[plans.Convolving]:
        """The algorithm for y."""

    def plan(self, call: Call) -> Plan:
        return self.choices(call)[0].plan(call.settings.algo)

    def flops(self, call: Call) -> int:
        problem = call.settings.problem
        return 2 * prod(problem.y.shape) * problem.channels * problem.taps


class Conv(Convolution):
    """Cross-correlation with filters."""

    stem = "conv"
    weight = "K, C/G"

    def extents(
        self, views: Mapping[str, View], args: Arguments
    ) -> tuple[Layout, Windows, tuple[int, ...]]:
        layout = Layout.of(args.layout, self.spatial, views["x"].rank)
        x, weight = layout.extents(views["x"].shape), views["weight"].shape
        windows, out = geometry(
            ("x", x),
            ("weight", weight),
            args.stride,
            args.padding,
            args.dilation,
            args.groups,
            args.padding_mode,
        )
        return layout, windows, (x[0], weight[0], *out)

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        layout, windows, y = self.extents(views, args)
        problem = Problem(
            layout.view(views["x"]),
            planar(views["weight"]),
            layout.contiguous(y, views["x"].dtype),
            **windows,
            epilogue=epilogue(views, layout, y, args, self.defaults),
        )
        check_algorithm(args.algo, ["forward"])
        settings = Settings(layout, problem, args.algo, config.get(LIMIT))
        return settings, {"y": (layout.arranged(y), None)}

    def choices(self, call: Call) -> tuple[plans.Convolving]:
        s: Settings = call.settings
        y = call.outputs["y"]
        return (plans.Convolving("y", s.problem, "forward", s.limit, self.name, y),)

    def cpu_methods(self, call: Call) -> list[Candidate]:
        problem: Problem = call.settings.problem
        if self.spatial == 3 or problem.mode != "zeros":
            return []
        stride, padding, dilation, groups = problem.windows
        shapes, computed = (problem.x.shape, problem.weight.shape), FLOATS[call.dtype].accumulate
        found = cpu.methods(*shapes, stride, padding, dilation, groups, computed)
        return [Candidate(name, 0, fits, reason) for name, fits, reason in found]

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        s: Settings = call.settings
        refuse_kernel_algorithm(s.algo)
        y = cpu.convolve(
            s.layout.images(arrays["x"]),
            planar_array(arrays["weight"]),
            arrays.get("bias"),
            *s.problem.windows,
            mode=s.problem.mode,
            out=None if out is None else s.layout.images(out),
        )
        cpu.finish(y, **finish(call, arrays))
        return {"y": s.layout.from_channels_first(y) if out is None else out}

    def fixed_cpu(self, call: Call, arrays: Arrays, results: Arrays) -> Callable[[], Any]:
        s: Settings = call.settings
        if FLOATS[call.dtype].is_half or not prod(call.outputs["y"].shape):
            return super().fixed_cpu(call, arrays, results)
        refuse_kernel_algorithm(s.algo)
        y = s.layout.images(results["y"])
        compute = cpu.fixed(
            s.layout.images(arrays["x"]),
            planar_array(arrays["weight"]),
            arrays.get("bias"),
            *s.problem.windows,
            mode=s.problem.mode,
            out=y,
        )
        present = {name: array for name, array in arrays.items() if array is not None}
        end = partial(cpu.finish, y, **finish(call, present))

        def step() -> None:
            compute()
            end()

        return step


class ConvGradients(Gradient):
    """What the gradients of convolution and of its transpose have in common."""

    family = "conv"
    layouts = LAYOUTS
    bound = "arithmetic"
    environment = (LIMIT, "PYCNN_TUNED")
    results = tuple(GRADIENTS)
    forward: Convolution
    #: Which array the plans' convolution goes from and to, and the direction of each gradient.
    source, target = "x", "dy"
    directions: Mapping[str, str] = GRADIENTS

    def __init__(self, forward: Convolution) -> None:
        self.forward = forward
        self.name = f"{forward.name}_backward"
        x, weight = forward.operands[:2]
        self.operands = (Operand("dy", "the shape of the result", x.ranks), x, weight)

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        layout, windows, extents = self.forward.extents(views, args)
        y = layout.arranged(extents)
        check_shape("dy", views["dy"].shape, y, f"the shape of the result of {self.forward.name}")
        problem = Problem(
            layout.view(views[self.source]),
            planar(views["weight"]),
            layout.view(views[self.target]),
            **windows,
        )
        needed = needed_gradients(args.needs)
        check_algorithm(args.algo, [self.directions[n] for n in needed if n != "dbias"])
        settings = Settings(layout, problem, args.algo, config.get(LIMIT), needed)
        shapes = {"dx": views["x"].shape, "dweight": views["weight"].shape, "dbias": extents[1:2]}
        return settings, {name: (shapes[name], None) for name in needed}

    def flops(self, call: Call) -> int:
        problem, needs = call.settings.problem, call.settings.needs
        products = 2 * prod(problem.y.shape) * problem.channels * problem.taps
        gradients = [name for name in needs if name != "dbias"]
        return products * len(gradients) + prod(call.views["dy"].shape) * ("dbias" in needs)

    def plan(self, call: Call) -> tuple[Plan, ...]:
        algo = call.settings.algo
        return tuple(
            choice.plan("auto" if choice.result == "dbias" else algo)
            for choice in self.choices(call)
        )

    def by_reference(self, backward: Any, call: Call, arrays: Arrays) -> dict[str, Any]:
        """What a reference's function `backward` gives, by name."""
        s: Settings = call.settings
        operands = [s.layout.images(arrays[name]) for name in ("dy", "x")]
        needs = tuple(name in s.needs for name in GRADIENTS)
        gradients = backward(*operands, planar_array(arrays["weight"]), *s.problem.windows, needs)
        named = {n: g for n, g in zip(GRADIENTS, gradients, strict=True) if g is not None}
        if "dx" in named:
            named["dx"] = s.layout.from_channels_first(named["dx"])
        return named


class ConvBackward(ConvGradients):
    """Gradients of a convolution with respect to input, weight and bias."""

    def choices(self, call: Call) -> tuple[plans.Convolving, ...]:
        s: Settings = call.settings
        contiguous: dict[str, dict[str, Any]] = {
            # What is computed is contiguous, whatever the strides of its argument.
            "dx": {"x": s.layout.contiguous(s.layout.extents(call.views["x"].shape), call.dtype)},
            "dweight": {"weight": View.contiguous(s.problem.weight.shape, call.dtype)},
            "dbias": {},
        }
        return tuple(
            plans.Convolving(
                name,
                replace(s.problem, **contiguous[name]),
                GRADIENTS[name],
                s.limit,
                f"{self.name}_{GRADIENTS[name].removeprefix('backward_')}",
                call.outputs[name],
            )
            for name in s.needs
        )

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        refuse_kernel_algorithm(call.settings.algo)
        backward = partial(cpu.convolve_backward, mode=call.settings.problem.mode)
        return self.by_reference(backward, call, arrays)


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
