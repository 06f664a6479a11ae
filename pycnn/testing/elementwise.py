"""Cases, oracle and PyTorch's answer: sums and products with NumPy's broadcasting."""

from typing import Any

import numpy as np

from pycnn.define import elementwise as define
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import elementwise as oracle
from pycnn.testing.case import Case, Shape
from pycnn.testing.tested import Settings, Tested, TestedGradient


def _pairs(*shapes: tuple[str, Shape, Shape], **settings: Any) -> tuple[Case, ...]:
    return tuple(Case(name, {"a": a, "b": b}, settings) for name, a, b in shapes)


CASES = (
    *_pairs(
        ("matrices", (3, 5, 7), (3, 5, 7)),
        ("vector", (1029,), (1029,)),
        ("scalars", (), ()),
        ("bias", (3, 5, 2, 7), (5, 1, 1)),
        ("bias of packs", (3, 5, 2, 8), (5, 1, 1)),
        ("channels last", (3, 7, 5), (5,)),
        ("one", (70, 9), (1,)),
        ("both", (5, 1, 7), (3, 1)),
        ("left", (4, 1), (2, 4, 3)),
        ("empty", (3, 0, 5), (5,)),
        ("empty sum", (3, 1), (1, 0)),
    ),
    Case("resnet50 residual", {"a": (1, 64, 28, 28), "b": (1, 64, 28, 28)}, standard=True),
    Case("resnet50 channels", {"a": (1, 64, 28, 28), "b": (64, 1, 1)}, standard=True),
)


class Add(Tested, of=define.Add):
    cases = (
        *CASES,
        *_pairs(("factor", (5, 7), (5, 7)), alpha=-2.5),
        *_pairs(("factor of bias", (3, 5, 7), (5, 1)), alpha=0.3),
    )

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        return {"y": oracle.add(arrays["a"], arrays["b"], self.meant(settings).alpha)}

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        import torch

        return {"y": torch.add(tensors["a"], tensors["b"], **settings)}


class Mul(Tested, of=define.Mul):
    cases = CASES

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        return {"y": oracle.mul(arrays["a"], arrays["b"])}

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        return {"y": tensors["a"] * tensors["b"]}


class BroadcastGradient(TestedGradient, of=define.BroadcastGradient):
    def terms(self, settings: Settings, arrays: Arrays) -> dict[str, int]:
        gradients = self.oracle(settings, arrays)
        return {name: arrays["dy"].size // max(1, g.size) for name, g in gradients.items()}


class AddBackward(BroadcastGradient, of=define.AddBackward):
    def settings(self, case: Case) -> dict[str, Any]:
        return {"a_shape": case.shapes["a"], "b_shape": case.shapes["b"], **case.settings}

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s = self.meant(settings)
        da, db = oracle.add_backward(arrays["dy"], s.a_shape, s.b_shape, s.alpha)
        return {"da": da, "db": db}


class MulBackward(BroadcastGradient, of=define.MulBackward):
    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        da, db = oracle.mul_backward(arrays["dy"], arrays["a"], arrays["b"])
        return {"da": da, "db": db}
