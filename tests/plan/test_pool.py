"""Plans of pooling."""

from math import prod

import pytest
from plan_checks import HUGE, assert_sound, struct, threads

from pycnn.dtypes import FLOATS
from pycnn.plan import pool
from pycnn.plan._strided import row_major
from pycnn.plan.pool import Average, Pooling
from pycnn.plan.pool_axis import Axis
from pycnn.plan.pool_global import global_pool
from pycnn.plan.pool_tile import Work, choose_tile, joined_axes
from pycnn.plan.pool_unpool import Unpooling, max_unpool, max_unpool_backward
from pycnn.reference.oracle._window import adaptive, sliding


def rows(extent, kernel=3, stride=2, padding=(1, 1), dilation=1, ceil_mode=False):
    return Axis.sliding(extent, kernel, stride, padding, dilation, ceil_mode)


def strides(pooling, of_x):
    """Of a contiguous array: image, channel, spatial axes."""
    n, *own = row_major(pooling.shape(of_x))
    return (n, own[-1], *own[:-1]) if pooling.last else (n, *own)


def plans(pooling, dtype="float32"):
    """Every operation over these windows, with its inputs."""
    x, y = strides(pooling, True), strides(pooling, False)
    yield pool.max_pool("max", pooling, x, dtype, True), {"x"}
    yield pool.max_pool("max", pooling, x, dtype, False), {"x"}
    yield pool.max_pool_backward("max_backward", pooling, y, y, dtype), {"dy", "indices"}
    yield pool.avg_pool("avg", pooling, x, dtype, Average()), {"x"}
    yield pool.avg_pool_backward("avg_backward", pooling, y, dtype, Average()), {"dy"}
    yield pool.lp_pool("lp", pooling, x, dtype, 2.0), {"x"}
    yield pool.lp_pool_backward("lp_backward", pooling, y, y, x, dtype, 2.0), {"dy", "y", "x"}


