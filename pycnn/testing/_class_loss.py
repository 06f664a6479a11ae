"""What the losses over class indices are tested with."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pycnn.define import _class_loss as define
from pycnn.define.operation import Arrays
from pycnn.dtypes import numpy_dtype
from pycnn.testing.case import Case
from pycnn.testing.tested import Settings, Tested, TestedGradient


class OverClasses(Tested, of=define.OverClasses):
    def classes_of(self, arrays: Arrays) -> int:
        """Number of classes."""
        shape = arrays[self.op.scores].shape
        return int(shape[1 if len(shape) > 1 else 0])

    def soft(self, shapes: Mapping[str, Any]) -> bool:
        """Whether targets of these shapes are probabilities of the classes."""
        return shapes["target"] == shapes[self.op.scores]

    def placeholders(self, case: Case, dtype: str) -> dict[str, np.ndarray]:
        placed = super().placeholders(case, dtype)
        own = dtype if self.soft(case.shapes) else "int64"
        zero = np.zeros((), numpy_dtype(own))
        return {**placed, "target": np.broadcast_to(zero, case.shapes["target"])}

    def torch_loss(self, name: str, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        import torch

        function = getattr(torch.nn.functional, name)
        weight = tensors["weight"].detach() if "weight" in tensors else None
        target = tensors["target"].detach()
        return {"loss": function(tensors[self.op.scores], target, weight, **settings)}


class ClassLossForward(OverClasses, of=define.ClassLossForward):
    def terms(self, settings: Settings, arrays: Arrays) -> int:
        summed, classes = self.meant(settings).reduction != "none", self.classes_of(arrays)
        positions = arrays[self.op.scores].size // max(classes, 1)
        return classes + (positions if summed else 1)

    def draw(self, case: Case, rng: np.random.Generator, dtype: str) -> dict[str, np.ndarray]:
        shape = case.shapes[self.op.scores]
        classes = shape[1 if len(shape) > 1 else 0]
        target: np.ndarray = np.asarray(rng.integers(0, classes, case.shapes["target"]))
        if self.soft(case.shapes):
            target = rng.random(shape)
            target /= target.sum(axis=min(len(shape) - 1, 1), keepdims=True)
            target = target.astype(numpy_dtype(dtype))
        elif target.size > 1 and not case.standard:
            target[rng.random(target.shape) < 0.2] = case.settings.get("ignore_index", -100)
            target.flat[0] = 0
        drawn = {self.op.scores: self.draw_scores(rng, shape).astype(numpy_dtype(dtype))}
        drawn["target"] = target
        if "weight" in case.shapes:
            weight = rng.random(case.shapes["weight"]) + 0.5
            drawn["weight"] = weight.astype(numpy_dtype(dtype))
        return drawn

    def draw_scores(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return 3 * np.asarray(rng.standard_normal(shape))


class ClassLossBackward(OverClasses, TestedGradient, of=define.ClassLossBackward):
    def terms(self, settings: Settings, arrays: Arrays) -> int:
        return self.classes_of(arrays) + int(arrays["target"].size)


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

    def soft(name: str, shape: tuple[int, ...], weighted: bool = False, **also: Any) -> Case:
        """With probabilities as target."""
        hard = case(name, shape, weighted, **also)
        return replace(hard, shapes={**hard.shapes, "target": shape})

    likely = (
        soft("probabilities", (9, 33), True, **smooth),
        soft("probabilities of few", (301, 10)),
        soft("probabilities of one position", (5,), True),
        soft("probabilities of pixels", (3, 21, 5, 7), True, reduction="sum", **smooth),
        soft("costs of probabilities", (2, 5, 3, 4), reduction="none"),
        soft("costs of long rows", (3, 1025), True, reduction="none", **smooth),
        soft("probabilities beyond shared memory", (2, 13001), reduction="sum"),
        soft("probabilities of nothing", (0, 5, 3)),
        soft("mixed labels", (64, 1000), standard=True, **smooth),
        soft("segmentation probabilities", (1, 21, 32, 40), standard=True),
    )

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
        *(likely if smoothed else ()),
    )
