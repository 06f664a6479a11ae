"""Cases, oracle and PyTorch's answer: prelu, one slope or one a channel."""

from collections.abc import Mapping
from math import prod

import numpy as np

from pycnn.define import prelu as define
from pycnn.define.call import Call
from pycnn.reference.oracle import prelu as oracle
from pycnn.testing.case import Case
from pycnn.testing.tested import Tested, TestedGradient


class Prelu(Tested, of=define.Prelu):
    cases = (
        Case("channels", {"x": (3, 5, 2, 7), "weight": (5,)}),
        Case("packs", {"x": (3, 5, 2, 8), "weight": (5,)}),
        Case("one slope", {"x": (3, 5, 7), "weight": (1,)}),
        Case("scalar slope", {"x": (3, 5, 7), "weight": ()}),
        Case("matrix", {"x": (70, 35), "weight": (35,)}),
        Case("vector", {"x": (1029,), "weight": (1,)}),
        Case("scalar", {"x": (), "weight": ()}),
        Case("empty", {"x": (0, 5, 7), "weight": (5,)}),
        Case("resnet50 layer", {"x": (1, 64, 28, 28), "weight": (64,)}, standard=True),
    )

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"y": oracle.prelu(arrays["x"], arrays["weight"])}


class PreluBackward(TestedGradient, of=define.PreluBackward):
    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        dx, dweight = oracle.prelu_backward(arrays["dy"], arrays["x"], arrays["weight"])
        return {"dx": dx, "dweight": dweight}

    def terms(self, call: Call) -> dict[str, int]:
        slopes = max(1, prod(call.outputs["dweight"].shape))
        return {"dx": 1, "dweight": prod(call.views["x"].shape) // slopes}
