"""Definitions of the losses over class indices; the pointwise ones are in `pointwise_loss`."""

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

from pycnn.define._class_loss import (
    AXES,
    RANKS,
    ClassLossBackward,
    ClassLossForward,
    parameters,
)
from pycnn.define._pointwise_loss import POINTWISE
from pycnn.define._ruled_loss import RULED
from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.operand import Operand
from pycnn.define.operation import Arrays
from pycnn.define.views import View
from pycnn.dtypes import FLOATING
from pycnn.plan import loss as plans, soft_loss
from pycnn.plan.soft_loss import SoftLoss
from pycnn.reference.cpu import loss as cpu
from pycnn.runtime.plan import Plan

CLASSES = ("int64", "int32")
TARGET = Operand("target", "(), (N,) or (N, d1, ...)", dtypes=CLASSES)
ANY_TARGET = Operand("target", f"(), (N,), (N, d1, ...) or {AXES}", dtypes=(*CLASSES, *FLOATING))
WEIGHT = Operand("weight", "(C,)", (1,), optional=True)
LOGITS = Operand("logits", AXES, RANKS)
LOG_PROBABILITIES = Operand("log_probabilities", AXES, RANKS)


class CrossEntropy(ClassLossForward):
    """-log softmax(logits) at the target."""

    name = "cross_entropy"
    family = "loss"
    scores = "logits"
    operands = (LOGITS, ANY_TARGET, WEIGHT)

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        smoothing = fraction("label_smoothing", args.label_smoothing)
        checked = self.check(views, args.ignore_index, args.reduction, smoothing)
        return checked, {"loss": (self.loss_shape(views, checked.reduction), None)}

    def plan(self, call: Call) -> Plan:
        p, shape = self.problem(call), call.outputs["loss"].shape
        if isinstance(p, SoftLoss):
            return soft_loss.cross_entropy(p, shape)
        return plans.cross_entropy(p, shape)

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        if self.soft(call.views):
            return {"loss": cpu.soft_cross_entropy(*self.arguments(call, arrays))}
        return {"loss": cpu.cross_entropy(*self.arguments(call, arrays))}


CROSS_ENTROPY = CrossEntropy()


class CrossEntropyBackward(ClassLossBackward):
    """(softmax(logits) - one at the target) * dy."""

    name = "cross_entropy_backward"
    family = "loss"
    scores = "logits"
    forward = CROSS_ENTROPY
    operands = (Operand("dy"), LOGITS, ANY_TARGET, WEIGHT)

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        smoothing = fraction("label_smoothing", args.label_smoothing)
        return self.infer_gradient(
            views, self.check(views, args.ignore_index, args.reduction, smoothing)
        )

    def plan(self, call: Call) -> Plan:
        p, shape = self.problem(call), call.outputs["dlogits"].shape
        if isinstance(p, SoftLoss):
            return soft_loss.cross_entropy_backward(p, self.dy_strides(call), shape)
        return plans.cross_entropy_backward(p, self.dy_strides(call), shape)

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        operands = arrays["logits"], arrays["target"], arrays.get("weight"), *parameters(call)
        if self.soft(call.views):
            return {"dlogits": cpu.soft_cross_entropy_backward(arrays["dy"], *operands)}
        return {"dlogits": cpu.cross_entropy_backward(arrays["dy"], *operands)}


class NllLoss(ClassLossForward):
    """-log_probabilities at the target."""

    name = "nll_loss"
    family = "loss"
    scores = "log_probabilities"
    bound = "latency"  # one element of a sector is used: no order of the threads helps
    operands = (LOG_PROBABILITIES, TARGET, WEIGHT)

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        checked = self.check(views, args.ignore_index, args.reduction)
        return checked, {"loss": (self.loss_shape(views, checked.reduction), None)}

    def plan(self, call: Call) -> Plan:
        return plans.nll_loss(self.problem(call), call.outputs["loss"].shape)

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        return {"loss": cpu.nll_loss(*self.arguments(call, arrays)[:-1])}

    def flops(self, call: Call) -> int:
        return 2 * int(np.prod(call.views["target"].shape))


NLL_LOSS = NllLoss()


class NllLossBackward(ClassLossBackward):
    """-dy at the target, zero elsewhere."""

    name = "nll_loss_backward"
    family = "loss"
    scores = "log_probabilities"
    forward = NLL_LOSS
    operands = (Operand("dy"), LOG_PROBABILITIES, TARGET, WEIGHT)

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        return self.infer_gradient(views, self.check(views, args.ignore_index, args.reduction))

    def plan(self, call: Call) -> Plan:
        shape = call.outputs["dlog_probabilities"].shape
        return plans.nll_loss_backward(self.problem(call), self.dy_strides(call), shape)

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        x = arrays["log_probabilities"]
        operands = x.shape, arrays["target"], arrays.get("weight"), *parameters(call)[:-1]
        return {"dlog_probabilities": cpu.nll_loss_backward(arrays["dy"], *operands)}

    def flops(self, call: Call) -> int:
        return 2 * int(np.prod(call.views["target"].shape))

    def necessary_bytes(self, call: Call) -> int:
        """The log-probabilities give only the shape, and are not read."""
        return super().necessary_bytes(call) - call.outputs["dlog_probabilities"].nbytes


CROSS_ENTROPY_BACKWARD, NLL_LOSS_BACKWARD = CrossEntropyBackward(), NllLossBackward()

DEFINITIONS = (
    CROSS_ENTROPY,
    CROSS_ENTROPY_BACKWARD,
    NLL_LOSS,
    NLL_LOSS_BACKWARD,
    *POINTWISE,
    *RULED.values(),
)


def fraction(name: str, value: Any) -> float:
    """`value` as a float from 0 to 1."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}={value!r} is of type {type(value).__name__}; allowed: float")
    number = float(value)
    if not 0.0 <= number <= 1.0:  # NaN is refused too
        raise ValueError(f"{name}={value!r}; allowed: 0 to 1")
    return number
