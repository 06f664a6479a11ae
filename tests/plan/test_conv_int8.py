"""Plans of convolutions of 8-bit integers."""

from functools import partial

import numpy as np
import pytest
from plan_checks import HUGE, assert_sound, struct, threads

from pycnn.define.views import View
from pycnn.plan import conv_int8
from pycnn.plan.conv_int8 import Quantised
from pycnn.plan.conv_problem import Problem
from pycnn.runtime.plan import ArraySpec

bytes_of = partial(View.contiguous, dtype="int8")


def problem(x, weight, y, dtype="int8", last=True, **more):
    """Contiguous in the order that `last` says, the weight too."""
    views = (View.contiguous(shape, dtype, last) for shape in (x, weight, y))
    return Problem(*views, **more)


WORDS = problem((2, 8, 5, 7), (3, 8, 2, 3), (2, 3, 4, 5))
ARRAYS = {"x", "weight", "x_zero_point", "weight_zero_point"}
SCALES = {"x_scale", "weight_scale", "y_scale", "y_zero_point", "bias"}


@pytest.mark.parametrize("weight", ["int8", "uint8"])
@pytest.mark.parametrize("x", ["int8", "uint8"])
def test_every_plan_is_sound(x, weight):
    given = Quantised(problem((2, 8, 5, 7), (3, 8, 2, 3), (2, 3, 4, 5), x), weight)
    plan = conv_int8.integer(given, ArraySpec((2, 4, 5, 3), np.dtype(np.int32)))
    assert_sound(plan, ARRAYS)
    assert 120 <= threads(plan) < 120 + conv_int8.BLOCK
    for dtype, limits in (("int8", (-128, 127)), ("uint8", (0, 255))):
        plan = conv_int8.requantised(given, ArraySpec((2, 4, 5, 3), np.dtype(dtype)))
        assert_sound(plan, ARRAYS | SCALES)
        own = struct(plan, place=1)
        assert (own["lowest"], own["highest"]) == limits


def test_what_is_absent_is_a_null_pointer():
    given = Quantised(WORDS, "int8", x_zero=False, weight_zero=None, bias=None)
    output = ArraySpec((2, 4, 5, 3), np.dtype(np.int8))
    (launch,) = conv_int8.integer(given, output).launches
    assert launch.args[2:4] == (None, None)
    (launch,) = conv_int8.requantised(given, output).launches
    assert [launch.args[i] for i in (2, 5, 8)] == [None] * 3


def test_strides_along_the_filters():
    given = Quantised(WORDS, "int8", weight_zero=HUGE, weight_scale=-3, bias=2)
    plan = conv_int8.requantised(given, ArraySpec((2, 4, 5, 3), np.dtype(np.int8)))
    params, own = struct(plan), struct(plan, place=1)
    assert (own["weight_zero_k"], own["weight_scale_k"], params["bias_k"]) == (HUGE, -3, 2)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (WORDS, True),
        (problem((2, 8, 5, 7), (3, 8, 2, 3), (2, 3, 4, 5), last=False), False),
        (problem((2, 6, 5, 7), (3, 6, 2, 3), (2, 3, 4, 5)), False),
        (problem((2, 24, 5, 7), (4, 12, 2, 3), (2, 4, 4, 5), groups=2), True),
        (problem((2, 12, 5, 7), (4, 6, 2, 3), (2, 4, 4, 5), groups=2), False),
        (problem((1, 8, 5, 7), (3, 8, 1, 1), (1, 3, 5, 7), last=False), False),
        (
            Problem(
                bytes_of((1, 8, 5, 7), channels_last=True),
                bytes_of((3, 8, 1, 1)),
                bytes_of((1,) * 4),
            ),
            True,
        ),
        (
            Problem(View((2, 4, 3, 3), (90, 1, 30, 10), "int8"), WORDS.weight, bytes_of((1,) * 4)),
            False,
        ),
    ],
    ids=[
        "channels last",
        "channels first",
        "6 channels",
        "12 a group",
        "6 a group",
        "x channels first",
        "1x1 filters are channels last in either order",
        "steps of no whole words",
    ],
)
def test_words(given, expected):
    assert conv_int8.words(given) is expected


def test_empty_launches_nothing():
    given = Quantised(problem((0, 8, 5, 7), (3, 8, 2, 3), (0, 3, 4, 5)), "int8")
    assert conv_int8.integer(given, ArraySpec((0, 4, 5, 3), np.dtype(np.int32))).launches == ()
