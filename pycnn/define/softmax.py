"""Definitions of softmax and log-softmax along one axis."""

from collections.abc import Mapping
from math import prod
from typing import Any

from pycnn.define.call import Arguments, Call, Inferred
from pycnn.define.operand import Operand
from pycnn.define.operation import Arrays, Gradient, Operation
from pycnn.define.validate import check_shape, normalise_axis
from pycnn.define.views import View
from pycnn.plan import softmax as plans
from pycnn.reference.cpu import softmax as cpu
from pycnn.runtime.plan import Plan

ALLOWED = tuple(range(1, 33))


class Softmax(Operation):
    """exp(x) / sum(exp(x)) along an axis."""

    name = "softmax"
    family = "softmax"
    operands = (Operand("x", "one axis or more", ALLOWED),)
    log = False

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inferred:
        x = views["x"]
        return Inferred(normalise_axis("axis", args.axis, x.rank), {"y": (x.shape, None)})

    def plan(self, call: Call) -> Plan:
        x = call.views["x"]
        return plans.softmax(x.shape, x.strides, call.settings, call.dtype, self.log)

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        return {"y": getattr(cpu, self.name)(arrays["x"], call.settings, out=out)}

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
    operands = (Operand("dy"), Operand("y", "one axis or more", ALLOWED))
    log = False

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inferred:
        y = views["y"]
        check_shape("dy", views["dy"].shape, y.shape, "the shape of y")
        return Inferred(normalise_axis("axis", args.axis, y.rank), {"dx": (y.shape, None)})

    def plan(self, call: Call) -> Plan:
        dy, y = call.views["dy"], call.views["y"]
        strides = dy.strides, y.strides
        return plans.softmax_backward(y.shape, *strides, call.settings, call.dtype, self.log)

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        return {"dx": getattr(cpu, self.name)(arrays["dy"], arrays["y"], call.settings)}

    def flops(self, call: Call) -> int:
        return 4 * prod(call.views["y"].shape)


class LogSoftmaxBackward(SoftmaxBackward):
    """dy - exp(y) * sum(dy) along the axis."""

    name = "log_softmax_backward"
    forward = LOG_SOFTMAX
    log = True


SOFTMAX_BACKWARD, LOG_SOFTMAX_BACKWARD = SoftmaxBackward(), LogSoftmaxBackward()

DEFINITIONS = (SOFTMAX, SOFTMAX_BACKWARD, LOG_SOFTMAX, LOG_SOFTMAX_BACKWARD)
