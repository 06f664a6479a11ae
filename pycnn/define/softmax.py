"""Definitions of softmax and log-softmax along one axis."""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from pycnn.define.call import Call, Inferred
from pycnn.define.case import Case
from pycnn.define.operand import Operand
from pycnn.define.operation import Arrays, Gradient, Operation
from pycnn.define.validate import check_shape, normalise_axis
from pycnn.define.views import View
from pycnn.plan import softmax as plans
from pycnn.reference.cpu import softmax as cpu
from pycnn.reference.oracle import softmax as oracle
from pycnn.runtime.plan import Plan

ALLOWED = tuple(range(1, 33))

#: Rows of a few lanes, of a warp, of a block, beyond shared memory; columns.
CASES = (
    Case("rows", {"x": (11, 257)}),
    Case("ones", {"x": (5, 1)}),
    Case("short rows", {"x": (301, 10)}),
    Case("vector", {"x": (7,)}),
    Case("long rows", {"x": (3, 2501)}),
    Case("beyond shared memory", {"x": (2, 13001)}),
    Case("channels", {"x": (2, 21, 3, 5)}, {"axis": 1}),
    Case("first axis", {"x": (1001, 3)}, {"axis": 0}),
    Case("inner axis", {"x": (3, 5, 1, 4)}, {"axis": -2}),
    Case("empty batch", {"x": (0, 5)}),
    Case("empty axis", {"x": (3, 0, 2)}, {"axis": 1}),
    Case("imagenet scores", {"x": (64, 1000)}, standard=True),
    Case("mnist scores", {"x": (1024, 10)}, standard=True),
    Case("segmentation", {"x": (1, 21, 32, 40)}, {"axis": 1}, standard=True),
)


class Softmax(Operation):
    """exp(x) / sum(exp(x)) along an axis."""

    name = "softmax"
    family = "softmax"
    operands = (Operand("x", "one axis or more", ALLOWED),)
    cases = CASES
    log = False

    def infer(self, views: Mapping[str, View], *, axis: Any = -1) -> Inferred:
        x = views["x"]
        return Inferred(normalise_axis("axis", axis, x.rank), {"y": (x.shape, None)})

    def plan(self, call: Call) -> Plan:
        x = call.views["x"]
        return plans.softmax(x.shape, x.strides, call.settings, call.dtype, self.log)

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        return {"y": getattr(cpu, self.name)(arrays["x"], call.settings, out=out)}

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"y": getattr(oracle, self.name)(arrays["x"], call.settings)}

    def flops(self, call: Call) -> int:
        return 5 * prod(call.views["x"].shape)  # an exponential counts as one

    def terms(self, call: Call) -> int:
        return call.views["x"].shape[call.settings]

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        return {"y": getattr(torch, self.name)(tensors["x"], settings.get("axis", -1))}


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

    def infer(self, views: Mapping[str, View], *, axis: Any = -1) -> Inferred:
        y = views["y"]
        check_shape("dy", views["dy"].shape, y.shape, "the shape of y")
        return Inferred(normalise_axis("axis", axis, y.rank), {"dx": (y.shape, None)})

    def plan(self, call: Call) -> Plan:
        dy, y = call.views["dy"], call.views["y"]
        strides = dy.strides, y.strides
        return plans.softmax_backward(y.shape, *strides, call.settings, call.dtype, self.log)

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        return {"dx": getattr(cpu, self.name)(arrays["dy"], arrays["y"], call.settings)}

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"dx": getattr(oracle, self.name)(arrays["dy"], arrays["y"], call.settings)}

    def flops(self, call: Call) -> int:
        return 4 * prod(call.views["y"].shape)

    def terms(self, call: Call) -> int:
        return call.views["y"].shape[call.settings]


class LogSoftmaxBackward(SoftmaxBackward):
    """dy - exp(y) * sum(dy) along the axis."""

    name = "log_softmax_backward"
    forward = LOG_SOFTMAX
    log = True


SOFTMAX_BACKWARD, LOG_SOFTMAX_BACKWARD = SoftmaxBackward(), LogSoftmaxBackward()

DEFINITIONS = (SOFTMAX, SOFTMAX_BACKWARD, LOG_SOFTMAX, LOG_SOFTMAX_BACKWARD)
