"""Definitions of convolution of 8-bit integers: exact sums, and sums scaled back to 8 bits."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from pycnn.define.call import Call, Inferred
from pycnn.define.case import Case
from pycnn.define.conv_geometry import Geometry, geometry
from pycnn.define.conv_layout import LAYOUTS, Layout, weight_view
from pycnn.define.conv_settings import first_axes, last_axes, planar_geometry
from pycnn.define.operand import Operand
from pycnn.define.operation import Arrays, NoPeer, Operation
from pycnn.define.validate import check_shape
from pycnn.define.views import View
from pycnn.dtypes import QUANTISED
from pycnn.plan import conv_int8 as plans
from pycnn.plan.conv_problem import Problem
from pycnn.reference.cpu import conv_int8 as cpu
from pycnn.reference.oracle import conv_int8 as oracle
from pycnn.runtime.plan import Plan

INT8 = tuple(QUANTISED)

X = Operand("x", "(N, C, H, W) or (C, H, W)", (3, 4))
X_ZERO = Operand("x_zero_point", "(), one value", (0,), optional=True)
WEIGHT = Operand("weight", "(K, C/G, R, S)", (4,), INT8)
WEIGHT_ZERO = Operand("weight_zero_point", "() or (K,)", (0, 1), INT8, optional=True)
SCALE = ("(), one value", (0,), ("float32",))

#: What the cases of both operations have in common: shapes of x and weight, and settings.
PROBLEMS: tuple[tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]], ...] = (
    ("padded", (2, 3, 7, 5), (4, 3, 3, 2), {"padding": ((1, 2), (0, 1)), "stride": (2, 1)}),
    ("groups", (3, 6, 9, 7), (4, 3, 2, 3), {"groups": 2, "dilation": (3, 2), "stride": 2}),
    ("unbatched", (3, 8, 6), (5, 3, 3, 3), {"padding": "same"}),
    ("words", (2, 5, 6, 8), (7, 8, 3, 3), {"padding": 1, "layout": "NHWC"}),
    (
        "words of groups",
        (1, 7, 5, 24),
        (6, 12, 2, 3),
        {"groups": 2, "padding": ((0, 1), (2, 0)), "layout": "NHWC"},
    ),
    ("channels last", (5, 6, 3), (5, 3, 3, 3), {"padding": 2, "stride": 2, "layout": "NHWC"}),
    ("empty", (0, 3, 4, 5), (2, 3, 2, 2), {}),
)
STANDARD = ("resnet50", (1, 28, 28, 64), (32, 64, 3, 3), {"padding": 1, "layout": "NHWC"})


@dataclass(frozen=True)
class Settings:
    """A convolution of integers, checked: for the references, and for plans."""

    geometry: Geometry
    layout: Layout
    quantised: plans.Quantised

    @property
    def problem(self) -> Problem:
        return self.quantised.problem


class IntegerConv(Operation):
    """What the two have in common: the sums."""

    family = "conv"
    layouts = LAYOUTS
    bound = "arithmetic"
    dtypes = INT8
    no_gradient = "integers have none: quantised networks are trained in floating point"

    def infer(
        self,
        views: Mapping[str, View],
        *,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: Any = 1,
        layout: Any = "NCHW",
    ) -> Inferred:
        placed = Layout.of(layout, 2, views["x"].rank)
        x, weight = placed.extents(views["x"].shape), views["weight"]
        found = geometry(("x", x), ("weight", weight.shape), stride, padding, dilation, groups)
        y = (x[0], weight.shape[0], *found.out)
        zero = views.get("weight_zero_point")
        if zero is not None and zero.dtype != weight.dtype:
            raise TypeError(
                f"weight_zero_point has dtype {zero.dtype}; allowed: {weight.dtype}, that of weight"
            )
        problem = Problem(
            views["x"].dtype,
            placed.view(views["x"]),
            weight_view(weight),
            placed.made(y),
            **planar_geometry(found),
        )
        quantised = plans.Quantised(
            problem,
            weight.dtype,
            "x_zero_point" in views,
            _along_filters("weight_zero_point", zero, y[1]),
            _along_filters("weight_scale", views.get("weight_scale"), y[1]) or 0,
            _along_filters("bias", views.get("bias"), y[1]),
        )
        made = views["y_zero_point"].dtype if "y_zero_point" in views else "int32"
        return Inferred(Settings(found, placed, quantised), {"y": (placed.arranged(y), made)})

    def run(self, arrays: Arrays, out: Any = None, **settings: Any) -> tuple[Any, ...]:
        """A scalar of NumPy, which has a dtype too, is as good as an array ()."""
        given = {n: np.asarray(a) if isinstance(a, np.generic) else a for n, a in arrays.items()}
        return super().run(given, out, **settings)

    def sums(self, call: Call, arrays: Arrays) -> np.ndarray:
        """By the CPU path: (N, K, P, Q)."""
        s: Settings = call.settings
        return cpu.convolve(
            s.layout.channels_first(arrays["x"]),
            arrays["weight"],
            arrays.get("x_zero_point"),
            arrays.get("weight_zero_point"),
            *s.geometry.as_arguments(),
        )

    def exact_sums(self, call: Call, arrays: Arrays) -> np.ndarray:
        """By the oracle: (N, K, P, Q)."""
        s: Settings = call.settings
        return oracle.convolve(
            s.layout.channels_first(arrays["x"]),
            arrays["weight"],
            arrays.get("x_zero_point", 0),
            arrays.get("weight_zero_point", 0),
            *s.geometry.as_arguments(),
        )

    def flops(self, call: Call) -> int:
        """Of integers."""
        problem = call.settings.problem
        return 2 * prod(problem.y.shape) * problem.channels * problem.taps

    def terms(self, call: Call) -> int:
        problem = call.settings.problem
        return problem.channels * problem.taps

    def draw(self, case: Case, rng: np.random.Generator, dtype: str) -> dict[str, np.ndarray]:
        """All values of x and of a signed weight; zero points near the middle of the range.

        With the channels of x innermost, so are those of the weight.
        """
        middle = 0 if dtype == "int8" else 128
        ranges = {
            "x": (np.iinfo(dtype).min, np.iinfo(dtype).max, dtype),
            "x_zero_point": (middle - 30, middle + 30, dtype),
            "weight": (-128, 127, "int8"),
            "weight_zero_point": (-30, 30, "int8"),
            "y_zero_point": (98, 158, "uint8"),
            "bias": (-5000, 5000, "int32"),
        }
        drawn = {}
        for name, shape in case.shapes.items():
            if name in ranges:
                low, high, own = ranges[name]
                drawn[name] = np.asarray(rng.integers(low, high, shape, own, endpoint=True))
            else:
                drawn[name] = np.asarray(rng.uniform(0.01, 0.03, shape), np.float32)
        if case.settings.get("layout") == "NHWC":
            weight = drawn["weight"].transpose(0, 2, 3, 1)
            drawn["weight"] = np.ascontiguousarray(weight).transpose(0, 3, 1, 2)
        if "y_scale" in drawn:  # so that a few values saturate
            terms = prod(case.shapes["weight"][1:])
            drawn["y_scale"] *= np.float32(2 * np.sqrt(terms))
        return drawn


class Conv2dInteger(IntegerConv):
    """The sums as they are."""

    name = "conv2d_integer"
    operands = (X, WEIGHT, X_ZERO, WEIGHT_ZERO)
    note = "int8, uint8; y is int32"
    cases = (
        Case("no zero points", {"x": (2, 3, 4, 5), "weight": (3, 3, 2, 2)}),
        *(
            Case(
                name,
                {
                    "x": x,
                    "weight": weight,
                    "x_zero_point": (),
                    "weight_zero_point": weight[:1] if "words" in name else (),
                },
                settings,
                standard=name == STANDARD[0],
            )
            for name, x, weight, settings in (*PROBLEMS, STANDARD)
        ),
    )

    def plan(self, call: Call) -> Plan:
        return plans.integer(call.settings.quantised, call.outputs["y"])

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        return {"y": call.settings.layout.as_given(self.sums(call, arrays))}

    def oracle(self, call: Call, arrays: Arrays) -> dict[str, np.ndarray]:
        sums = oracle.wrapped(self.exact_sums(call, arrays))
        return {"y": call.settings.layout.as_given(sums)}

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        """In doubles, which hold every such sum: PyTorch has no convolution of integers."""
        import torch

        wide = {name: tensor.double() for name, tensor in tensors.items()}
        given = {k: v for k, v in settings.items() if k in ("stride", "dilation", "groups")}
        layout = settings.get("layout", "NCHW")
        call = self.describe({n: t.numpy() for n, t in tensors.items()}, **settings)
        pads = [p for pair in call.settings.geometry.padding[::-1] for p in pair]
        x = first_axes(wide["x"], layout, 2) - wide.get("x_zero_point", 0)
        zero = wide.get("weight_zero_point", torch.zeros(()))
        weight = wide["weight"] - zero.reshape(-1, 1, 1, 1)
        y = torch.nn.functional.conv2d(torch.nn.functional.pad(x, pads), weight, None, **given)
        return {"y": last_axes(y.int(), layout, 2)}


class QlinearConv2d(IntegerConv):
    """The sums with a bias, scaled back to 8 bits."""

    name = "qlinear_conv2d"
    operands = (
        X,
        Operand("x_scale", *SCALE),
        Operand("x_zero_point", "(), one value", (0,)),
        WEIGHT,
        Operand("weight_scale", "() or (K,)", (0, 1), ("float32",)),
        Operand("weight_zero_point", "() or (K,)", (0, 1), INT8),
        Operand("y_scale", *SCALE),
        Operand("y_zero_point", "(), one value", (0,), INT8),
        Operand("bias", "(K,)", (1,), ("int32",), optional=True),
    )
    note = "int8, uint8; scales are float32"
    cases = tuple(
        Case(
            name,
            {
                "x": x,
                "x_scale": (),
                "x_zero_point": (),
                "weight": weight,
                "weight_scale": () if name == "groups" else weight[:1],
                "weight_zero_point": weight[:1] if name == "padded" else (),
                "y_scale": (),
                "y_zero_point": (),
                **({} if name == "unbatched" else {"bias": weight[:1]}),
            },
            settings,
            standard=name == STANDARD[0],
        )
        for name, x, weight, settings in (*PROBLEMS, STANDARD)
    )

    def check_values(self, call: Call, arrays: Arrays) -> None:
        for name in ("x_scale", "weight_scale", "y_scale"):
            scales = arrays[name].reshape(-1)
            wrong = ~((scales > 0) & (scales < np.inf))
            if wrong.any():
                found = float(scales[wrong][0])
                raise ValueError(f"{name} holds {found}; allowed: finite numbers above 0")

    def plan(self, call: Call) -> Plan:
        return plans.requantised(call.settings.quantised, call.outputs["y"])

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        y = cpu.requantise(self.sums(call, arrays), *_scaling(arrays))
        return {"y": call.settings.layout.as_given(y)}

    def oracle(self, call: Call, arrays: Arrays) -> dict[str, np.ndarray]:
        y = oracle.requantise(self.exact_sums(call, arrays), *_scaling(arrays))
        return {"y": call.settings.layout.as_given(y)}

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        raise NoPeer(
            "PyTorch's quantised convolution rounds otherwise, and takes quantised tensors"
        )


def _along_filters(name: str, view: View | None, filters: int) -> int | None:
    """Element stride along the filters of an array () or (K,), checked: 0 for the former."""
    if view is None or view.rank == 0:
        return None if view is None else 0
    check_shape(name, view.shape, (filters,), "one value a filter")
    return view.strides[0]


def _scaling(arrays: Arrays) -> list[Any]:
    """What the references' `requantise` takes."""
    names = ("x_scale", "weight_scale", "y_scale", "y_zero_point")
    return [*(arrays[name] for name in names), arrays.get("bias")]


CONV2D_INTEGER, QLINEAR_CONV2D = Conv2dInteger(), QlinearConv2d()

DEFINITIONS = (CONV2D_INTEGER, QLINEAR_CONV2D)
