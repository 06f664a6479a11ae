"""Definitions of the losses that compare two tensors element by element."""

from collections.abc import Mapping
from math import prod
from typing import Any

from pycnn.define._class_loss import REDUCTIONS
from pycnn.define.call import Arguments, Call, Inference
from pycnn.define.operand import Operand
from pycnn.define.operation import Arrays, Gradient, Operation
from pycnn.define.validate import check_shape, choice
from pycnn.define.views import View
from pycnn.plan import pointwise_loss as plans
from pycnn.reference.cpu import pointwise_loss as cpu
from pycnn.runtime.plan import Plan

Shape = tuple[int, ...]
WEIGHTS = ("weight", "pos_weight")

#: What `fixed` is of a loss that is always a sum.
SUMMED = {"reduction": "sum"}


def _strides(name: str, view: View, shape: Shape) -> Shape:
    """Of a view broadcast to `shape`, as NumPy does it."""
    missing = len(shape) - view.rank
    fits = missing >= 0 and all(
        e in (1, full) for e, full in zip(view.shape, shape[missing:], strict=True)
    )
    if not fits:
        raise ValueError(f"{name} has shape {view.shape}; allowed: one that broadcasts to {shape}")
    own = zip(view.shape, view.strides, strict=True)
    return (0,) * missing + tuple(0 if extent == 1 else stride for extent, stride in own)


class Pointwise:
    """What forward and backward share."""

    family = "loss"
    #: What is compared with the target.
    compared = "x"
    #: Kernel, and the weights that it takes.
    entry = "mse_loss"
    weights: tuple[str, ...] = ()
    factor = 1.0
    reductions: tuple[str, ...] = REDUCTIONS

    def check(self, views: Mapping[str, View], reduction: Any) -> str:
        shape = views[self.compared].shape
        check_shape("target", views["target"].shape, shape, f"the shape of {self.compared}")
        for name in WEIGHTS:
            if name in views:
                _strides(name, views[name], shape)
        return choice("reduction", reduction, self.reductions)

    def inputs(self, call: Call) -> dict[str, Shape]:
        """Strides of everything over the axes of what is compared, which comes first."""
        shape = call.views[self.compared].shape
        names = [n for n in (self.compared, "target", *WEIGHTS) if n in call.views]
        return {name: _strides(name, call.views[name], shape) for name in names}

    def arguments(self, call: Call, arrays: Arrays) -> tuple[Any, ...]:
        """As the references take them."""
        operands = [arrays[self.compared], arrays["target"]]
        operands += [arrays.get(name) for name in self.weights]
        return (*operands, self.reduction(call))

    def reduction(self, call: Call) -> str:
        """Of the settings."""
        return str(call.settings)

    def options(self, call: Call) -> dict[str, Any]:
        """What plans get beside shapes."""
        return {"weights": self.weights, "factor": self.factor}

    def divisor(self, call: Call) -> float | None:
        """Of the sum of all costs; None where they are not summed."""
        shape = call.views[self.compared].shape
        batch = shape[0] if shape else 1
        return {"none": None, "sum": 1, "mean": prod(shape), "batchmean": batch}[
            self.reduction(call)
        ]

    def flops(self, call: Call) -> int:
        return 3 * prod(call.views[self.compared].shape)


class PointwiseLoss(Pointwise, Operation):
    """One cost for each element, or their sum or mean."""

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        reduction = self.check(views, args.reduction)
        return reduction, {"loss": (self.loss_shape(views, reduction), None)}

    def loss_shape(self, views: Mapping[str, View], reduction: str) -> Shape:
        return views[self.compared].shape if reduction == "none" else ()

    def plan(self, call: Call) -> Plan:
        return plans.loss(
            self.name,
            self.entry,
            call.views[self.compared].shape,
            self.inputs(call),
            call.dtype,
            divisor=self.divisor(call),
            **self.options(call),
        )

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        return {"loss": getattr(cpu, self.entry)(*self.arguments(call, arrays), self.factor)}


