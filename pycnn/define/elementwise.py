"""Definitions of sums and products with NumPy's broadcasting."""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.operand import Operand
from pycnn.define.operation import Gradient, Operation
from pycnn.define.validate import check_shape, integer, number
from pycnn.define.views import View
from pycnn.plan import elementwise as plans
from pycnn.plan._strided import broadcast_strides
from pycnn.reference.cpu import elementwise as cpu
from pycnn.runtime.plan import Plan

Ints = tuple[int, ...]


def broadcast(shapes: Mapping[str, Ints]) -> Ints:
    """The shape that arrays of these shapes have together.

    Raises
    ------
    ValueError
        If there is none; names the arrays.
    """
    try:
        return np.broadcast_shapes(*shapes.values())
    except ValueError:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(
            f"shapes do not broadcast: {listed}; allowed: extents that are equal or 1, axes "
            "counted from the last"
        ) from None


def shape_argument(name: str, value: Any) -> Ints:
    """A shape given as a tuple or list of int."""
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{name}={value!r}; allowed: a tuple of int")
    return tuple(integer(name, extent, 0) for extent in value)


def broadcast_view(view: View, shape: Ints) -> Ints:
    return broadcast_strides(shape, view.shape, view.strides)


class _Elementwise(Operation):
    """What both operations of two arrays share."""

    family = "elementwise"
    operands = (Operand("a"), Operand("b"))
    in_place = ("a", "b")

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        shape = broadcast({name: view.shape for name, view in views.items()})
        return self._settings(args), {"y": (shape, None)}

    def _settings(self, args: Arguments) -> Any:
        return None

    def plan(self, call: Call) -> Plan:
        shape = call.outputs["y"].shape
        a, b = (broadcast_view(call.views[name], shape) for name in "ab")
        return self._plan(call, shape, a, b)

    def _plan(self, call: Call, shape: Ints, a: Ints, b: Ints) -> Plan:
        raise NotImplementedError

    def flops(self, call: Call) -> int:
        return prod(call.outputs["y"].shape)


class Add(_Elementwise):
    """a + alpha b."""

    name = "add"

    def _settings(self, args: Arguments) -> float:
        return number("alpha", args.alpha)

    def _plan(self, call: Call, shape: Ints, a: Ints, b: Ints) -> Plan:
        return plans.add(shape, a, b, call.dtype, call.settings)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        return {"y": cpu.add(arrays["a"], arrays["b"], call.settings, out)}


class Mul(_Elementwise):
    """a b."""

    name = "mul"

    def _plan(self, call: Call, shape: Ints, a: Ints, b: Ints) -> Plan:
        return plans.mul(shape, a, b, call.dtype)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        return {"y": cpu.mul(arrays["a"], arrays["b"], out)}


ADD, MUL = Add(), Mul()


class BroadcastGradient(Gradient):
    """Gradients that are summed over the axes that their operand was broadcast over."""

    family = "elementwise"

    def flops(self, call: Call) -> int:
        return len(call.outputs) * prod(call.views["dy"].shape)


class AddBackward(BroadcastGradient):
    """dy and alpha dy."""

    name = "add_backward"
    forward = ADD
    operands = (Operand("dy"),)

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        a = shape_argument("a_shape", args.a_shape)
        b = shape_argument("b_shape", args.b_shape)
        shape = broadcast({"a_shape": a, "b_shape": b})
        check_shape("dy", views["dy"].shape, shape, "a_shape and b_shape, broadcast")
        alpha = number("alpha", args.alpha)
        return (a, b, alpha), {"da": (a, None), "db": (b, None)}

    def plan(self, call: Call) -> Plan:
        dy, (a, b, alpha) = call.views["dy"], call.settings
        return plans.add_backward(dy.shape, dy.strides, {"a": a, "b": b}, call.dtype, alpha)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        return dict(zip(call.outputs, cpu.add_backward(arrays["dy"], *call.settings), strict=True))


class MulBackward(BroadcastGradient):
    """dy b and dy a."""

    name = "mul_backward"
    forward = MUL
    operands = (Operand("dy"), Operand("a"), Operand("b"))

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        own = {name: views[name].shape for name in "ab"}
        check_shape("dy", views["dy"].shape, broadcast(own), "those of a and b, broadcast")
        return None, {f"d{name}": (shape, None) for name, shape in own.items()}

    def plan(self, call: Call) -> Plan:
        dy = call.views["dy"]
        own = {name: call.views[name].shape for name in "ab"}
        strides = {name: broadcast_view(call.views[name], dy.shape) for name in "ab"}
        return plans.mul_backward(dy.shape, dy.strides, own, strides, call.dtype)

    def cpu(self, call: Call, arrays: Mapping[str, np.ndarray], out: Any) -> dict[str, Any]:
        gradients = cpu.mul_backward(arrays["dy"], arrays["a"], arrays["b"])
        return dict(zip(call.outputs, gradients, strict=True))


ADD_BACKWARD, MUL_BACKWARD = AddBackward(), MulBackward()

DEFINITIONS = (ADD, ADD_BACKWARD, MUL, MUL_BACKWARD)
