"""Definition of prelu, the activation with a learned slope: one for all, or one a channel."""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.operand import Operand
from pycnn.define.operation import Gradient, Operation
from pycnn.define.validate import check_shape
from pycnn.define.views import View
from pycnn.plan import prelu as plans
from pycnn.reference.cpu import prelu as cpu
from pycnn.runtime.plan import Plan

OPERANDS = (Operand("x"), Operand("weight", "() or (C,)", (0, 1)))

Ints = tuple[int, ...]


def _check_weight(x: Ints, weight: Ints) -> None:
    channels = x[1] if len(x) > 1 else 1
    if prod(weight) not in (1, channels):
        raise ValueError(
            f"weight has shape {weight}; allowed: one slope, or one for each of the {channels} "
            "channels, axis 1 of x"
        )


def _broadcast(views: Mapping[str, View]) -> tuple[Ints, Ints]:
    """Shape and strides of the weight, with an axis for each of x."""
    x, weight = views["x"], views["weight"]
    shape, strides = [1] * x.rank, [0] * x.rank
    if prod(weight.shape) != 1:
        shape[1], strides[1] = weight.shape[0], weight.strides[0]
    return tuple(shape), tuple(strides)


class Prelu(Operation):
    """x where x > 0, else the slope of its channel times x."""

    name = "prelu"
    family = "activation"
    operands = OPERANDS
    in_place = ("x",)

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        _check_weight(views["x"].shape, views["weight"].shape)
        return None, {"y": (views["x"].shape, None)}

    def plan(self, call: Call) -> Plan:
        x, (_, strides) = call.views["x"], _broadcast(call.views)
        return plans.prelu(x.shape, x.strides, strides, call.dtype)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        return {"y": cpu.prelu(arrays["x"], arrays["weight"], out)}

    def flops(self, call: Call) -> int:
        return prod(call.views["x"].shape)


PRELU = Prelu()


class PreluBackward(Gradient):
    """dx, and for each slope the sum of x dy where x <= 0."""

    name = "prelu_backward"
    family = "activation"
    forward = PRELU
    operands = (Operand("dy"), *OPERANDS)

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        x, weight = views["x"].shape, views["weight"].shape
        check_shape("dy", views["dy"].shape, x, "the shape of x")
        _check_weight(x, weight)
        return None, {"dx": (x, None), "dweight": (weight, None)}

    def plan(self, call: Call) -> Plan:
        x, (shape, strides) = call.views["x"], _broadcast(call.views)
        inputs = {"dy": call.views["dy"].strides, "x": x.strides, "weight": strides}
        own = call.outputs["dweight"].shape
        return plans.prelu_backward(x.shape, inputs, shape, own, call.dtype)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        dx, dweight = cpu.prelu_backward(arrays["dy"], arrays["x"], arrays["weight"])
        return {"dx": dx, "dweight": dweight}

    def flops(self, call: Call) -> int:
        return 3 * prod(call.views["x"].shape)


PRELU_BACKWARD = PreluBackward()

DEFINITIONS = (PRELU, PRELU_BACKWARD)
