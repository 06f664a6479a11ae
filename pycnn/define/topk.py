"""Definitions of the k largest elements along an axis, and of the gradient."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.operand import Operand
from pycnn.define.operation import Arrays, Gradient, Operation
from pycnn.define.validate import boolean, check_shape, integer, normalise_axis
from pycnn.define.values import Allowed
from pycnn.define.views import View
from pycnn.plan import topk as plans
from pycnn.reference.cpu import topk as cpu
from pycnn.runtime.plan import Plan

AXES = "one axis or more"
RANKS = tuple(range(1, 33))


@dataclass(frozen=True)
class Chosen:
    """Checked arguments: k and whether the largest, along an axis from the front."""

    k: int
    axis: int
    largest: bool
    shape: tuple[int, ...] = ()


class Topk(Operation):
    """The k largest or smallest elements along an axis, in order."""

    name = "topk"
    family = "topk"
    operands = (Operand("x", AXES, RANKS),)

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        axis = args.axis
        k = args.k
        shape = views["x"].shape
        axis = normalise_axis("axis", axis, len(shape))
        boolean("sorted", args.sorted)
        k = integer("k", k, 1)
        if k > shape[axis]:
            raise ValueError(f"k={k}; allowed: 1 to {shape[axis]}, the extent of axis {axis} of x")
        result = (*shape[:axis], k, *shape[axis + 1 :])
        settings = Chosen(k, axis, boolean("largest", args.largest))
        return settings, {"values": (result, None), "indices": (result, "int64")}

    def plan(self, call: Call) -> Plan:
        x, settings = call.views["x"], call.settings
        return plans.topk(
            x.shape, x.strides, settings.axis, call.dtype, settings.k, settings.largest
        )

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        settings = call.settings
        values, indices = cpu.topk(arrays["x"], settings.k, settings.axis, settings.largest)
        return {"values": values, "indices": indices}

    def flops(self, call: Call) -> int:
        """One comparison an element at least."""
        return prod(call.views["x"].shape)


TOPK = Topk()


class TopkBackward(Gradient):
    """dy in the places of the chosen elements."""

    name = "topk_backward"
    family = "topk"
    forward = TOPK
    upstream = {"dy": "values"}  # noqa: RUF012
    operands = (Operand("dy", AXES, RANKS), Operand("indices", AXES, RANKS, dtypes=("int64",)))

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        axis = args.axis
        shape = args.shape
        if not isinstance(shape, (tuple, list)):
            raise TypeError(f"shape={shape!r} is of type {type(shape).__name__}; allowed: tuple")
        shape = tuple(integer("shape", extent, 0) for extent in shape)
        dy = views["dy"]
        axis = normalise_axis("axis", axis, dy.rank)
        check_shape("indices", views["indices"].shape, dy.shape, "the shape of dy")
        k = dy.shape[axis]
        if len(shape) != dy.rank or k > shape[axis]:
            raise ValueError(
                f"shape={shape}; allowed: that of dy, {dy.shape}, with {k} or more along {axis}"
            )
        expected = (*shape[:axis], k, *shape[axis + 1 :])
        check_shape("dy", dy.shape, expected, "the shape with k along the axis")
        return Chosen(k, axis, True, shape), {"dx": (shape, None)}

    def allowed(self, call: Call) -> dict[str, Allowed]:
        last = call.settings.shape[call.settings.axis] - 1
        return {"indices": Allowed(0, last, f"0 to {last}")}

    def plan(self, call: Call) -> Plan:
        settings, views = call.settings, call.views
        strides = views["dy"].strides, views["indices"].strides
        return plans.topk_backward(settings.shape, *strides, settings.axis, call.dtype, settings.k)

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        arguments = arrays["dy"], arrays["indices"], call.settings.shape, call.settings.axis
        return {"dx": cpu.topk_backward(*arguments)}

    def flops(self, call: Call) -> int:
        return 0


TOPK_BACKWARD = TopkBackward()

DEFINITIONS = (TOPK, TOPK_BACKWARD)
