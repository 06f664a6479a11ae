"""Definitions of the activations: one result an element, with one shape throughout.

`pycnn.define._activation_rules` is the table of what differs among them.
"""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from pycnn.define._activation_rules import RULES, Rule
from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.operand import Operand
from pycnn.define.operation import Gradient, Operation
from pycnn.define.validate import check_shape
from pycnn.define.views import View
from pycnn.reference.cpu import activation as cpu
from pycnn.reference.cpu._elementwise import in_blocks
from pycnn.runtime.plan import Plan


class Activation(Operation):
    """y[i] = f(x[i])."""

    family = "activation"
    operands = (Operand("x"),)
    in_place = ("x",)

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.name = rule.name

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        return self.rule.checked(args), {"y": (views["x"].shape, None)}

    def plan(self, call: Call) -> Plan:
        return self.rule.plan(call, "y", self.name, self.rule.forward)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        function = getattr(cpu, self.name)
        return {"y": in_blocks(function, (arrays["x"],), call.settings, out)}

    def flops(self, call: Call) -> int:
        return self.rule.flops * prod(call.views["x"].shape)


class ActivationBackward(Gradient):
    """dx[i] = f'(x[i]) dy[i], from what went into the activation, for all of them."""

    family = "activation"
    operands = (Operand("dy"), Operand("x"))
    in_place = ("dy", "x")

    def __init__(self, forward: Activation) -> None:
        self.forward = forward
        self.rule = forward.rule
        self.name = f"{forward.name}_backward"

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        check_shape("dy", views["dy"].shape, views["x"].shape, "the shape of x")
        return self.rule.checked(args), {"dx": (views["x"].shape, None)}

    def plan(self, call: Call) -> Plan:
        return self.rule.plan(call, "dx", self.name, self.rule.backward)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        function = getattr(cpu, self.name)
        return {"dx": in_blocks(function, (arrays["dy"], arrays["x"]), call.settings, out)}

    def flops(self, call: Call) -> int:
        return 2 * self.rule.flops * prod(call.views["x"].shape)


#: Activations and their gradients by name.
ACTIVATIONS: dict[str, Operation] = {}
for _rule in RULES:
    _forward = Activation(_rule)
    _backward = ActivationBackward(_forward)
    ACTIVATIONS |= {_forward.name: _forward, _backward.name: _backward}

DEFINITIONS = tuple(ACTIVATIONS.values())
