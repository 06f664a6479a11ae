"""Definitions of convolution of 8-bit integers: exact sums, and sums scaled back to 8 bits."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from pycnn import config
from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.conv_geometry import geometry
from pycnn.define.conv_layout import LAYOUTS, Layout, planar
from pycnn.define.conv_settings import LIMIT, refuse_kernel_algorithm
from pycnn.define.operand import Operand
from pycnn.define.operation import Arrays, TakesScalars
from pycnn.define.validate import check_shape, choice
from pycnn.define.values import Allowed
from pycnn.define.views import View
from pycnn.dtypes import QUANTISED
from pycnn.plan import conv_int8 as plans
from pycnn.plan.conv_problem import Problem
from pycnn.reference.cpu import conv_int8 as cpu
from pycnn.runtime.plan import Plan

INT8 = tuple(QUANTISED)

X = Operand("x", "(N, C, H, W) or (C, H, W)", (3, 4))
X_ZERO = Operand("x_zero_point", "(), one value", (0,), optional=True)
WEIGHT = Operand("weight", "(K, C/G, R, S)", (4,), INT8)
WEIGHT_ZERO = Operand("weight_zero_point", "() or (K,)", (0, 1), INT8, optional=True)
SCALE = ("(), one value", (0,), ("float32",))


@dataclass(frozen=True)
class Settings:
    """A convolution of integers, checked: for the references, and for plans."""

    layout: Layout
    quantised: plans.Quantised
    algo: str
    limit: int

    @property
    def problem(self) -> Problem:
        return self.quantised.problem


class ByteConv(TakesScalars):
    """What convolutions of 8-bit elements have in common."""

    family = "conv"
    layouts: tuple[str, ...] = LAYOUTS
    bound = "arithmetic"
    environment = (LIMIT,)
    algorithms: tuple[str, ...]
    planner: type[plans.Convolving]

    @abstractmethod
    def result_dtype(self, views: Mapping[str, View], args: Arguments) -> str:
        """That of y, checked."""

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        layout = Layout.of(args.layout, 2, views["x"].rank)
        x, weight = layout.extents(views["x"].shape), views["weight"]
        windows, out = geometry(
            ("x", x),
            ("weight", weight.shape),
            args.stride,
            args.padding,
            args.dilation,
            args.groups,
        )
        y = (x[0], weight.shape[0], *out)
        dtype = self.result_dtype(views, args)
        problem = Problem(
            layout.view(views["x"]),
            planar(weight),
            layout.contiguous(y, views["x"].dtype),
            **windows,
        )
        quantised = plans.Quantised(
            problem,
            weight.dtype,
            "x_zero_point" in views,
            _along_filters("weight_zero_point", views.get("weight_zero_point"), y[1]),
            _along_filters("weight_scale", views.get("weight_scale"), y[1]) or 0,
            _along_filters("bias", views.get("bias"), y[1]),
        )
        algo = choice("algo", args.algo, ("auto", *self.algorithms))
        settings = Settings(layout, quantised, algo, config.get(LIMIT))
        return settings, {"y": (layout.arranged(y), dtype)}

    def choices(self, call: Call) -> tuple[plans.Convolving]:
        s: Settings = call.settings
        return (self.planner(s.quantised, self.name, s.limit, call.outputs["y"]),)

    def plan(self, call: Call) -> Plan:
        return self.choices(call)[0].plan(call.settings.algo)

    def flops(self, call: Call) -> int:
        """Of integers, where they are some."""
        problem = call.settings.problem
        return 2 * prod(problem.y.shape) * problem.channels * problem.taps


class IntegerConv(ByteConv):
    """What the two of integers have in common."""

    dtypes = INT8
    no_gradient = "integers have none: quantised networks are trained in floating point"
    algorithms = plans.ALGORITHMS
    planner = plans.Convolving

    def result_dtype(self, views: Mapping[str, View], args: Arguments) -> str:
        weight, zero = views["weight"], views.get("weight_zero_point")
        if zero is not None and zero.dtype != weight.dtype:
            raise TypeError(
                f"weight_zero_point has dtype {zero.dtype}; allowed: {weight.dtype}, that of weight"
            )
        return views["y_zero_point"].dtype if "y_zero_point" in views else "int32"

    def sums(self, call: Call, arrays: Arrays) -> np.ndarray:
        """By the CPU path: (N, K, P, Q)."""
        s: Settings = call.settings
        refuse_kernel_algorithm(s.algo)
        return cpu.convolve(
            s.layout.images(arrays["x"]),
            arrays["weight"],
            arrays.get("x_zero_point"),
            arrays.get("weight_zero_point"),
            *s.problem.windows,
        )

    @abstractmethod
    def by_convolution(self, call: Call, arrays: Arrays) -> dict[str, Any]:
        """By the CPU path, of operands called as those of a convolution."""

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        return self.by_convolution(call, arrays)


class Conv2dInteger(IntegerConv):
    """The sums as they are."""

    name = "conv2d_integer"
    operands = (X, WEIGHT, X_ZERO, WEIGHT_ZERO)
    note = "int8, uint8; y is int32"

    def by_convolution(self, call: Call, arrays: Arrays) -> dict[str, Any]:
        return {"y": call.settings.layout.from_channels_first(self.sums(call, arrays))}


class QlinearConv2d(IntegerConv):
    """The sums with a bias, scaled back to 8 bits."""

    name = "qlinear_conv2d"
    operands = (
        X,
        Operand("x_scale", *SCALE),
        X_ZERO,
        WEIGHT,
        Operand("weight_scale", "() or (K,)", (0, 1), ("float32",)),
        WEIGHT_ZERO,
        Operand("y_scale", *SCALE),
        Operand("y_zero_point", "(), one value", (0,), INT8),
        Operand("bias", "(K,)", (1,), ("int32",), optional=True),
    )
    note = "int8, uint8; scales are float32"

    def allowed(self, call: Call) -> dict[str, Allowed]:
        limits = np.finfo(np.float32)
        low, high = float(limits.smallest_subnormal), float(limits.max)
        scale = Allowed(low, high, "finite numbers above 0")
        return dict.fromkeys(("x_scale", "weight_scale", "y_scale"), scale)

    def by_convolution(self, call: Call, arrays: Arrays) -> dict[str, Any]:
        scales = "x_scale", "weight_scale", "y_scale", "y_zero_point"
        operands = (*(arrays[name] for name in scales), arrays.get("bias"))
        y = cpu.requantise(self.sums(call, arrays), *operands)
        return {"y": call.settings.layout.from_channels_first(y)}


def _along_filters(name: str, view: View | None, filters: int) -> int | None:
    """Element stride along the filters of an array () or (K,), checked: 0 for the former."""
    if view is None or view.rank == 0:
        return None if view is None else 0
    check_shape(name, view.shape, (filters,), "one value a filter")
    return view.strides[0]


CONV2D_INTEGER, QLINEAR_CONV2D = Conv2dInteger(), QlinearConv2d()

DEFINITIONS = (CONV2D_INTEGER, QLINEAR_CONV2D)
