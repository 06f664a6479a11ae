"""Cases, oracle and PyTorch's answer: the reductions over axes, and of their gradients."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from pycnn.define import reduce as define
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import reduce as oracle
from pycnn.testing.case import Case
from pycnn.testing.reading import from_the_front
from pycnn.testing.tested import Settings, Tested, TestedGradient

#: Rows, columns and axes that do not merge; terms enough for several parts of a slice.
CASES = (
    Case("channels", {"x": (3, 5, 7, 2)}, {"axis": (0, 2, 3)}),
    Case("planes", {"x": (3, 5, 7, 7)}, {"axis": (2, 3), "keepdims": True}),
    Case("all of a vector", {"x": (1027,)}),
    Case("long rows", {"x": (2, 12345)}, {"axis": -1}),
    Case("first axis", {"x": (1031, 3)}, {"axis": 0, "keepdims": True}),
    Case("inner axis", {"x": (5, 33, 37)}, {"axis": 1}),
    Case("scalar", {"x": ()}),
    Case("ones", {"x": (1, 1, 3, 1)}, {"axis": (0, 3)}),
    Case("every other axis", {"x": (3, 2, 5, 3, 4)}, {"axis": (0, 2, -1)}),
    Case("no results", {"x": (0, 5)}, {"axis": 1}),
    Case("global pooling", {"x": (4, 128, 7, 7)}, {"axis": (2, 3)}, standard=True),
    Case("rows of a layer", {"x": (64, 1, 56, 56)}, {"axis": (2, 3)}, standard=True),
    Case("global pooling, NHWC", {"x": (4, 49, 256)}, {"axis": 1}, standard=True),
)


EMPTY = Case("over nothing", {"x": (3, 0, 2)}, {"axis": 1})


ONE_AXIS = (
    Case("scores", {"x": (301, 10)}, {"axis": 1}),
    Case("all of a matrix", {"x": (37, 41)}, {"keepdims": True}),
    Case("long rows", {"x": (2, 12345)}, {"axis": -1}),
    Case("first axis", {"x": (1031, 3)}, {"axis": 0, "keepdims": True}),
    Case("inner axis", {"x": (5, 33, 37)}, {"axis": 1}),
    Case("scalar", {"x": ()}),
    Case("no results", {"x": (0, 5)}, {"axis": 1}),
    Case("imagenet scores", {"x": (64, 1000)}, {"axis": 1}, standard=True),
    Case("segmentation", {"x": (1, 21, 32, 40)}, {"axis": 1}, standard=True),
)


#: The oracle's functions.
FUNCTIONS = {"sum": oracle.total, "mean": oracle.mean, "amax": oracle.amax, "amin": oracle.amin}


class Reduction(Tested, of=define.Reduction):
    cases: Sequence[Case] = CASES

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s, x = self.meant(settings), arrays["x"]
        axes = from_the_front(s.axis, x.ndim)
        return {"y": FUNCTIONS[self.op.name](x, axes, s.keepdims)}

    def terms(self, settings: Settings, arrays: Arrays) -> int:
        x = arrays["x"]
        return prod(x.shape[axis] for axis in from_the_front(settings.get("axis"), x.ndim))

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        import torch

        x, keepdims = tensors["x"], settings.get("keepdims", False)
        axes = settings.get("axis")
        axes = tuple(range(x.ndim)) if axes is None else axes
        return {"y": getattr(torch, self.op.name)(x, axes, keepdims)}


class Sum(Reduction, of=define.Sum):
    cases = (*CASES, EMPTY)


class Argmax(Reduction, of=define.Argmax):
    cases = ONE_AXIS

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s = self.meant(settings)
        return {"y": getattr(oracle, self.op.name)(arrays["x"], s.axis, s.keepdims)}

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        import torch

        keepdims = settings.get("keepdims", False)
        function = getattr(torch, self.op.name)
        return {"y": function(tensors["x"], settings.get("axis"), keepdims)}


class SumBackward(TestedGradient, of=define.SumBackward):
    def settings(self, case: Case) -> dict[str, Any]:
        return {"shape": case.shapes["x"], **case.settings}

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s = self.meant(settings)
        axes = from_the_front(s.axis, len(s.shape))
        dx = oracle.total_backward(arrays["dy"], s.shape, axes)
        return {"dx": self.shared(dx, prod(s.shape[axis] for axis in axes))}

    def shared(self, dx: np.ndarray, count: int) -> np.ndarray:
        """The gradient of each of `count` terms, from that of a sum."""
        return dx


class MeanBackward(SumBackward, of=define.MeanBackward):
    def shared(self, dx: np.ndarray, count: int) -> np.ndarray:
        return dx / max(count, 1)


class AmaxBackward(TestedGradient, of=define.AmaxBackward):
    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        x = arrays["x"]
        axes = from_the_front(self.meant(settings).axis, x.ndim)
        return {"dx": oracle.extreme_backward(arrays["dy"], x, arrays["y"], axes)}
