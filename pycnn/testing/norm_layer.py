"""Cases, oracle and PyTorch's answer: layer norm."""

from math import prod
from typing import Any

import numpy as np

from pycnn.define import norm_layer as define
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import norm as oracle
from pycnn.testing._norm_rules import named
from pycnn.testing.case import Case
from pycnn.testing.reading import each
from pycnn.testing.tested import Settings, Tested, TestedGradient


def _axes(s: Any) -> int:
    """How many of the last axes are normalised together."""
    return len(each(s.normalized_shape, 1))


class LayerNorm(Tested, of=define.LayerNorm):
    #: A block asks for weights and biases with each of its rows: after the first, L1 has them.
    traffic = 1.3

    cases = (
        Case("one axis", {"x": (7, 5), "weight": (5,), "bias": (5,)}, {"normalized_shape": 5}),
        Case(
            "two axes",
            {"x": (3, 2, 5, 7), "weight": (5, 7), "bias": (5, 7)},
            {"normalized_shape": (5, 7), "eps": 0.1},
        ),
        Case("all", {"x": (3, 5), "weight": (3, 5)}, {"normalized_shape": (3, 5)}),
        Case("rank 1", {"x": (37,), "bias": (37,)}, {"normalized_shape": (37,)}),
        Case("whole vectors", {"x": (5, 3, 48), "weight": (48,)}, {"normalized_shape": (48,)}),
        Case("long", {"x": (3, 1027), "weight": (1027,)}, {"normalized_shape": (1027,)}),
        Case("beyond the chip", {"x": (2, 26001)}, {"normalized_shape": (26001,)}),
        Case("empty", {"x": (0, 5), "weight": (5,)}, {"normalized_shape": (5,)}),
        Case("empty slices", {"x": (3, 0), "weight": (0,)}, {"normalized_shape": (0,)}),
        Case(
            "convnext layer",
            {"x": (1, 32, 32, 96), "weight": (96,), "bias": (96,)},
            {"normalized_shape": (96,)},
            standard=True,
        ),
    )

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s, affine = self.meant(settings), (arrays.get("weight"), arrays.get("bias"))
        return {"y": oracle.layer_norm(arrays["x"], _axes(s), *affine, s.eps)}

    def terms(self, settings: Settings, arrays: Arrays) -> int:
        return prod(each(settings["normalized_shape"], 1))

    def torch(self, tensors: Any, settings: Settings) -> dict[str, Any]:
        from torch.nn.functional import layer_norm

        rest = {**settings}
        shape = rest.pop("normalized_shape")
        shape = (shape,) if isinstance(shape, int) else shape
        affine = {n: t for n, t in tensors.items() if n != "x"}
        return {"y": layer_norm(tensors["x"], shape, **affine, **rest)}


class LayerNormBackward(TestedGradient, of=define.LayerNormBackward):
    traffic = 1.2  # as in the forward direction

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s, operands = self.meant(settings), (arrays["dy"], arrays["x"])
        gradients = oracle.layer_norm_backward(*operands, _axes(s), arrays.get("weight"), s.eps)
        return named(gradients)

    def terms(self, settings: Settings, arrays: Arrays) -> int:
        length = prod(each(settings["normalized_shape"], 1))
        return max(length, arrays["x"].size // max(length, 1))
