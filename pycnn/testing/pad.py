"""Cases, oracle and PyTorch's answer: padding and of its gradient."""

from math import prod
from typing import Any

import numpy as np

from pycnn.define import pad as define
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import pad as oracle
from pycnn.testing.case import Case
from pycnn.testing.reading import Pairs
from pycnn.testing.tested import NoPeer, Settings, Tested, TestedGradient

CASES = (
    Case("rows and columns", {"x": (2, 3, 5, 7)}, {"padding": (1, 2, 0, 3)}),
    Case("value", {"x": (3, 5)}, {"padding": (2, 1), "value": -1.5}),
    Case("all axes", {"x": (2, 3, 4)}, {"padding": (1, 0, 0, 2, 2, 1)}),
    Case("crop and pad", {"x": (4, 7, 6)}, {"padding": (-2, 3, 1, -3)}),
    Case("reflect", {"x": (2, 3, 5, 7)}, {"padding": (6, 2, 1, 4), "mode": "reflect"}),
    Case("reflect, cropped", {"x": (3, 7)}, {"padding": (-2, 3), "mode": "reflect"}),
    Case("replicate", {"x": (3, 4, 5)}, {"padding": (7, 1, 2, 9), "mode": "replicate"}),
    Case(
        "circular 3 axes",
        {"x": (1, 2, 3, 4, 5)},
        {"padding": (5, 2, 1, 4, 3, 0), "mode": "circular"},
    ),
    Case("circular, cropped", {"x": (2, 3, 7)}, {"padding": (-2, 3), "mode": "circular"}),
    Case("NHWC", {"x": (2, 5, 7, 3)}, {"padding": (0, 0, 3, 1, 2, 2), "mode": "reflect"}),
    Case("nothing", {"x": (3, 5)}, {"padding": ()}),
    Case("from nothing", {"x": (2, 0)}, {"padding": (2, 1), "value": 3.0}),
    Case("wide rows", {"x": (2, 4100)}, {"padding": (1, 2), "mode": "reflect"}),
    Case("batch of none", {"x": (0, 3, 5)}, {"padding": (1, 1), "mode": "replicate"}),
    Case("resnet50 layer", {"x": (1, 64, 28, 28)}, {"padding": (1, 1, 1, 1)}, standard=True),
    Case(
        "stem reflected",
        {"x": (1, 16, 56, 56)},
        {"padding": (1, 1, 1, 1), "mode": "reflect"},
        standard=True,
    ),
    Case(
        "stem to NHWC's right and bottom",
        {"x": (1, 56, 56, 16)},
        {"padding": (0, 0, 0, 1, 0, 1)},
        standard=True,
    ),
)


def _around(settings: Settings, rank: int) -> Pairs:
    """(before, after) of every axis; `padding` begins with the last one."""
    padding = settings["padding"]
    pairs = [(padding[i], padding[i + 1]) for i in range(0, len(padding), 2)]
    return (*[(0, 0)] * (rank - len(pairs)), *reversed(pairs))


class Pad(Tested, of=define.Pad):
    cases = CASES

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s, x = self.meant(settings), arrays["x"]
        return {"y": oracle.pad(x, _around(settings, x.ndim), s.mode, s.value or 0)}

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        import torch

        others = {name: value for name, value in settings.items() if name != "padding"}
        try:
            return {"y": torch.nn.functional.pad(tensors["x"], settings["padding"], **others)}
        except (NotImplementedError, RuntimeError) as lacking:
            raise NoPeer(f"PyTorch: {str(lacking).splitlines()[0]}") from None


class PadBackward(TestedGradient, of=define.PadBackward):
    def settings(self, case: Case) -> dict[str, Any]:
        return {name: value for name, value in case.settings.items() if name != "value"}

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s, dy = self.meant(settings), arrays["dy"]
        return {"dx": oracle.pad_backward(dy, _around(settings, dy.ndim), s.mode)}

    def terms(self, settings: Settings, arrays: Arrays) -> int:
        pairs = _around(settings, arrays["dy"].ndim)
        return prod(1 + max(0, before) + max(0, after) for before, after in pairs)
