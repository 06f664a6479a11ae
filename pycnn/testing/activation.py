"""Cases, oracle and PyTorch's answer: the activations."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from pycnn.define import activation as define
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import activation as oracle
from pycnn.testing.case import Case
from pycnn.testing.tested import NoPeer, Settings, Tested, TestedGradient

#: Shapes that every activation is tried on; those with settings have a vector for each.
SHAPES = {
    "scalar": (),
    "one": (1,),
    "matrices": (3, 5, 7),
    "rank 5": (2, 3, 5, 7, 2),
    "empty": (3, 0, 5),
}
VECTOR, LAYER = (2051,), (1, 64, 28, 28)


#: Settings that are tried beside the defaults.
TRIED: dict[str, tuple[dict[str, Any], ...]] = {
    "clip": ({"min": -1, "max": 0.5}, {"min": 0.25}, {"max": 1}, {"min": 1, "max": -1}),
    "hardtanh": ({"min_val": -0.25, "max_val": 1.5},),
    "leaky_relu": ({"negative_slope": -0.75},),
    "elu": ({"alpha": -0.7},),
    "celu": ({"alpha": 4.0}, {"alpha": -0.5}),  # PyTorch rounds 1 / alpha to float32
    "softplus": ({"beta": 2.5, "threshold": 1}, {"beta": -1}),
    "gelu": ({"approximate": "tanh"},),
}


def clamp(x: Any, **bounds: Any) -> Any:
    """clip by PyTorch."""
    import torch

    if set(bounds.values()) <= {None}:
        raise NoPeer("PyTorch clips with at least one bound")
    return torch.clamp(x, **bounds)


def hardsigmoid(x: Any) -> Any:
    """By PyTorch, whose gradient has 1 / 6 rounded to float32: that of relu6 has not."""
    from torch.nn import functional

    return functional.relu6(x + 3) / 6 if x.requires_grad else functional.hardsigmoid(x)


#: What PyTorch computes otherwise than by its function of the same name.
TORCH = {"clip": clamp, "hardsigmoid": hardsigmoid}


class Activation(Tested, of=define.Activation):
    @cached_property
    def cases(self) -> Sequence[Case]:  # type: ignore[override]
        settings = ({}, *TRIED.get(self.op.name, ()))
        tried = [
            Case(", ".join(f"{k}={v}" for k, v in each.items()) or "vector", {"x": VECTOR}, each)
            for each in settings
        ]
        shapes = [Case(name, {"x": shape}) for name, shape in SHAPES.items()]
        return (*tried, *shapes, Case("resnet50 layer", {"x": LAYER}, standard=True))

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        return {"y": getattr(oracle, self.op.name)(arrays["x"], **vars(self.meant(settings)))}

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        if self.op.name not in TORCH:
            return super().torch(tensors, settings)
        return {"y": TORCH[self.op.name](tensors["x"], **settings)}


class ActivationBackward(TestedGradient, of=define.ActivationBackward):
    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        function = getattr(oracle, self.op.name)
        return {"dx": function(arrays["dy"], arrays["x"], **vars(self.meant(settings)))}
