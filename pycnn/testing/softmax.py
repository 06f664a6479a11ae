"""Cases, oracle and PyTorch's answer: softmax and log-softmax along one axis."""

from typing import Any

import numpy as np

from pycnn.define import softmax as define
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import softmax as oracle
from pycnn.testing.case import Case
from pycnn.testing.tested import Settings, Tested, TestedGradient

#: Rows of a few lanes, of a warp, of a block, beyond shared memory, in registers; columns.
CASES = (
    Case("rows", {"x": (11, 257)}),
    Case("ones", {"x": (5, 1)}),
    Case("short rows", {"x": (301, 10)}),
    Case("vector", {"x": (7,)}),
    Case("number", {"x": ()}),
    Case("long rows", {"x": (3, 2501)}),
    Case("vectors", {"x": (19, 24)}),
    Case("many vectors", {"x": (3, 1032)}),
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

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        x, axis = arrays["x"], self.meant(settings).axis
        return {"y": getattr(oracle, self.op.name)(np.atleast_1d(x), axis).reshape(x.shape)}

    def terms(self, settings: Settings, arrays: Arrays) -> int:
        return int(np.atleast_1d(arrays["x"]).shape[self.meant(settings).axis])

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        import torch

        return {"y": getattr(torch, self.op.name)(tensors["x"], settings.get("axis", -1))}


class SoftmaxBackward(TestedGradient, of=define.SoftmaxBackward):
    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        dy, y = (np.atleast_1d(arrays[name]) for name in ("dy", "y"))
        dx = getattr(oracle, self.op.name)(dy, y, self.meant(settings).axis)
        return {"dx": dx.reshape(arrays["y"].shape)}

    def terms(self, settings: Settings, arrays: Arrays) -> int:
        return int(np.atleast_1d(arrays["y"]).shape[self.meant(settings).axis])
