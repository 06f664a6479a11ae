"""How far it is from a call to its launch, in Python calls; docs/design.md has the way."""

import sys

import numpy as np
import pytest

import pycnn
from pycnn.runtime.active import active
from pycnn.runtime.backends import stand_in_executor

#: Most calls, those of the standard library and NumPy too: of the first one of a shape, and of a
#: repeated one.
FIRST, REPEATED = 184, 10

#: What hands something on, and what is handed on: of one algorithm, all there is.
TYPES = {
    *("Conv", "View", "Layout", "Epilogue", "Problem", "Settings", "Call", "Algorithm"),
    *("Plan", "Launch", "Kernel", "Buffer", "ArraySpec", "Target", "Float", "Convolving"),
    "Place",
}


class Reached(Exception):
    """The executor has got its plan."""


class End:
    """An executor at which the way ends."""

    name = "emulator"

    def run(self, plan, arrays, out=None):
        raise Reached


def calls(rows: int) -> tuple[int, set[str]]:
    """Python calls of a convolution of an image with so many rows; types of pycnn's on the way."""
    x, weight = np.ones((2, 3, rows, 8), np.float32), np.ones((4, 3, 3, 3), np.float32)
    counted, types = 0, set()

    def count(frame, event, argument):
        nonlocal counted
        counted += event == "call"
        for value in (argument, frame.f_locals.get("self")):
            if type(value).__module__.startswith("pycnn."):
                types.add(type(value).__name__)

    sys.setprofile(count)
    try:
        pycnn.conv2d(x, weight, padding=1)
    except Reached:
        pass
    finally:
        sys.setprofile(None)
    return counted, types


def test_the_way_to_a_launch_is_short():
    token = active.set(("emulator", None, None))  # also where it cannot run
    try:
        with stand_in_executor("emulator", End()):
            with pytest.raises(Reached):
                pycnn.conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 1, 1)))
            calls(17)  # reads what is read once
            (first, types), (repeated, _) = calls(19), calls(19)
            assert 50 < first <= FIRST
            assert 3 < repeated <= REPEATED
            assert types == TYPES
    finally:
        active.reset(token)
