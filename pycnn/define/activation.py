"""Definitions of the activations: one result an element, with one shape throughout.

`pycnn.define._activation_rules` is the table of what differs among them.
"""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from pycnn.define._activation_rules import RULES, Rule
from pycnn.define.call import Arguments, Call, Inferred
from pycnn.define.case import Case
from pycnn.define.operand import Operand
from pycnn.define.operation import Gradient, Operation
from pycnn.define.validate import check_shape
from pycnn.define.views import View
from pycnn.reference.cpu import activation as cpu
from pycnn.reference.cpu._elementwise import in_blocks
from pycnn.reference.oracle import activation as oracle
from pycnn.runtime.plan import Plan

#: Shapes that every activation is tried on; those with settings have a vector for each.
SHAPES = {
    "scalar": (),
    "one": (1,),
    "matrices": (3, 5, 7),
    "rank 5": (2, 3, 5, 7, 2),
    "empty": (3, 0, 5),
}
VECTOR, LAYER = (2051,), (1, 64, 28, 28)


class Activation(Operation):
    """y[i] = f(x[i])."""

    family = "activation"
    operands = (Operand("x"),)
    in_place = ("x",)

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.name = rule.name
        settings = ({}, *rule.tried)
        tried = [
            Case(", ".join(f"{k}={v}" for k, v in each.items()) or "vector", {"x": VECTOR}, each)
            for each in settings
        ]
        shapes = [Case(name, {"x": shape}) for name, shape in SHAPES.items()]
        layer = Case("resnet50 layer", {"x": LAYER}, standard=True)
        self.cases = (*tried, *shapes, layer)

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inferred:
        return Inferred(self.rule.checked(args), {"y": (views["x"].shape, None)})

    def plan(self, call: Call) -> Plan:
        return self.rule.plan(call, "y", self.name, self.rule.forward)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        function = getattr(cpu, self.name)
        return {"y": in_blocks(function, (arrays["x"],), call.settings, out)}

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"y": getattr(oracle, self.name)(arrays["x"], *call.settings)}

    def flops(self, call: Call) -> int:
        return self.rule.flops * prod(call.views["x"].shape)

    def torch(self, tensors: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
        if self.rule.torch is None:
            return super().torch(tensors, settings)
        return {"y": self.rule.torch(tensors["x"], **settings)}


class ActivationBackward(Gradient):
    """dx[i] = f'(x[i]) dy[i], from what went into the activation, for all of them."""

    family = "activation"
    operands = (Operand("dy"), Operand("x"))
    in_place = ("dy", "x")

    def __init__(self, forward: Activation) -> None:
        self.forward = forward
        self.rule = forward.rule
        self.name = f"{forward.name}_backward"

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inferred:
        check_shape("dy", views["dy"].shape, views["x"].shape, "the shape of x")
        return Inferred(self.rule.checked(args), {"dx": (views["x"].shape, None)})

    def plan(self, call: Call) -> Plan:
        return self.rule.plan(call, "dx", self.name, "_backward")

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        function = getattr(cpu, self.name)
        return {"dx": in_blocks(function, (arrays["dy"], arrays["x"]), call.settings, out)}

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"dx": getattr(oracle, self.name)(arrays["dy"], arrays["x"], *call.settings)}

    def flops(self, call: Call) -> int:
        return 2 * self.rule.flops * prod(call.views["x"].shape)


#: Activations and their gradients by name.
ACTIVATIONS: dict[str, Operation] = {}
for _rule in RULES:
    _forward = Activation(_rule)
    _backward = ActivationBackward(_forward)
    ACTIVATIONS |= {_forward.name: _forward, _backward.name: _backward}

DEFINITIONS = tuple(ACTIVATIONS.values())
