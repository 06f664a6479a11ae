"""Cases, oracle and PyTorch's answer: the fully connected layer and its gradients."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from pycnn.define import linear as define
from pycnn.define.operation import Arrays
from pycnn.reference.oracle.conv import finished
from pycnn.testing.case import Case
from pycnn.testing.conv_settings import activated_by_torch
from pycnn.testing.tested import Settings, Tested, TestedGradient


class Linear(Tested, of=define.Linear):
    cases = (
        Case("plain", {"x": (21, 35), "weight": (19, 35)}),
        Case("bias", {"x": (3, 5, 35), "weight": (19, 35), "bias": (19,)}),
        Case("vector", {"x": (35,), "weight": (19, 35), "bias": (19,)}),
        Case("relu", {"x": (21, 35), "weight": (19, 35), "bias": (19,)}, {"activation": "relu"}),
        Case("silu", {"x": (2, 3, 5, 7), "weight": (11, 7)}, {"activation": "silu"}),
        Case(
            "leaky",
            {"x": (21, 35), "weight": (19, 35)},
            {"activation": "leaky_relu", "negative_slope": 0.2},
        ),
        Case("no rows", {"x": (0, 5), "weight": (3, 5), "bias": (3,)}),
        Case("nothing to sum", {"x": (4, 0), "weight": (3, 0), "bias": (3,)}),
        Case("head", {"x": (32, 512), "weight": (100, 512), "bias": (100,)}, standard=True),
    )

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        x, weight = (arrays[name].astype(np.float64) for name in ("x", "weight"))
        sums = x @ weight.T + (arrays["bias"].astype(np.float64) if "bias" in arrays else 0)
        s, flat = self.meant(settings), sums.reshape(-1, len(weight))
        y = finished(flat, activation=s.activation, slope=s.negative_slope)
        return {"y": y.reshape(sums.shape)}

    def terms(self, settings: Settings, arrays: Arrays) -> int:
        return arrays["x"].shape[-1]

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        return {"y": activated_by_torch(super().torch(tensors, {})["y"], self.meant(settings))}


class LinearBackward(TestedGradient, of=define.LinearBackward):
    @property
    def cases(self) -> Sequence[Case]:  # type: ignore[override]
        """Those of forward that end with the sum and a bias."""
        return [case for case in self.forward.cases if not case.settings]

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        dy, x, weight = (arrays[name].astype(np.float64) for name in ("dy", "x", "weight"))
        rows = tuple(range(x.ndim - 1))
        gradients = dy @ weight, np.tensordot(dy, x, (rows, rows)), dy.sum(axis=rows)
        return self._needed(settings, gradients)

    def terms(self, settings: Settings, arrays: Arrays) -> dict[str, int]:
        *rows, outputs = arrays["dy"].shape
        return self._needed(settings, (outputs, prod(rows), prod(rows)))

    def _needed(self, settings: Settings, gradients: Sequence[Any]) -> dict[str, Any]:
        needs = self.meant(settings).needs
        named = zip(("dx", "dweight", "dbias"), gradients, needs, strict=True)
        return {name: gradient for name, gradient, need in named if need}
