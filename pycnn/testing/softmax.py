"""Cases, oracle and PyTorch's answer: softmax and log-softmax along one axis."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pycnn.define import softmax as define
from pycnn.define.call import Call
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import softmax as oracle
from pycnn.testing.case import Case
from pycnn.testing.tested import Tested, TestedGradient

#: Rows of a few lanes, of a warp, of a block, beyond shared memory; columns.
CASES = (
    Case("rows", {"x": (11, 257)}),
    Case("ones", {"x": (5, 1)}),
    Case("short rows", {"x": (301, 10)}),
    Case("vector", {"x": (7,)}),
    Case("long rows", {"x": (3, 2501)}),
    Case("beyond shared memory", {"x": (2, 13001)}),
    Case("channels", {"x": (2, 21, 3, 5)}, {"axis": 1}),
    Case("first axis", {"x": (1001, 3)}, {"axis": 0}),
    Case("inner axis", {"x": (3, 5, 1, 4)}, {"axis": -2}),
    Case("empty batch", {"x": (0, 5)}),
    Case("empty axis", {"x": (3, 0, 2)}, {"axis": 1}),
    Case("imagenet scores", {"x": (64, 1000)}, standard=True),
    Case("mnist scores", {"x": (1024, 10)}, standard=True),
    Case("segmentation", {"x": (1, 21, 32, 40)}, {"axis": 1}, standard=True),
)


class Softmax(Tested, of=define.Softmax):
    cases = CASES

    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"y": getattr(oracle, self.op.name)(arrays["x"], call.settings)}

    def terms(self, call: Call) -> int:
        return call.views["x"].shape[call.settings]

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        return {"y": getattr(torch, self.op.name)(tensors["x"], settings.get("axis", -1))}


class SoftmaxBackward(TestedGradient, of=define.SoftmaxBackward):
    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"dx": getattr(oracle, self.op.name)(arrays["dy"], arrays["y"], call.settings)}

    def terms(self, call: Call) -> int:
        return call.views["y"].shape[call.settings]
