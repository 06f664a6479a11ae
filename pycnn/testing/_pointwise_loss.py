"""Cases, oracle and PyTorch's answer: the losses that compare two tensors element by element."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pycnn.define import _pointwise_loss as define
from pycnn.define.operation import Arrays
from pycnn.dtypes import numpy_dtype
from pycnn.reference.oracle import pointwise_loss as oracle
from pycnn.testing.case import Case, Shape
from pycnn.testing.tested import Settings, Tested, TestedGradient, normal

#: What may weigh a cost, without a gradient of its own.
WEIGHTS = ("weight", "pos_weight")


class PointwiseLoss(Tested, of=define.PointwiseLoss):
    #: What is compared with the target.
    compared = "x"
    #: The oracle's function, and what it multiplies a cost by.
    function = "mse_loss"
    factor = 1.0

    def arguments(self, settings: Settings, arrays: Arrays) -> tuple[Any, ...]:
        """Of the oracle's function."""
        reduction = self.meant(settings).reduction
        return arrays[self.compared], arrays["target"], reduction, self.factor

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        return {"loss": getattr(oracle, self.function)(*self.arguments(settings, arrays))}

    def terms(self, settings: Settings, arrays: Arrays) -> int:
        return 1 if settings.get("reduction") == "none" else int(arrays[self.compared].size)

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        import torch

        fixed = {n: t.detach() for n, t in tensors.items() if n in WEIGHTS}
        function = getattr(torch.nn.functional, self.op.name)
        return {"loss": function(tensors[self.compared], tensors["target"], **fixed, **settings)}


class PointwiseBackward(TestedGradient, of=define.PointwiseBackward):
    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        forward = self.forward
        function = getattr(oracle, f"{forward.function}_backward")
        dx = function(arrays["dy"], *forward.arguments(settings, arrays))
        return {f"d{forward.compared}": dx}


def loss_cases(*settings: Mapping[str, Any]) -> tuple[Case, ...]:
    """Small shapes, with each of these settings in turn."""
    shapes = {
        "planes": (3, 5, 7, 2),
        "vector": (1027,),
        "many": (3, 7001),
        "scalar": (),
        "empty": (0, 5),
        "layer": (16, 3, 32, 32),
    }
    return tuple(
        Case(
            f"{name} {number}" if number else name,
            {"x": shape, "target": shape},
            chosen,
            standard=name == "layer",
        )
        for number, chosen in enumerate(settings)
        for name, shape in shapes.items()
        if number == 0 or name in ("planes", "many", "layer")
    )


class MseLoss(PointwiseLoss, of=define.MseLoss):
    cases = loss_cases({}, {"reduction": "sum"}, {"reduction": "none"})


class SumOfHalfSquares(PointwiseLoss, of=define.SumOfHalfSquares):
    cases = loss_cases({})
    factor = 0.5

    def arguments(self, settings: Settings, arrays: Arrays) -> tuple[Any, ...]:
        return super().arguments({"reduction": "sum"}, arrays)

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        import torch

        x, target = tensors.values()
        squares = torch.nn.functional.mse_loss(x, target, reduction="sum")
        return {"loss": squares / 2}


def _bce(
    name: str,
    shape: Shape,
    weight: Shape | None = None,
    pos_weight: Shape | None = None,
    standard: bool = False,
    **settings: Any,
) -> Case:
    shapes = {"logits": shape, "target": shape}
    shapes |= {} if weight is None else {"weight": weight}
    shapes |= {} if pos_weight is None else {"pos_weight": pos_weight}
    return Case(name, shapes, settings, standard)


class BinaryCrossEntropy(PointwiseLoss, of=define.BinaryCrossEntropy):
    compared, function = "logits", "binary_cross_entropy"
    cases = (
        _bce("labels", (301, 7), None, (7,)),
        _bce("costs", (3, 5, 7), reduction="none"),
        _bce("vector", (1027,)),
        _bce("weighted costs", (3, 5, 7), (5, 1), (3, 1, 7), reduction="none"),
        _bce("sum", (3, 5, 7), (3, 5, 7), reduction="sum"),
        _bce("scalar", (), (), ()),
        _bce("empty", (0, 5), None, (5,)),
        _bce("layer", (16, 1, 64, 64), standard=True),
        _bce("costs of a layer", (16, 1, 64, 64), standard=True, reduction="none"),
    )

    def arguments(self, settings: Settings, arrays: Arrays) -> tuple[Any, ...]:
        logits, target, *how = super().arguments(settings, arrays)
        return logits, target, *(arrays.get(name) for name in WEIGHTS), *how

    def draw(self, case: Case, rng: np.random.Generator, dtype: str) -> dict[str, np.ndarray]:
        drawn = {"logits": normal(rng, case.shapes["logits"], dtype)}
        for name, shape in case.shapes.items():
            if name != "logits":
                drawn[name] = np.asarray(rng.random(shape)).astype(numpy_dtype(dtype))
        return drawn
