"""Plans of softmax, and the teams of threads that they share with losses and reductions."""

from math import prod

import pytest
from plan_checks import HUGE, assert_sound, struct

from pycnn.dtypes import FLOATS
from pycnn.plan import softmax
from pycnn.plan._slices import choose_team
from pycnn.plan._strided import row_major

LENGTHS = [1, 2, 3, 10, 31, 32, 33, 127, 384, 1000, 1024, 1025, 5000, 50257, HUGE]


@pytest.mark.parametrize("arrays", [1, 2])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("contiguous", [True, False])
@pytest.mark.parametrize("length", LENGTHS)
def test_teams(length, contiguous, dtype, arrays):
    team = choose_team(length, contiguous, dtype, arrays)
    itemsize = FLOATS[dtype].itemsize
    threads = prod(team.block)
    most = {"rows": 256, "long_rows": 512, "columns": 256}[team.name]
    assert threads % 32 == 0
    assert threads <= most
    partial = {"rows": 0, "long_rows": 32, "columns": 256}[team.name]
    assert team.shared + partial * FLOATS[FLOATS[dtype].accumulate].itemsize <= 48 * 1024
    assert team.shared == team.room * arrays * itemsize
    assert team.room * itemsize % 16 == 0
    skew = 0 if team.name == "columns" else 16 // itemsize - 1
    assert team.room >= team.slots * team.cached + skew
    assert 1 <= team.cached <= length
    if team.name == "columns":
        assert team.block[0] == team.slots >= 32
    elif team.name == "rows":
        lanes = team.block[0]
        assert lanes <= 32
        assert lanes & (lanes - 1) == 0
        assert lanes == 32 or lanes * 4 >= length
        assert team.block[1] == team.slots
    else:
        assert team.slots == 1


@pytest.mark.parametrize(
    ("shape", "axis", "name"),
    [
        ((7, 10), 1, "rows"),
        ((7, 1023), -1 % 2, "rows"),
        ((7, 1025), 1, "long_rows"),
        ((7, 10), 0, "columns"),
        ((7, 10, 1, 1), 1, "rows"),
        ((7, 10, 2), 1, "columns"),
        ((7,), 0, "rows"),
    ],
)
def test_team_follows_the_axis(shape, axis, name):
    for log in (False, True):
        plan = softmax.softmax(shape, row_major(shape), axis, "float16", log)
        assert_sound(plan, {"x"})
        assert plan.launches[0].kernel.entry == f"softmax_{name}"
        assert dict(plan.launches[0].kernel.defines)["LOG"] == str(int(log))
        strides = row_major(shape)
        plan = softmax.softmax_backward(shape, strides, strides, axis, "float32", log)
        assert_sound(plan, {"dy", "y"})
        assert plan.launches[0].kernel.entry == f"softmax_backward_{name}"


@pytest.mark.parametrize(
    ("shape", "strides", "axis", "staged"),
    [
        ((7, 10), (10, 1), 1, 10),
        ((7, 10), (12, 1), 1, 0),  # gaps between the rows
        ((7, 10), (1, 7), 1, 0),
        ((7, 10), (10, 1), 0, 0),
        ((7, 10, 1), (10, 1, 5), 1, 10),
        ((3, 2001), (4002, 1), 1, 2001),  # a block has one row
        ((3, 2000), (1, 3), 1, 0),
    ],
)
def test_contiguous_slices_are_copied_whole(shape, strides, axis, staged):
    p = struct(softmax.softmax(shape, strides, axis, "float32", False))
    assert p["staged"] == staged


def test_struct_describes_slices_and_strides():
    plan = softmax.softmax((3, 5, 7), (1, 21, 3), 1, "float32", False)
    p = struct(plan)
    assert (p["count"], p["length"]) == (21, 5)
    assert p["axis_stride"].tolist() == [21, 7]
    assert p["start"]["rank"] == 2
    assert p["start"]["extent"][:2].tolist() == [3, 7]
    assert p["start"]["stride"][:, :2].tolist() == [[1, 3], [35, 1]]


@pytest.mark.parametrize(("shape", "axis"), [((HUGE, 3), 1), ((3, HUGE), 1), ((3, HUGE), 0)])
def test_beyond_2_to_the_31(shape, axis):
    plan = softmax.softmax(shape, row_major(shape), axis, "float64", False)
    p = struct(plan)
    assert p["count"] * p["length"] == prod(shape)
    team = choose_team(shape[axis], axis == 1, "float64", 1)
    assert plan.launches[0].grid[0] * team.slots >= p["count"]


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
@pytest.mark.parametrize("axis", [0, 1])
def test_empty_launches_nothing(shape, axis):
    plan = softmax.softmax(shape, row_major(shape), axis, "float32", False)
    assert plan.launches == ()
    assert plan.outputs["y"].shape == shape


@pytest.mark.parametrize(
    ("length", "dtype", "algo", "block"),
    [
        (8, "float16", "vectors", (2, 64, 1)),
        (1000, "float16", "vectors", (32, 4, 1)),
        (1000, "float32", "long_vectors", (64, 1, 1)),
        (1001, "float32", "rows", None),
        (16384, "bfloat16", "long_vectors", (512, 1, 1)),
        (16392, "bfloat16", "long_rows", None),
    ],
)
def test_whole_vectors_stay_in_registers(length, dtype, algo, block):
    plan = softmax.softmax((9, length), (length, 1), 1, dtype, False)
    assert_sound(plan, {"x"})
    assert plan.algo == algo
    if block:
        (launch,) = plan.launches
        assert launch.block == block
        assert launch.grid[0] * block[1] >= 9
        assert block[0] * 4 * 16 >= length * FLOATS[dtype].itemsize
    apart = softmax.softmax((9, length), (length + 8, 1), 1, dtype, False)
    assert "vectors" not in apart.algo
