"""How far it is from a call to its launch, in Python calls; docs/design.md has the way."""

import sys

import numpy as np
import pytest

import pycnn
from pycnn.runtime.active import active
from pycnn.runtime.backends import stand_in_executor

#: Most calls, those of the standard library and NumPy too: of the first one of a shape, and of a
#: repeated one.
FIRST, REPEATED = 158, 10


class Reached(Exception):
    """The executor has got its plan."""


class End:
    """An executor at which the way ends."""

    name = "emulator"

    def run(self, plan, arrays, out=None):
        raise Reached


def calls(rows: int) -> int:
    """Python calls of a convolution of an image with so many rows."""
    x, weight = np.ones((2, 3, rows, 8), np.float32), np.ones((4, 3, 3, 3), np.float32)
    counted = 0

    def count(frame, event, argument):
        nonlocal counted
        counted += event == "call"

    sys.setprofile(count)
    try:
        pycnn.conv2d(x, weight, padding=1)
    except Reached:
        pass
    finally:
        sys.setprofile(None)
    return counted


def test_the_way_to_a_launch_is_short():
    token = active.set(("emulator", None, None))  # also where it cannot run
    try:
        with stand_in_executor("emulator", End()):
            with pytest.raises(Reached):
                pycnn.conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 1, 1)))
            calls(17)  # reads what is read once
            assert 50 < calls(19) <= FIRST
            assert 3 < calls(19) <= REPEATED
    finally:
        active.reset(token)
