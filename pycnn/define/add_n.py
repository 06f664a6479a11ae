"""Definition of the sum of several arrays, with NumPy's broadcasting."""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.elementwise import (
    BroadcastGradient,
    broadcast,
    broadcast_view,
    shape_argument,
)
from pycnn.define.operand import Operand
from pycnn.define.operation import Operation
from pycnn.define.validate import check_shape
from pycnn.define.views import View
from pycnn.plan import add_n as plans
from pycnn.reference.cpu import elementwise as cpu
from pycnn.runtime.plan import Plan


def numbered(name: str, values: Any, kind: str) -> dict[str, Any]:
    """The values of a list argument by the names that messages call them: ``tensors[0]``, ...

    Raises
    ------
    TypeError, ValueError
        If it is no list or tuple, or has more values than a kernel takes.
    """
    allowed = f"a list or tuple of 1 to {plans.MOST} {kind}"
    if not isinstance(values, (tuple, list)):
        raise TypeError(f"{name} is of type {type(values).__name__}; allowed: {allowed}")
    if not 1 <= len(values) <= plans.MOST:
        raise ValueError(f"{name} has {len(values)} {kind}; allowed: {allowed}")
    return {f"{name}[{i}]": value for i, value in enumerate(values)}


class AddN(Operation):
    """The sum of all tensors."""

    name = "add_n"
    family = "elementwise"
    operands = (Operand("tensors"),)
    in_place = ("tensors[0]",)
    takes_list = True

    def listed(self, values: Any) -> dict[str, Any]:
        return numbered("tensors", values, "arrays")

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        shape = broadcast({name: view.shape for name, view in views.items()})
        return None, {"y": (shape, None)}

    def plan(self, call: Call) -> Plan:
        shape = call.outputs["y"].shape
        strides = {name: broadcast_view(view, shape) for name, view in call.views.items()}
        return plans.add_n(shape, strides, call.dtype)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        return {"y": cpu.add_n(list(arrays.values()), out)}

    def flops(self, call: Call) -> int:
        return (len(call.views) - 1) * prod(call.outputs["y"].shape)


ADD_N = AddN()


class AddNBackward(BroadcastGradient):
    """dy for every tensor."""

    name = "add_n_backward"
    always_tuple = True
    forward = ADD_N
    operands = (Operand("dy"),)

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        named = numbered("shapes", args.shapes, "shapes")
        own = {name: shape_argument(name, shape) for name, shape in named.items()}
        check_shape("dy", views["dy"].shape, broadcast(own), "shapes, broadcast")
        shapes = tuple(own.values())
        return shapes, {f"dtensors[{i}]": (s, None) for i, s in enumerate(shapes)}

    def plan(self, call: Call) -> Plan:
        dy = call.views["dy"]
        own = dict(zip(call.outputs, call.settings, strict=True))
        return plans.add_n_backward(dy.shape, dy.strides, own, call.dtype)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        gradients = cpu.add_n_backward(arrays["dy"], call.settings)
        return dict(zip(call.outputs, gradients, strict=True))


ADD_N_BACKWARD = AddNBackward()

DEFINITIONS = (ADD_N, ADD_N_BACKWARD)
