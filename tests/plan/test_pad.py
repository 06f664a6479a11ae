"""Plans of padding."""

import numpy as np
import pytest
from plan_checks import HUGE, assert_sound, struct, threads

from pycnn.define.views import View
from pycnn.plan._strided import row_major
from pycnn.plan.pad import MODES, Axis, pad, pad_backward


def plans(axes, mode, dtype="float32"):
    """Forward, and backward where it is no cropping."""
    shape = tuple(axis.extent for axis in axes)
    padded = tuple(axis.padded for axis in axes)
    yield pad(View(shape, row_major(shape), dtype), axes, mode, np.float32(0)), {"x"}
    if mode != "constant":
        yield pad_backward(View(padded, row_major(padded), dtype), axes, mode), {"dy"}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("width", [1, 7, 300, 4000, 5000])
def test_every_plan_is_sound(width, mode, dtype):
    around = 0 if width == 1 else 1
    axes = [Axis(2), Axis(5, 2, 1), Axis(width, around, around)]
    for plan, inputs in plans(axes, mode, dtype):
        assert_sound(plan, inputs)
        if plan.algo == "planes":
            assert (width, inputs) == (300, {"dy"})
            continue
        assert plan.algo == ("rows" if width < 4096 else "direct")
        v, spec = struct(plan), next(iter(plan.outputs.values()))
        assert v["rows"] * v["row"]["extent_y" if inputs == {"x"} else "extent_x"] == np.prod(
            spec.shape
        )
        if plan.algo == "rows":
            assert plan.launches[0].grid[0] == -(-v["rows"] // v["rows_per_block"])
            assert v["rows_per_block"] <= 256
            assert v["rows_per_block"] * v["row"]["extent_y"] <= 4096
        else:
            assert threads(plan) >= np.prod(spec.shape)


def test_axes_that_are_not_padded_are_merged():
    axes = [Axis(2), Axis(3), Axis(5, 1, 1), Axis(7), Axis(4)]
    v = struct(next(plans(axes, "constant"))[0])
    assert v["outer"] == 2
    assert [int(a["extent_x"]) for a in v["axis"][:2]] == [6, 5]
    assert v["row"]["extent_x"] == 28


def test_blocks_take_whole_planes():
    v = struct(next(plans([Axis(64), Axis(28, 1, 1), Axis(28, 1, 1)], "constant"))[0])
    assert v["rows_per_block"] == 60


@pytest.mark.parametrize(
    ("mode", "around", "taken"),
    [
        ("reflect", (13, 13), True),  # the middle of 29 has no second position
        ("reflect", (14, 14), False),
        ("circular", (14, 15), True),
        ("circular", (15, 15), False),
        ("replicate", (1, 1), True),
        ("replicate", (2, 1), False),
    ],
)
def test_planes_where_two_positions_stand_for_an_element(mode, around, taken):
    for axes in ([Axis(29, *around), Axis(40, 1, 1)], [Axis(40, 1, 1), Axis(29, *around)]):
        ((plan, _),) = list(plans([Axis(6), *axes], mode))[1:]
        assert (plan.algo == "planes") == taken
    few, more = Axis(20, 1, 1), Axis(40, 1, 1)
    for axes, algo in (
        ([Axis(6), few, few], "rows"),
        ([Axis(6), more, Axis(280, 1, 1)], "planes"),
        ([Axis(6), more, Axis(300, 1, 1)], "rows"),
        ([Axis(6, 1, 1), more, more], "rows"),
        ([more, more], "planes"),
    ):
        assert list(plans(axes, mode))[1][0].algo == algo


def test_what_is_cropped_is_not_read():
    v = struct(next(plans([Axis(3), Axis(100, -40, -20)], "constant"))[0])
    assert (v["first"], v["staged"]) == (40, 40)


def test_beyond_2_to_the_31():
    for plan, _ in plans([Axis(HUGE), Axis(3, 1, 1)], "reflect"):
        assert struct(plan)["rows"] == HUGE
    for plan, _ in plans([Axis(HUGE, 1, 2)], "replicate"):
        assert threads(plan) >= HUGE


def test_empty_launches_nothing():
    for plan, _ in plans([Axis(0), Axis(3, 1, 1)], "circular"):
        assert plan.launches == ()


def test_more_axes_than_a_kernel_takes():
    with pytest.raises(ValueError, match=r"has 9 axes that are padded .*allowed: 8"):
        next(plans([Axis(2, 1, 0)] * 9, "constant"))
