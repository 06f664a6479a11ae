"""Cases, oracle and PyTorch's answer: the losses that are lines of a table."""

import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from pycnn.define import _ruled_loss as define
from pycnn.define.operation import Arrays
from pycnn.dtypes import numpy_dtype
from pycnn.reference.oracle import pointwise_loss as oracle
from pycnn.testing._pointwise_loss import loss_cases
from pycnn.testing.case import Case
from pycnn.testing.tested import Settings, Tested, TestedGradient, normal

#: Settings that are tried, by the name of the loss.
TRIED: dict[str, tuple[dict[str, Any], ...]] = {
    "smooth_l1_loss": ({"beta": 0.3}, {"beta": 0.0, "reduction": "none"}),
    "huber_loss": ({"delta": 0.3}, {"delta": 2.5, "reduction": "sum"}),
    "kl_div": ({"reduction": "batchmean"}, {"log_target": True}),
}

#: Those of probabilities.
PROBABLE = ("kl_div", "binary_cross_entropy")


class RuledLoss(Tested, of=define.RuledLoss):
    @cached_property
    def cases(self) -> Sequence[Case]:  # type: ignore[override]
        more = TRIED.get(self.op.name, ())
        usual = loss_cases({}, {"reduction": "sum"}, {"reduction": "none"}, *more)
        if not self.op.weights:
            return usual
        shapes = {"x": (3, 5, 7), "target": (3, 5, 7), "weight": (5, 1)}
        return (*usual, Case("weighted", shapes), Case("all", shapes, {"reduction": "none"}))

    def draw(self, case: Case, rng: np.random.Generator, dtype: str) -> dict[str, np.ndarray]:
        probable = self.op.name in PROBABLE and not case.settings.get("log_target")
        draw = rng.random if probable else rng.standard_normal
        drawn = {
            name: np.asarray(draw(shape)).astype(numpy_dtype(dtype))
            for name, shape in case.shapes.items()
        }
        if self.op.name == "kl_div":
            drawn["x"] = normal(rng, case.shapes["x"], dtype)
        if self.op.name == "binary_cross_entropy":  # without a slope that no dtype holds
            drawn["x"] = np.asarray(0.9 * drawn["x"] + 0.05).astype(numpy_dtype(dtype))
        return drawn

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        operands = arrays["x"], arrays["target"], arrays.get("weight")
        return {"loss": oracle.ruled(self.op.name, *operands, **vars(self.meant(settings)))}

    def terms(self, settings: Settings, arrays: Arrays) -> int:
        return 1 if settings.get("reduction") == "none" else int(arrays["x"].size)

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        import torch

        fixed = {n: t.detach() for n, t in tensors.items() if n in ("target", "weight")}
        function = getattr(torch.nn.functional, self.op.name)
        with warnings.catch_warnings():  # "mean" of kl_div, which PyTorch means to change
            warnings.simplefilter("ignore")
            return {"loss": function(tensors["x"], **fixed, **settings)}


class RuledBackward(TestedGradient, of=define.RuledBackward):
    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        operands = arrays["dy"], arrays["x"], arrays["target"], arrays.get("weight")
        meant = vars(self.meant(settings))
        return {"dx": oracle.ruled_backward(self.forward.op.name, *operands, **meant)}
