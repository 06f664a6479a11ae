"""Definition of the sum of several arrays, with NumPy's broadcasting."""

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np

from pycnn.define.call import Call, Inferred
from pycnn.define.case import Case, Shape
from pycnn.define.elementwise import (
    BroadcastGradient,
    broadcast,
    broadcast_view,
    shape_argument,
)
from pycnn.define.operand import Operand
from pycnn.define.operation import Arrays, Operation
from pycnn.define.validate import check_shape
from pycnn.define.views import View
from pycnn.plan import add_n as plans
from pycnn.reference.cpu import elementwise as cpu
from pycnn.reference.oracle import elementwise as oracle
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


def _case(name: str, *shapes: Shape, standard: bool = False) -> Case:
    return Case(name, numbered("tensors", shapes, "shapes"), standard=standard)


class AddN(Operation):
    """The sum of all tensors."""

    name = "add_n"
    family = "elementwise"
    operands = (Operand("tensors"),)
    in_place = ("tensors[0]",)
    cases = (
        _case("three", *((3, 5, 7),) * 3),
        _case("one", (5, 7)),
        _case("eight", *((1029,),) * 8),
        _case("scalars", (), ()),
        _case("broadcast", (3, 5, 2, 7), (5, 1, 1), (1,), (3, 1, 2, 1)),
        _case("packs", (3, 5, 2, 8), (5, 1, 1), (3, 5, 2, 8)),
        _case("none is whole", (5, 1), (7,)),
        _case("empty", (3, 0), (1,)),
        _case("googlenet branches", *((1, 64, 28, 28),) * 4, standard=True),
    )

    def infer(self, views: Mapping[str, View], **settings: Any) -> Inferred:
        shape = broadcast({name: view.shape for name, view in views.items()})
        return Inferred(None, {"y": (shape, None)})

    def plan(self, call: Call) -> Plan:
        shape = call.outputs["y"].shape
        strides = {name: broadcast_view(view, shape) for name, view in call.views.items()}
        return plans.add_n(shape, strides, call.dtype)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        return {"y": cpu.add_n(list(arrays.values()), out)}

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"y": oracle.add_n(list(arrays.values()))}

    def flops(self, call: Call) -> int:
        return (len(call.views) - 1) * prod(call.outputs["y"].shape)

    def terms(self, call: Call) -> int:
        return len(call.views)

    def invoke(
        self, function: Callable[..., Any], arrays: Arrays, settings: Mapping[str, Any]
    ) -> tuple[Any, ...]:
        return (function(list(arrays.values()), **settings),)

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {"y": sum(tensors.values())}


ADD_N = AddN()


class AddNBackward(BroadcastGradient):
    """dy for every tensor."""

    name = "add_n_backward"
    forward = ADD_N
    operands = (Operand("dy"),)

    def settings(self, case: Case) -> dict[str, Any]:
        return {"shapes": list(case.shapes.values())}

    def infer(self, views: Mapping[str, View], **settings: Any) -> Inferred:
        given = numbered("shapes", settings["shapes"], "shapes")
        own = {name: shape_argument(name, shape) for name, shape in given.items()}
        check_shape("dy", views["dy"].shape, broadcast(own), "shapes, broadcast")
        shapes = tuple(own.values())
        return Inferred(shapes, {f"dtensors[{i}]": (s, None) for i, s in enumerate(shapes)})

    def plan(self, call: Call) -> Plan:
        dy = call.views["dy"]
        own = dict(zip(call.outputs, call.settings, strict=True))
        return plans.add_n_backward(dy.shape, dy.strides, own, call.dtype)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        found = cpu.add_n_backward(arrays["dy"], call.settings)
        return dict(zip(call.outputs, found, strict=True))

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = oracle.add_n_backward(arrays["dy"], call.settings)
        return dict(zip(call.outputs, found, strict=True))


ADD_N_BACKWARD = AddNBackward()

DEFINITIONS = (ADD_N, ADD_N_BACKWARD)
