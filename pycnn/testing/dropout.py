"""Cases, oracle and PyTorch's answer: dropout, of elements and of whole channels."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pycnn.define import dropout as define
from pycnn.define.call import Call
from pycnn.define.dropout import LIMIT
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import dropout as oracle
from pycnn.testing.case import Case, Shape
from pycnn.testing.tested import NoPeer, Tested, TestedGradient


class _Drops(Tested, of=define._Drops):
    def oracle(self, call: Call, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        given, found = self.op._names
        return {found: oracle.dropout(arrays[given], **vars(call.settings))}


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

    def torch(self, tensors: Arrays, settings: Mapping[str, Any]) -> dict[str, Any]:
        raise NoPeer("PyTorch draws other random numbers")


class Dropout2d(Dropout, of=define.Dropout2d):
    cases = _cases((1, 64, 28, 28), (5, 7, 3, 11), (2, 33, 8, 8), (3, 0, 5, 2))


class DropoutGradient(_Drops, TestedGradient, of=define._DropoutGradient):
    """The same oracle: what was dropped is dropped again."""
