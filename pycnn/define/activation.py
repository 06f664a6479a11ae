"""Definitions of the activations: one result an element, with one shape throughout."""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from pycnn.define.call import Call, Inferred
from pycnn.define.case import Case
from pycnn.define.operand import Operand
from pycnn.define.operation import Gradient, Operation
from pycnn.define.validate import check_shape
from pycnn.define.views import View
from pycnn.plan._map import map_plan
from pycnn.reference.cpu import activation as cpu
from pycnn.reference.oracle import activation as oracle
from pycnn.runtime.plan import Plan

CASES = (
    Case("scalar", {"x": ()}),
    Case("one", {"x": (1,)}),
    Case("vector", {"x": (1027,)}),
    Case("matrices", {"x": (3, 5, 7)}),
    Case("rank 5", {"x": (2, 3, 5, 7, 2)}),
    Case("empty", {"x": (3, 0, 5)}),
    Case("resnet50 layer", {"x": (1, 64, 28, 28)}, standard=True),
)


class Relu(Operation):
    """max(x, 0)."""

    name = "relu"
    family = "activation"
    operands = (Operand("x"),)
    in_place = ("x",)
    cases = CASES

    def infer(self, views: Mapping[str, View], **settings: Any) -> Inferred:
        return Inferred(None, {"y": (views["x"].shape, None)})

    def plan(self, call: Call) -> Plan:
        x = call.views["x"]
        return map_plan("relu", "activation/relu.cu", x.shape, {"x": x.strides}, "y", call.dtype)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        return {"y": cpu.relu(arrays["x"], out=out)}

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"y": oracle.relu(arrays["x"])}

    def flops(self, call: Call) -> int:
        return prod(call.views["x"].shape)


RELU = Relu()


class ReluBackward(Gradient):
    """dy where x > 0."""

    name = "relu_backward"
    family = "activation"
    forward = RELU
    operands = (Operand("dy"), Operand("x"))
    in_place = ("dy", "x")

    def infer(self, views: Mapping[str, View], **settings: Any) -> Inferred:
        check_shape("dy", views["dy"].shape, views["x"].shape, "the shape of x")
        return Inferred(None, {"dx": (views["x"].shape, None)})

    def plan(self, call: Call) -> Plan:
        inputs = {name: view.strides for name, view in call.views.items()}
        shape = call.views["x"].shape
        return map_plan(self.name, "activation/relu.cu", shape, inputs, "dx", call.dtype)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        return {"dx": cpu.relu_backward(arrays["dy"], arrays["x"], out=out)}

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"dx": oracle.relu_backward(arrays["dy"], arrays["x"])}

    def flops(self, call: Call) -> int:
        return prod(call.views["x"].shape)


RELU_BACKWARD = ReluBackward()

DEFINITIONS = (RELU, RELU_BACKWARD)
