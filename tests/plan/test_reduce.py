"""Plans of the reductions: groups of axes, stages, parts."""

from itertools import combinations
from math import prod

import pytest
from plan_checks import HUGE, assert_sound

from pycnn.plan import reduce
from pycnn.plan._stages import groups, stages
from pycnn.plan._strided import row_major

SHAPES = [(3, 5, 7, 2), (1, 1), (2, 1, 6), (1, 300007), (64, 1030)]
SUBSETS = [
    (shape, axes)
    for shape in SHAPES
    for n in range(1, len(shape) + 1)
    for axes in combinations(range(len(shape)), n)
]


def kept(shape, axes):
    return tuple(e for a, e in enumerate(shape) if a not in axes)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("shape", "axes"), SUBSETS, ids=str)
def test_every_plan_is_sound(shape, axes, dtype):
    result, strides = kept(shape, axes), row_major(shape)
    plan = reduce.reduction("mean", shape, strides, axes, dtype, result)
    assert_sound(plan, {"x"})
    assert plan.outputs["y"].shape == result
    still = tuple(0 if a in axes else 1 for a in range(len(shape)))
    assert_sound(reduce.broadcast("sum_backward", shape, still, axes, dtype, 1.0), {"dy"})
    plan = reduce.extreme("amax_backward", shape, strides, (still, still), axes, dtype)
    assert_sound(plan, {"dy", "x", "y"})
    if len(axes) in (1, len(shape)):
        assert_sound(reduce.argmax("argmin", shape, strides, axes, dtype, result), {"x"})


def test_groups_merge_what_steps_evenly():
    found = groups((2, 3, 4, 5, 1), [(60, 20, 5, 1, 9)], (1, 2))
    assert [(g.extent, g.strides, g.reduced) for g in found] == [
        (2, (60,), False),
        (12, (5,), True),
        (5, (1,), False),
    ]


@pytest.mark.parametrize(
    ("shape", "axes", "entries"),
    [
        ((8, 512, 7, 7), (2, 3), ["rows"]),
        ((8, 512, 7, 7), (0, 2, 3), ["rows", "finish"]),
        ((32, 64, 56, 56), (0, 2, 3), ["long_rows", "finish"]),
        ((8, 49, 512), (1,), ["columns"]),
        ((10**6, 3), (0,), ["columns", "finish"]),  # many parts
        ((10**7,), (0,), ["long_rows", "finish"]),
    ],
    ids=str,
)
def test_stages(shape, axes, entries):
    found = stages(shape, row_major(shape), axes, "float32", ordered=False)
    assert [s.entry for s in found] == entries


@pytest.mark.parametrize(("shape", "axes"), [((HUGE,), (0,)), ((HUGE, 3), (0,)), ((3, HUGE), (1,))])
def test_parts_cover_long_slices(shape, axes):
    first = stages(shape, row_major(shape), axes, "float32", ordered=True)[0]
    assert first.parts > 1
    assert first.results == first.parts * prod(kept(shape, axes))
    assert first.slices["length"] == HUGE


def test_nothing_has_a_sum():
    plan = reduce.reduction("sum", (3, 0, 2), (0, 2, 1), (1,), "float32", (3, 2))
    assert_sound(plan, {"x"})
    assert len(plan.launches) == 1
    assert reduce.reduction("sum", (0, 5), (5, 1), (1,), "float32", (0,)).launches == ()


def test_long_slices_are_cut_for_gradients():
    shape = (2**20,)
    plan = reduce.extreme("amax_backward", shape, (1,), ((0,), (0,)), (0,), "float32")
    entries = [x.kernel.entry for x in plan.launches]
    assert entries == ["extreme_long_rows", "reduce_rows", "extreme_long_rows"]
    assert plan.launches[0].grid[0] == 128
