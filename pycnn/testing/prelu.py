"""Cases, oracle and PyTorch's answer: prelu, one slope or one a channel."""

import numpy as np

from pycnn.define import prelu as define
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import prelu as oracle
from pycnn.testing.case import Case
from pycnn.testing.tested import Settings, Tested, TestedGradient


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

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        return {"y": oracle.prelu(arrays["x"], arrays["weight"])}


class PreluBackward(TestedGradient, of=define.PreluBackward):
    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        dx, dweight = oracle.prelu_backward(arrays["dy"], arrays["x"], arrays["weight"])
        return {"dx": dx, "dweight": dweight}

    def terms(self, settings: Settings, arrays: Arrays) -> dict[str, int]:
        return {"dx": 1, "dweight": arrays["x"].size // arrays["weight"].size}
