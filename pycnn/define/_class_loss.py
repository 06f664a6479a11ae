"""What the losses over class indices share: their arguments, cases and checks."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from pycnn.define.call import Call, Inferred
from pycnn.define.case import Case
from pycnn.define.operation import Arrays, Gradient, Operation
from pycnn.define.validate import check_shape, choice, integer
from pycnn.define.values import Allowed
from pycnn.define.views import View
from pycnn.dtypes import numpy_dtype
from pycnn.plan.loss import ClassLoss

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

    def loss_shape(self, views: Mapping[str, View], reduction: str) -> tuple[int, ...]:
        return views["target"].shape if reduction == "none" else ()

    def check(
        self, views: Mapping[str, View], ignore_index: Any, reduction: Any, smoothing: float = 0.0
    ) -> Parameters:
        """Shapes fit together; the parameters, checked."""
        shape = views[self.scores].shape
        batched = len(shape) > 1
        classes = shape[1 if batched else 0]
        if classes == 0:
            raise ValueError(f"{self.scores} has shape {shape}; allowed: at least one class")
        expected = shape[:1] + shape[2:] if batched else ()
        meaning = f"that of {self.scores} without the class axis"
        check_shape("target", views["target"].shape, expected, meaning)
        if "weight" in views:
            meaning = f"one for every class of {self.scores}"
            check_shape("weight", views["weight"].shape, (classes,), meaning)
        ignored = integer("ignore_index", ignore_index, -(2**63))
        return Parameters(ignored, choice("reduction", reduction, REDUCTIONS), smoothing)

    def allowed(self, call: Call) -> dict[str, Allowed]:
        """Every target is a class or ignored."""
        shape, ignored = call.views[self.scores].shape, call.settings.ignore_index
        last = shape[1 if len(shape) > 1 else 0] - 1
        said = f"0 to {last}, and ignore_index={ignored}"
        return {"target": Allowed(0, last, said, also=ignored)}

    def problem(self, call: Call) -> ClassLoss:
        """As plans take it: with an axis for the batch."""
        scores, target = call.views[self.scores], call.views["target"]
        if scores.rank == 1:
            scores, target = scores.with_rank(2), target.with_rank(1)
        weight = call.views.get("weight")
        settings = call.settings
        return ClassLoss(
            scores.shape,
            scores.strides,
            target.strides,
            None if weight is None else weight.strides[0],
            call.dtype,
            settings.ignore_index,
            settings.reduction,
            settings.label_smoothing,
        )

    def flops(self, call: Call) -> int:
        return 7 * prod(call.views[self.scores].shape)

    def torch_loss(self, name: str, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        function = getattr(torch.nn.functional, name)
        weight = tensors["weight"].detach() if "weight" in tensors else None
        return {"loss": function(tensors[self.scores], tensors["target"], weight, **settings)}


class ClassLossForward(OverClasses, Operation):
    """A loss from scores and class indices."""

    def arguments(self, call: Call, arrays: Arrays) -> tuple[Any, ...]:
        """As the references take them."""
        return arrays[self.scores], arrays["target"], arrays.get("weight"), *parameters(call)

    def terms(self, call: Call) -> int:
        scores = call.views[self.scores].shape
        positions = prod(call.views["target"].shape) if call.settings.reduction != "none" else 1
        return positions + scores[1 if len(scores) > 1 else 0]

    def draw(self, case: Case, rng: np.random.Generator, dtype: str) -> dict[str, np.ndarray]:
        shape = case.shapes[self.scores]
        classes = shape[1 if len(shape) > 1 else 0]
        target = np.asarray(rng.integers(0, classes, case.shapes["target"]))
        if target.size > 1 and not case.standard:
            target[rng.random(target.shape) < 0.2] = case.settings.get("ignore_index", -100)
            target.flat[0] = 0
        drawn = {self.scores: self.draw_scores(rng, shape).astype(numpy_dtype(dtype))}
        drawn["target"] = target
        if "weight" in case.shapes:
            weight = rng.random(case.shapes["weight"]) + 0.5
            drawn["weight"] = weight.astype(numpy_dtype(dtype))
        return drawn

    def draw_scores(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return 3 * np.asarray(rng.standard_normal(shape))


class ClassLossBackward(OverClasses, Gradient):
    """Its gradient with respect to the scores."""

    upstream = {"dy": "loss"}  # noqa: RUF012

    def infer_gradient(self, views: Mapping[str, View], parameters: Parameters) -> Inferred:
        shape = self.loss_shape(views, parameters.reduction)
        check_shape("dy", views["dy"].shape, shape, "that of the loss")
        return Inferred(parameters, {f"d{self.scores}": (views[self.scores].shape, None)})

    def dy_strides(self, call: Call) -> tuple[int, ...]:
        """Over the positions; empty where the loss is one number."""
        if call.settings.reduction != "none":
            return ()
        return call.views["dy"].strides or (0,)

    def necessary_bytes(self, call: Call) -> int:
        """The mean divides by a sum over all targets before the first gradient is written."""
        twice = call.settings.reduction == "mean"
        return call.bytes + twice * 8 * prod(call.views["target"].shape)

    def terms(self, call: Call) -> int:
        shape = call.views[self.scores].shape
        return shape[1 if len(shape) > 1 else 0] + prod(call.views["target"].shape)


def parameters(call: Call) -> tuple[Any, ...]:
    """What comes after the arrays in the references' functions."""
    given = call.settings
    return given.ignore_index, given.reduction, given.label_smoothing


def cases(scores: str, *smoothed: Mapping[str, Any]) -> tuple[Case, ...]:
    """Every shape, with each setting at least once."""
    smooth = dict(smoothed[0]) if smoothed else {}

    def case(
        name: str,
        shape: tuple[int, ...],
        weighted: bool = False,
        standard: bool = False,
        **also: Any,
    ) -> Case:
        target = shape[:1] + shape[2:] if len(shape) > 1 else ()
        shapes = {scores: shape, "target": target}
        if weighted:
            shapes["weight"] = shape[1:2] if len(shape) > 1 else shape
        return Case(name, shapes, also, standard)

    return (
        case("segmentation", (3, 21, 5, 7), True, **smooth),
        case("one position", (5,), True),
        case("short rows", (301, 10)),
        case("rows", (9, 33), True, reduction="none", **smooth),
        case("long rows", (3, 1025), reduction="sum", **smooth),
        case("beyond shared memory", (2, 13001)),
        case("segmentation costs", (2, 5, 3, 4), reduction="none", ignore_index=2),
        case("volume", (2, 3, 2, 3, 5), True, reduction="sum", ignore_index=-1),
        case("one pixel", (2, 5, 1, 1)),
        case("empty batch", (0, 5)),
        case("empty batch, sum", (0, 5, 3), True, reduction="sum"),
        case("empty image", (2, 5, 0), reduction="none"),
        case("imagenet", (64, 1000), standard=True),
        case("mnist", (1024, 10), standard=True),
        case("segmentation image", (1, 21, 32, 40), standard=True),
    )
