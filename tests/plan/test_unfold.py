"""Plans of unfold and fold."""

from math import prod

import pytest
from plan_checks import HUGE, assert_sound, struct, threads

from pycnn.define.views import View
from pycnn.plan._strided import row_major
from pycnn.plan.unfold import Window, fold, unfold

WINDOW = Window((3, 2), (1, 2), (1, 0), (2, 1))


def both(extents, window=WINDOW, dtype="float32"):
    columns = (extents[0], extents[1] * prod(window.kernel), prod(window.positions(extents[2:])))
    x, y = (View(shape, row_major(shape), dtype) for shape in (extents, columns))
    return unfold(x, columns, window), fold(y, extents, extents, window)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("extents", [(2, 3, 9, 8), (1, 2, 300, 300), (1, 1, 40, 2000)])
def test_every_plan_is_sound(extents, dtype):
    forward, backward = both(extents, dtype=dtype)
    planes, height, width = extents[0] * extents[1], *extents[2:]
    assert_sound(forward, {"x"})
    assert_sound(backward, {"x"})
    assert (forward.algo, backward.algo) == ("bands", "strips")
    band = int(struct(forward)["band"])
    bands = -(-WINDOW.positions((height, width))[0] // band)
    assert forward.launches[0].grid[0] == planes * bands
    across = min(256, 2 ** (width - 1).bit_length())
    assert backward.launches[0].grid[0] == -(-planes * -(-height // 4) // (256 // across))


def test_what_shared_memory_does_not_hold():
    plan, _ = both((1, 1, 3, 25000))
    assert plan.algo == "direct"
    assert_sound(plan, {"x"})
    assert threads(plan) >= prod(plan.outputs["y"].shape)
    forward, backward = both((1, 1, 130, 130), Window((120, 120), (1, 1), (0, 0), (1, 1)))
    assert (forward.algo, backward.algo) == ("direct", "strips")


def test_beyond_2_to_the_31():
    for plan in both((HUGE // 4, 1, 6, 6)):
        assert struct(plan)["N"] == HUGE // 4
        assert prod(plan.outputs["y"].shape) > 2**31
    assert plan.algo == "direct"


def test_empty_launches_nothing():
    for plan in both((0, 3, 9, 8)):
        assert plan.launches == ()