class PointwiseBackward(Pointwise, Gradient):
    """Its gradient with respect to what is compared with the target."""

    upstream = {"dy": "loss"}  # noqa: RUF012

    def infer(self, views: Mapping[str, View], args: Arguments) -> Inference:
        reduction = self.check(views, args.reduction)
        shape = views[self.compared].shape
        check_shape(
            "dy", views["dy"].shape, shape if reduction == "none" else (), "that of the loss"
        )
        return reduction, {f"d{self.compared}": (shape, None)}

    def plan(self, call: Call) -> Plan:
        shape = call.views[self.compared].shape
        inputs = self.inputs(call) | {"dy": _strides("dy", call.views["dy"], shape)}
        divisor, options = self.divisor(call), self.options(call)
        options["factor"] /= divisor or 1
        return plans.gradient(
            self.name,
            self.entry,
            shape,
            inputs,
            call.dtype,
            one_dy=divisor is not None,
            **options,
        )

    def cpu(self, call: Call, arrays: Arrays, out: Any) -> dict[str, Any]:
        operands = arrays["dy"], *self.arguments(call, arrays), self.factor
        return {f"d{self.compared}": getattr(cpu, f"{self.entry}_backward")(*operands)}


class MseLoss(PointwiseLoss):
    """Squared differences."""

    name = "mse_loss"
    operands = (Operand("x"), Operand("target"))


class SumOfHalfSquares(PointwiseLoss):
    """Half the sum of the squared differences."""

    name = "sum_of_half_squares"
    operands = (Operand("x"), Operand("target"))
    factor = 0.5
    fixed = SUMMED


LOGITS, TARGET = Operand("logits"), Operand("target")
WEIGHT, POS_WEIGHT = Operand("weight", optional=True), Operand("pos_weight", optional=True)


class BinaryCrossEntropy(PointwiseLoss):
    """-target log(sigmoid(logits)) - (1 - target) log(1 - sigmoid(logits))."""

    name = "binary_cross_entropy_with_logits"
    compared = "logits"
    entry = "binary_cross_entropy"
    weights = WEIGHTS
    operands = (LOGITS, TARGET, WEIGHT, POS_WEIGHT)


MSE_LOSS, SUM_OF_HALF_SQUARES = MseLoss(), SumOfHalfSquares()
BINARY_CROSS_ENTROPY = BinaryCrossEntropy()


class MseLossBackward(PointwiseBackward):
    """2 (x - target) dy."""

    name = "mse_loss_backward"
    forward = MSE_LOSS
    operands = (Operand("dy"), *MSE_LOSS.operands)


class SumOfHalfSquaresBackward(PointwiseBackward):
    """(x - target) dy."""

    name = "sum_of_half_squares_backward"
    forward = SUM_OF_HALF_SQUARES
    operands = (Operand("dy"), *MSE_LOSS.operands)
    factor = 0.5
    fixed = SUMMED


class BinaryCrossEntropyBackward(PointwiseBackward):
    """(sigmoid(logits) - target) dy."""

    name = "binary_cross_entropy_with_logits_backward"
    forward = BINARY_CROSS_ENTROPY
    compared = "logits"
    entry = "binary_cross_entropy"
    weights = WEIGHTS
    operands = (Operand("dy"), *BINARY_CROSS_ENTROPY.operands)


MSE_LOSS_BACKWARD, SUM_OF_HALF_SQUARES_BACKWARD = MseLossBackward(), SumOfHalfSquaresBackward()
BINARY_CROSS_ENTROPY_BACKWARD = BinaryCrossEntropyBackward()

POINTWISE: tuple[Operation, ...] = (
    *(MSE_LOSS, MSE_LOSS_BACKWARD),
    *(SUM_OF_HALF_SQUARES, SUM_OF_HALF_SQUARES_BACKWARD),
    *(BINARY_CROSS_ENTROPY, BINARY_CROSS_ENTROPY_BACKWARD),
)
