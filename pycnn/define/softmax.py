"""Definitions of softmax and log-softmax along one axis."""

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any

from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.operand import Operand
from pycnn.define.operation import Arrays, Gradient, Operation
from pycnn.define.validate import check_shape, normalise_axis
from pycnn.define.views import View
from pycnn.plan import softmax as plans
from pycnn.reference.cpu import softmax as cpu
from pycnn.runtime.plan import Plan

ALLOWED = tuple(range(33))


def _axis(value: Any, rank: int) -> int:
    """The argument `axis`, from the front; a number counts as a row of one."""
    return normalise_axis("axis", value, max(rank, 1))


def _of(plan: Plan, call: Call) -> Plan:
    """A plan for rows, whose result is a number where what went in is one."""
    return replace(plan, outputs=dict(call.outputs))


def _rows(array: Any) -> Any:
    return array.reshape(1) if array is not None and array.ndim == 0 else array


class Softmax(Operation):
    """exp(x) / sum(exp(x)) along an axis."""

    name = "softmax"
    family = "softmax"
    operands = (Operand("x", "at most 32 axes", ALLOWED),)
    log = False

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        x = views["x"]
        return _axis(args.axis, x.rank), {"y": (x.shape, None)}

    def plan(self, call: Call) -> Plan:
        x = call.views["x"].with_rank(max(call.views["x"].rank, 1))
        return _of(plans.softmax(x.shape, x.strides, call.settings, call.dtype, self.log), call)

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        function = getattr(cpu, self.name)
        return {"y": function(_rows(arrays["x"]), call.settings, out=_rows(out))}

    def flops(self, call: Call) -> int:
        return 5 * prod(call.views["x"].shape)  # an exponential counts as one


class LogSoftmax(Softmax):
    """The logarithm of softmax."""

    name = "log_softmax"
    log = True


SOFTMAX, LOG_SOFTMAX = Softmax(), LogSoftmax()


class SoftmaxBackward(Gradient):
    """y * (dy - sum(dy * y)) along the axis."""

    name = "softmax_backward"
    family = "softmax"
    forward = SOFTMAX
    operands = (Operand("dy"), Operand("y", "at most 32 axes", ALLOWED))
    log = False

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        y = views["y"]
        check_shape("dy", views["dy"].shape, y.shape, "the shape of y")
        return _axis(args.axis, y.rank), {"dx": (y.shape, None)}

    def plan(self, call: Call) -> Plan:
        rank = max(call.views["y"].rank, 1)
        dy, y = (call.views[name].with_rank(rank) for name in ("dy", "y"))
        arguments = y.shape, dy.strides, y.strides, call.settings, call.dtype, self.log
        return _of(plans.softmax_backward(*arguments), call)

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        arguments = _rows(arrays["dy"]), _rows(arrays["y"]), call.settings
        return {"dx": getattr(cpu, self.name)(*arguments)}

    def flops(self, call: Call) -> int:
        return 4 * prod(call.views["y"].shape)


class LogSoftmaxBackward(SoftmaxBackward):
    """dy - exp(y) * sum(dy) along the axis."""

    name = "log_softmax_backward"
    forward = LOG_SOFTMAX
    log = True


SOFTMAX_BACKWARD, LOG_SOFTMAX_BACKWARD = SoftmaxBackward(), LogSoftmaxBackward()

DEFINITIONS = (SOFTMAX, SOFTMAX_BACKWARD, LOG_SOFTMAX, LOG_SOFTMAX_BACKWARD)
