"""Cases, oracle and PyTorch's answer: dropout, of elements and of whole channels."""

from math import prod
from typing import Any

import numpy as np

from pycnn.define import dropout as define
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import dropout as oracle
from pycnn.testing.case import Case, Shape
from pycnn.testing.tested import NoPeer, Settings, Tested, TestedGradient

#: The largest seed and offset.
LIMIT = 2**64 - 1


class _Drops(Tested, of=define._Drops):
    #: Names of what goes in and what comes out.
    names = "x", "y"

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s, (source, target) = self.meant(settings), self.names
        p, x = s.p if s.training else 0.0, arrays[source]
        of_channels = self.op.name.startswith("dropout2d")
        span = max(1, prod(x.shape[2:])) if of_channels else 1
        scale = 1 / (1 - p) if p < 1 else 0.0
        return {target: oracle.dropout(x, s.seed, s.offset, round(p * 2**32), scale, span)}


def _cases(layer: Shape, *shapes: Shape) -> tuple[Case, ...]:
    first, *others = shapes
    settings = (
        {"seed": 7},
        {"p": 0.1, "seed": LIMIT, "offset": 3},
        {"p": 0.0, "seed": 0},
        {"p": 1.0, "seed": 0},
        {"training": False, "seed": 0, "offset": LIMIT},
    )
    tried = (
        Case(", ".join(f"{k}={v}" for k, v in each.items()), {"x": first}, each)
        for each in settings
    )
    small = (Case("x".join(map(str, s)) or "scalar", {"x": s}, {"seed": 5}) for s in others)
    return (*tried, *small, Case("layer", {"x": layer}, {"seed": 1}, standard=True))


class Dropout(_Drops, of=define.Dropout):
    cases = _cases((1, 64, 28, 28), (2051,), (), (3, 5, 7), (3, 0))

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        raise NoPeer("PyTorch draws other random numbers")


class Dropout2d(Dropout, of=define.Dropout2d):
    cases = _cases((1, 64, 28, 28), (5, 7, 3, 11), (2, 33, 8, 8), (3, 0, 5, 2))


class DropoutGradient(_Drops, TestedGradient, of=define._DropoutGradient):
    """The same oracle: what was dropped is dropped again."""

    names = "dy", "dx"
