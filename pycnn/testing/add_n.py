"""Cases, oracle and PyTorch's answer: the sum of several arrays, with NumPy's broadcasting."""

from typing import Any

import numpy as np

from pycnn.define import add_n as define
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import elementwise as oracle
from pycnn.testing.case import Case, Shape
from pycnn.testing.elementwise import BroadcastGradient
from pycnn.testing.tested import Settings, Tested, numbered


def _case(name: str, *shapes: Shape, standard: bool = False) -> Case:
    return Case(name, numbered("tensors", shapes), standard=standard)


class AddN(Tested, of=define.AddN):
    cases = (
        _case("three", *((3, 5, 7),) * 3),
        _case("one", (5, 7)),
        _case("eight", *((1029,),) * 8),
        _case("scalars", (), ()),
        _case("broadcast", (3, 5, 2, 7), (5, 1, 1), (1,), (3, 1, 2, 1)),
        _case("packs", (3, 5, 2, 8), (5, 1, 1), (3, 5, 2, 8)),
        _case("none is whole", (5, 1), (7,)),
        _case("empty", (3, 0), (1,)),
        _case("googlenet branches", *((1, 64, 28, 28),) * 4, standard=True),
    )

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        return {"y": oracle.add_n(list(arrays.values()))}

    def terms(self, settings: Settings, arrays: Arrays) -> int:
        return len(arrays)

    def torch(self, tensors: Arrays, settings: Settings) -> dict[str, Any]:
        return {"y": sum(tensors.values())}


class AddNBackward(BroadcastGradient, of=define.AddNBackward):
    def settings(self, case: Case) -> dict[str, Any]:
        return {"shapes": list(case.shapes.values())}

    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        return numbered("dtensors", oracle.add_n_backward(arrays["dy"], settings["shapes"]))
