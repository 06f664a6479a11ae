"""Cases, oracle and PyTorch's answer: the k largest elements along an axis, and of the gradient."""

from typing import Any

import numpy as np

from pycnn.define import topk as define
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import topk as oracle
from pycnn.testing.case import Case
from pycnn.testing.tested import Settings, Tested, TestedGradient


class Topk(Tested, of=define.Topk):
    cases = (
        Case("rows", {"x": (7, 33)}, {"k": 5}),
        Case("vector", {"x": (5,)}, {"k": 5}),
        Case("smallest", {"x": (3, 301)}, {"k": 37, "largest": False}),
        Case("one", {"x": (3, 2, 1)}, {"k": 1}),
        Case("many", {"x": (2, 1503)}, {"k": 1023, "sorted": False}),
        Case("beyond shared memory", {"x": (1, 13001)}, {"k": 3}),
        Case("channels", {"x": (2, 21, 3, 5)}, {"k": 3, "axis": 1}),
        Case("empty", {"x": (0, 5)}, {"k": 2}),
        Case("imagenet scores", {"x": (64, 1000)}, {"k": 5}, standard=True),
    )

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s = self.meant(settings)
        values, indices = oracle.topk(arrays["x"], s.k, s.axis, s.largest)
        return {"values": values, "indices": indices}

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        import torch

        options = {"dim": settings.get("axis", -1), "largest": settings.get("largest", True)}
        values, indices = torch.topk(tensors["x"], settings["k"], **options)
        return {"values": values, "indices": indices}


class TopkBackward(TestedGradient, of=define.TopkBackward):
    def settings(self, case: Case) -> dict[str, Any]:
        return {"shape": case.shapes["x"], "axis": case.settings.get("axis", -1)}

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s = self.meant(settings)
        return {"dx": oracle.topk_backward(arrays["dy"], arrays["indices"], s.shape, s.axis)}
