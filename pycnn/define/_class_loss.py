"""What the losses over class indices share: their arguments, cases and checks."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from pycnn.define.call import Call, Inference, itemsize
from pycnn.define.operation import Arrays, Gradient, Operation
from pycnn.define.validate import check_shape, choice, integer
from pycnn.define.values import Allowed
from pycnn.define.views import View
from pycnn.dtypes import FLOATS
from pycnn.plan.loss import ClassLoss
from pycnn.plan.soft_loss import SoftLoss

REDUCTIONS = ("none", "sum", "mean")
RANKS: tuple[int, ...] = tuple(range(1, 33))
AXES = "(C,), (N, C) or (N, C, d1, ...)"


@dataclass(frozen=True)
class Parameters:
    """Arguments of such a loss that are no arrays."""

    ignore_index: int
    reduction: str
    label_smoothing: float = 0.0


class OverClasses:
    """Shapes of scores (logits or log-probabilities), class indices and class weights."""

    #: Name of the operand with the scores.
    scores: str

    def soft(self, views: Mapping[str, View]) -> bool:
        """Whether the targets are probabilities of the classes."""
        return views["target"].dtype in FLOATS

    def loss_shape(self, views: Mapping[str, View], reduction: str) -> tuple[int, ...]:
        shape = views[self.scores].shape
        return shape[:1] * (len(shape) > 1) + shape[2:] if reduction == "none" else ()

    def check(
        self, views: Mapping[str, View], ignore_index: Any, reduction: Any, smoothing: float = 0.0
    ) -> Parameters:
        """Shapes fit together; the parameters, checked."""
        shape = views[self.scores].shape
        batched = len(shape) > 1
        classes = shape[1 if batched else 0]
        if classes == 0:
            raise ValueError(f"{self.scores} has shape {shape}; allowed: at least one class")
        ignored = integer("ignore_index", ignore_index, -(2**63), 2**63 - 1)
        expected = shape[:1] + shape[2:] if batched else ()
        meaning = f"that of {self.scores} without the class axis"
        if self.soft(views):
            self.check_soft(views, ignored)
            expected, meaning = shape, f"that of {self.scores}, as they are probabilities"
        check_shape("target", views["target"].shape, expected, meaning)
        if "weight" in views:
            meaning = f"one for every class of {self.scores}"
            check_shape("weight", views["weight"].shape, (classes,), meaning)
        return Parameters(ignored, choice("reduction", reduction, REDUCTIONS), smoothing)

    def check_soft(self, views: Mapping[str, View], ignored: int) -> None:
        """What is special to probabilities."""
        dtypes = views["target"].dtype, views[self.scores].dtype
        if dtypes[0] != dtypes[1]:
            raise TypeError(
                f"target has dtype {dtypes[0]} but {self.scores} has {dtypes[1]}; allowed: that "
                "dtype for probabilities, int64 or int32 for classes"
            )
        if ignored >= 0:
            raise ValueError(
                f"ignore_index={ignored} with probabilities as target; allowed: a negative one"
            )

    def allowed(self, call: Call) -> dict[str, Allowed]:
        """Every target is a class or ignored."""
        if self.soft(call.views):
            return {}
        shape, ignored = call.views[self.scores].shape, call.settings.ignore_index
        last = shape[1 if len(shape) > 1 else 0] - 1
        said = f"0 to {last}, and ignore_index={ignored}"
        return {"target": Allowed(0, last, said, also=ignored)}

    def problem(self, call: Call) -> ClassLoss:
        """As plans take it: with an axis for the batch."""
        scores, target = call.views[self.scores], call.views["target"]
        soft = self.soft(call.views)
        if scores.rank == 1:
            scores, target = scores.with_rank(2), target.with_rank(2 if soft else 1)
        weight = call.views.get("weight")
        settings = call.settings
        return (SoftLoss if soft else ClassLoss)(
            scores.shape,
            scores.strides,
            target.strides,
            None if weight is None else weight.strides[0],
            call.dtype,
            settings.ignore_index,
            settings.reduction,
            settings.label_smoothing,
            target.dtype == "int32",
        )

    def flops(self, call: Call) -> int:
        return 7 * prod(call.views[self.scores].shape)


class ClassLossForward(OverClasses, Operation):
    """A loss from scores and class indices."""

    def arguments(self, call: Call, arrays: Arrays) -> tuple[Any, ...]:
        """As the references take them."""
        return arrays[self.scores], arrays["target"], arrays.get("weight"), *parameters(call)


class ClassLossBackward(OverClasses, Gradient):
    """Its gradient with respect to the scores."""

    upstream = {"dy": "loss"}  # noqa: RUF012

    def infer_gradient(self, views: Mapping[str, View], parameters: Parameters) -> Inference:
        shape = self.loss_shape(views, parameters.reduction)
        check_shape("dy", views["dy"].shape, shape, "that of the loss")
        return parameters, {f"d{self.scores}": (views[self.scores].shape, None)}

    def dy_strides(self, call: Call) -> tuple[int, ...]:
        """Over the positions; empty where the loss is one number."""
        if call.settings.reduction != "none":
            return ()
        return call.views["dy"].strides or (0,)

    def necessary_bytes(self, call: Call) -> int:
        """The mean divides by a sum over all targets before the first gradient is written."""
        twice = call.settings.reduction == "mean" and not self.soft(call.views)
        target = call.views["target"]
        return call.bytes + twice * itemsize(target.dtype) * prod(target.shape)


def parameters(call: Call) -> tuple[Any, ...]:
    """What comes after the arrays in the references' functions."""
    settings = call.settings
    return settings.ignore_index, settings.reduction, settings.label_smoothing