POOLINGS = {
    "lines": Pooling(2, 3, (rows(101),)),
    "maps": Pooling(2, 3, (rows(9), rows(8, 2, 1))),
    "channels last": Pooling(2, 37, (rows(9), rows(8, 2, 1)), last=True),
    "volumes": Pooling(2, 3, (rows(5), rows(9), rows(8, 2, 1))),
    "adaptive": Pooling(2, 3, (Axis(9, 4), Axis(7, 10))),
    "large windows": Pooling(1, 2, (rows(200, 150, 1, (0, 0)), rows(220, 150, 3, (7, 0)))),
    "dilated": Pooling(2, 3, (rows(21, 3, 2, (4, 3), 4), rows(18, 2, 3, (0, 4), 5))),
    "far apart": Pooling(1, 2, (rows(90, 1, 8, (0, 0)), rows(90, 1, 8, (0, 0)))),
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", POOLINGS)
def test_every_plan_is_sound(name, dtype):
    pooling = POOLINGS[name]
    for plan, inputs in plans(pooling, dtype):
        assert_sound(plan, inputs)
        backward = plan.op.endswith("_backward")
        result = next(iter(plan.outputs.values())).shape
        assert result == pooling.shape(of_x=backward)
        p = struct(plan)
        if plan.algo == "direct":
            assert 0 <= threads(plan) - prod(result) < 256
            continue
        tiles = [
            -(-axis.results(backward) // int(along["tile"]))
            for axis, along in zip(pooling.three, p["axis"], strict=True)
        ]
        planes = -(-p["images"] * p["channels"] // p["planes_tile"])
        inner = -(-p["inner"] // p["inner_tile"])
        assert plan.launches[0].grid == (prod(tiles) * planes * inner, 1, 1)


@pytest.mark.parametrize(
    "axis",
    [rows(23), rows(23, 4, 2, (3, 1)), rows(23, 3, 3, (0, 2)), Axis(23, 9), Axis(7, 10)],
    ids=str,
)
def test_sources_are_what_windows_cover(axis):
    """Of any run of results, as the oracle lists the windows one by one."""
    if axis.kernel:
        covered = sliding(axis.extent, axis.windows, axis.kernel, axis.stride, axis.low)
    else:
        covered = adaptive(axis.extent, axis.windows)
    above = [[w for w, window in enumerate(covered) if e in window] for e in range(axis.extent)]
    for backward, of in ((False, covered), (True, above)):
        for first in range(len(of)):
            for last in range(first, len(of)):
                met = sorted({source for each in of[first : last + 1] for source in each})
                begin, end = axis.sources(first, last, backward)
                assert not met or (begin, end) == (met[0], met[-1] + 1)


def test_which_algorithm():
    chosen = {name: {p.algo for p, _ in plans(pooling)} for name, pooling in POOLINGS.items()}
    assert chosen.pop("large windows") == {"direct", "tiled"}  # each element has few of them
    assert chosen.pop("far apart") == {"direct", "tiled"}
    assert set(map(tuple, chosen.values())) == {("tiled",)}


def test_struct_has_every_parameter():
    axes = (rows(9, 3, 2, (1, 0), 1, True), rows(8, 2, 1, (1, 1), 2))
    pooling = Pooling(2, 3, axes)
    p = struct(pool.max_pool("max", pooling, (1, 2, 60, 6), "float32", True))
    names = ["extent", "windows", "kernel", "stride", "dilation", "low", "high", "step"]
    found = [[int(along[name]) for name in names] for along in p["axis"]]
    assert found == [[1, 1, 1, 1, 1, 0, 0, 1], [9, 5, 3, 2, 1, 1, 0, 1], [8, 8, 2, 1, 2, 1, 1, 2]]
    assert [int(p[name]) for name in ("images", "channels", "inner")] == [2, 3, 1]
    of_x = p["operand"][0]
    assert (of_x["n"], of_x["c"], *of_x["axis"], of_x["inner"]) == (1, 2, 0, 60, 6, 0)
    last = Pooling(2, 3, axes, last=True)
    of_x = struct(pool.max_pool("max", last, (1, 2, 60, 6), "float32", True))["operand"][0]
    assert (of_x["n"], of_x["c"], *of_x["axis"], of_x["inner"]) == (1, 0, 0, 60, 6, 2)


@pytest.mark.parametrize(
    ("axes", "average", "divisor"),
    [
        ((rows(9),), Average(), 3),  # the padding counts
        ((rows(9),), Average(False), 0),
        ((rows(9, padding=(0, 0)),), Average(False), 3),
        ((rows(8, padding=(0, 0), ceil_mode=True),), Average(), 0),  # the last hangs over
        ((rows(9),), Average(divisor=7), 7),
        ((rows(9, padding=(2, 2), dilation=2),), Average(), 3),
        ((rows(8, dilation=2, padding=(0, 0), ceil_mode=True),), Average(), 0),
        ((Axis(12, 4), Axis(6, 2)), Average(), 9),
        ((Axis(12, 5),), Average(), 0),
    ],
)
def test_one_divisor_for_all_windows(axes, average, divisor):
    assert average.over(Pooling(1, 1, axes)).divisor == divisor


def test_indices_only_if_asked_for():
    pooling = POOLINGS["maps"]
    x = strides(pooling, True)
    assert set(pool.max_pool("max", pooling, x, "float32", True).outputs) == {"y", "indices"}
    without = pool.max_pool("max", pooling, x, "float32", False)
    assert set(without.outputs) == {"y"}
    assert without.launches[0].args[2] is None


@pytest.mark.parametrize(
    "pooling",
    [
        Pooling(1, 1, (rows(2**16), rows(2**16 + 1))),
        Pooling(HUGE, 1, (rows(3), rows(5))),
        Pooling(1, 1, (rows(3), rows(HUGE))),
    ],
)
def test_beyond_2_to_the_31(pooling):
    for plan, _ in plans(pooling):
        p = struct(plan)
        backward = plan.op.endswith("_backward")
        covered = plan.launches[0].grid[0] * int(p["planes_tile"]) * int(p["inner_tile"])
        covered *= prod(int(along["tile"]) for along in p["axis"])
        assert covered >= prod(pooling.shape(of_x=backward))
        assert tuple(int(along["extent"]) for along in p["axis"][1:]) == tuple(
            axis.extent for axis in pooling.axes
        )


@pytest.mark.parametrize(("images", "channels"), [(0, 3), (2, 0)])
def test_empty_launches_nothing(images, channels):
    pooling = Pooling(images, channels, (rows(9), rows(8)))
    everything = Pooling(images, channels, (Axis(9, 1), Axis(8, 1)))
    empty = [plan for plan, _ in plans(pooling)]
    empty.append(global_pool("global", "avg", everything, strides(everything, True), "float32"))
    for plan in empty:
        assert plan.launches == ()
        assert 0 in next(iter(plan.outputs.values())).shape


@pytest.mark.parametrize("backward", [False, True])
def test_tiles_of_resnets_pooling_move_little_more_than_they_must(backward):
    """3 x 3 / 2 over 112 x 112, 64 channels, in both layouts."""
    axis = rows(112)
    for planes, inner in ((64, 1), (1, 64)):
        work = Work(planes, inner, (Axis(1, 1, 1), axis, axis), backward, 4, 4, 4, 4)
        assert choose_tile(work).traffic <= 1.1 * 4 * 64 * (112**2 + 56**2)


def test_what_a_tile_brings_in_is_bounded():
    """For every run of results, what it is made from is no more than the plan makes room for."""
    for axis in (rows(23, 3, 2, (1, 0)), rows(23, 4, 3, (2, 2), 2), Axis(23, 7), Axis(7, 23)):
        for backward in (False, True):
            results = axis.results(backward)
            for tile in range(1, results + 1):
                spans = [
                    axis.sources(first, min(first + tile, results) - 1, backward)
                    for first in range(0, results, tile)
                ]
                most = axis.most_sources(tile, backward)
                assert max(end - begin for begin, end in spans) <= most
                assert axis.all_sources(tile, backward) >= sum(e - b for b, e in spans)


@pytest.mark.parametrize(
    ("planes", "extent", "strides", "joined"),
    [
        (2, (1, 6, 8), (144, 48, 0, 8, 1, 0), 4),
        (1, (1, 3, 8), (144, 48, 0, 8, 1, 0), 4),  # some lines of one plane
        (2, (1, 6, 8), (150, 48, 0, 8, 1, 0), 3),  # images apart
        (2, (1, 6, 8), (144, 50, 0, 8, 1, 0), 3),  # planes apart
        (2, (1, 6, 8), (144, 48, 0, 9, 1, 0), 1),  # lines apart
        (2, (1, 6, 8), (288, 96, 0, 16, 2, 0), 0),  # elements apart
    ],
)
def test_what_is_joined_in_memory(planes, extent, strides, joined):
    axes = (Axis(1, 1, 1), rows(6, 3, 1), rows(8, 3, 1))
    work = Work(6, 1, axes, False, 4, 4, 4, 4)
    from pycnn.plan.pool_tile import Tile

    sources = tuple(a.most_sources(t, False) for a, t in zip(axes, extent, strict=True))
    tile = Tile(planes, 1, extent, sources, 0, 0)
    assert joined_axes(tile, work, 3, strides) == joined


def test_more_images_than_a_grid_has_blocks_are_shared_among_them():
    pooling = Pooling(2**31, 8, (Axis(1, 1), Axis(1, 1)), last=True)
    plan = global_pool("global", "avg", pooling, strides(pooling, True), "float16")
    assert plan.launches[0].grid[0] * 256 >= 2**34


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("extents", [(7,), (7, 6), (43, 50), (3, 5, 4)])
def test_global_plans_are_sound(extents, last, dtype):
    pooling = Pooling(2, 37, tuple(Axis(extent, 1) for extent in extents), last)
    for kind, indices in (("avg", False), ("max", False), ("max", True)):
        plan = global_pool("global", kind, pooling, strides(pooling, True), dtype, indices)
        assert_sound(plan, {"x"})
        p = struct(plan)
        assert p["length"] == prod(extents)
        assert plan.launches[0].grid[0] * 256 >= 74 * p["group_size"]
        short = not last and prod(extents) <= 2048
        odd = short and kind == "avg" and prod(extents) == 7
        assert plan.algo == ("odd planes" if odd else "staged" if short else "in place")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("extents", [(7,), (7, 6), (240, 150), (3, 5, 4)])
def test_unpool_plans_are_sound(extents, last, dtype):
    large = tuple(2 * extent + 1 for extent in extents)
    problem = Unpooling(2, 37, extents, large, last)

    def given(spatial):
        n, *own = row_major(problem.shape(spatial))
        return (n, own[-1], *own[:-1]) if last else (n, *own)

    plan = max_unpool("max_unpool", problem, given(extents), given(extents), dtype)
    assert_sound(plan, {"x", "indices"})
    p = struct(plan)
    groups = 2 * -(-37 // int(p["group"]))
    assert plan.launches[0].grid[0] == groups * -(-prod(large) // int(p["piece"]))
    assert plan.launches[0].shared >= 4 * int(p["piece"]) * int(p["group"])
    plan = max_unpool_backward("max_unpool_backward", problem, given(large), given(extents), dtype)
    assert_sound(plan, {"dy", "indices"})
    assert plan.launches[0].grid[0] == groups


@pytest.mark.parametrize(
    ("axis", "dtype", "indices", "low"),
    [
        (rows(64), "bfloat16", False, "1"),
        (rows(64, padding=(0, 1)), "float32", True, "0"),
        (rows(28), "bfloat16", False, "-1"),  # rows of no whole vectors
        (rows(28), "bfloat16", True, "1"),  # but of halves
        (rows(55), "float32", False, "-1"),
        (rows(64, dilation=2), "bfloat16", False, None),
        (rows(64, stride=1), "bfloat16", False, None),
        (rows(64, padding=(2, 2)), "bfloat16", False, None),
    ],
)
def test_which_go_by_rows_of_planes(axis, dtype, indices, low):
    pooling = Pooling(2, 3, (axis, axis))
    x, y = strides(pooling, True), strides(pooling, False)
    both = [pool.max_pool("max", pooling, x, dtype, indices)]
    if indices:
        both.append(pool.max_pool_backward("max", pooling, y, y, dtype))
    else:
        both.append(pool.avg_pool_backward("avg", pooling, y, dtype, Average()))
    for plan in both:
        assert dict(plan.launches[0].kernel.defines).get("LOW") == low
        assert plan.algo == ("tiled" if low is None else "planes")
    stepped = (*x[:3], 2)
    assert pool.max_pool("max", pooling, stepped, dtype, True).algo == "tiled"


@pytest.mark.parametrize(
    ("channels", "axis", "dtype", "algo"),
    [
        (64, rows(9), "bfloat16", "channels"),
        (12, rows(9), "float32", "channels"),
        (12, rows(9), "bfloat16", "tiled"),  # no whole vectors of 8
        (64, rows(9, stride=1), "bfloat16", "tiled"),
        (64, rows(9, dilation=2), "bfloat16", "tiled"),
        (64, rows(9, padding=(2, 2)), "bfloat16", "tiled"),  # the first window has no element of x
        (64, rows(9, kernel=4), "bfloat16", "tiled"),
    ],
)
def test_which_go_by_vectors_of_channels(channels, axis, dtype, algo):
    pooling = Pooling(2, channels, (axis, axis), last=True)
    plan = pool.max_pool("max", pooling, strides(pooling, True), dtype, True)
    assert plan.algo == algo
    n, c, *spatial = strides(pooling, True)
    stepped = (n, c, spatial[0], spatial[1] + 1)
    assert pool.max_pool("max", pooling, stepped, dtype, True).algo == "tiled"


def test_strips_cover_every_output():
    for extent in range(1, 60):
        pooling = Pooling(2, 8, (rows(extent), rows(extent)), last=True)
        plan = pool.avg_pool("avg", pooling, strides(pooling, True), "float16", Average())
        params = struct(plan)
        strip = params["axis"][1]["tile"]
        outs = pooling.axes[0].windows
        assert 0 < strip <= 2
        assert threads(plan) >= 2 * -(-outs // strip) * -(-outs // 3)
