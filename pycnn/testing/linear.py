"""Cases, oracle and PyTorch's answer: the fully connected layer and its gradients."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from pycnn.define import linear as define
from pycnn.define.call import Call
from pycnn.define.operation import Arrays
from pycnn.reference.oracle.conv import finished
from pycnn.testing.case import Case
from pycnn.testing.tested import NoPeer, Tested, TestedGradient


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

    def oracle(self, call: Call, arrays: Arrays) -> dict[str, np.ndarray]:
        x, weight = (arrays[name].astype(np.float64) for name in ("x", "weight"))
        sums = x @ weight.T + (arrays["bias"].astype(np.float64) if "bias" in arrays else 0)
        return {"y": self.op._finished(call, finished, sums)}

    def terms(self, call: Call) -> int:
        return call.views["x"].shape[-1]

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        if settings:
            raise NoPeer("PyTorch's linear has no activation")
        return super().torch(tensors, settings)


class LinearBackward(TestedGradient, of=define.LinearBackward):
    @property
    def cases(self) -> Sequence[Case]:  # type: ignore[override]
        """Those of forward that end with the sum and a bias."""
        return [case for case in self.forward.cases if not case.settings]

    def oracle(self, call: Call, arrays: Arrays) -> dict[str, np.ndarray]:
        wide = (arrays[name].astype(np.float64) for name in ("dy", "x", "weight"))
        return self.op._gradients(call, *wide)

    def terms(self, call: Call) -> dict[str, int]:
        dy = call.views["dy"].shape
        found = {"dx": dy[-1], "dweight": prod(dy[:-1]), "dbias": prod(dy[:-1])}
        return {name: found[name] for name in call.settings}
