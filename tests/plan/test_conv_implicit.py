"""Plans of `implicit_gemm`: tiles, segments, workspace, limits."""

from dataclasses import replace
from math import ceil, prod

import numpy as np
import pytest
from plan_checks import assert_sound

from pycnn.define.views import View
from pycnn.plan import conv_implicit
from pycnn.plan.conv_implicit_mma import FFMA, tiler_of
from pycnn.plan.conv_phases import MAX_PHASES, phases
from pycnn.plan.conv_problem import Problem, Unsupported
from pycnn.plan.estimate import estimate
from pycnn.runtime.plan import ArraySpec, Buffer, Plan
from pycnn.runtime.target import Target, planned_for, target

PLENTY = 2**40
OUTPUTS = {"forward": "y", "backward_input": "dx", "backward_weight": "dweight"}
each_direction = pytest.mark.parametrize("direction", OUTPUTS)


def problem(n=32, c=64, h=56, w=56, k=128, r=3, s=3, pad=1, last=False, dtype="float32", **options):
    stride = options.get("stride", (1, 1))
    p, q = (
        (extent + 2 * pad - taps) // step + 1
        for extent, taps, step in zip((h, w), (r, s), stride, strict=True)
    )
    return Problem(
        View.contiguous((n, c, h, w), dtype, last),
        View.contiguous((k, c // options.get("groups", 1), r, s), dtype),
        View.contiguous((n, k, p, q), dtype, last),
        pad_begin=(pad, pad),
        **options,
    )


def plan(direction, of, limit=PLENTY):
    return getattr(conv_implicit, direction)(of, limit)


def product(planned):
    """The launch that multiplies; the last one, of several."""
    return [x for x in planned.launches if x.kernel.entry == "implicit_gemm"][-1]


def fields(launch):
    return launch.args[-1]


def defines(launch):
    return dict(launch.kernel.defines)


@each_direction
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "float64"])
@pytest.mark.parametrize("stride", [(1, 1), (2, 3)])
def test_plans_are_sound(direction, last, dtype, stride):
    of = problem(last=last, dtype=dtype, stride=stride, groups=2)
    planned = plan(direction, of)
    assert list(planned.outputs) == [OUTPUTS[direction]]
    assert_sound(planned, {"x", "weight", "dy"})


def test_what_is_contiguous_is_compiled_in():
    """(A_K_MAJOR, B_K_MAJOR), and whether C is stored along m."""
    expected = {
        ("forward", False): ("1", "0", 0),
        ("forward", True): ("1", "1", 1),
        ("backward_input", False): ("1", "0", 0),
        ("backward_input", True): ("1", "1", 1),
        ("backward_weight", False): ("1", "1", 0),
        ("backward_weight", True): ("0", "0", 0),
    }
    for (direction, last), (a, x, m_major) in expected.items():
        launch = product(plan(direction, problem(last=last)))
        assert defines(launch)["A_K_MAJOR"] == a
        assert defines(launch)["B_K_MAJOR"] == x
        assert int(fields(launch)["m_major"]) == m_major
    transposed = product(plan("backward_input", problem(r=1, s=1, pad=0)))
    assert defines(transposed)["A_K_MAJOR"] == "0"  # (K, C), summed over K


@each_direction
@pytest.mark.parametrize("groups", [1, 4])
def test_tiles_cover_c_once(direction, groups):
    launch = product(plan(direction, problem(n=3, h=31, w=17, k=60, groups=groups)))
    v, tile = fields(launch), int(defines(launch)["TILE"])
    assert int(v["tiles_m"]) == ceil(int(v["m"]) / tile)
    assert int(v["tiles_n"]) == ceil(int(v["n"]["count"]) / tile)
    assert (
        0 <= int(v["splits"]) * int(v["k_per_split"]) - int(v["k"]["count"]) < int(v["k_per_split"])
    )
    counts = ("tiles_m", "tiles_n", "groups", "splits")
    assert launch.grid == (prod(int(v[x]) for x in counts), 1, 1)


def test_tile():
    wide = {"n": 32, "k": 128}
    assert defines(product(plan("forward", problem(**wide))))["TILE"] == "128"
    assert defines(product(plan("forward", problem(n=32, k=64))))["TILE"] == "64"
    assert defines(product(plan("forward", problem(n=1, h=14, w=14, k=128))))["TILE"] == "64"


@each_direction
def test_segments_within_the_limit(direction):
    """Few outputs and long sums: as many as fill a GPU, each with its partial sums in workspace."""
    of = problem(n=4, c=512, h=7, w=7, k=512, dtype="float16")
    planned = plan(direction, of)
    sizes = {"forward": of.y, "backward_input": of.x, "backward_weight": of.weight}
    outputs = prod(sizes[direction].shape)
    if direction == "backward_weight":  # has tiles enough
        assert planned.workspace == {}
        of = problem(n=64, c=8, k=8, dtype="float16")
        planned, outputs = plan(direction, of), 8 * 8 * 9
    segments = int(fields(product(planned))["splits"])
    assert segments > 2
    assert planned.workspace == {"partial": ArraySpec((segments * outputs,), np.dtype("float32"))}
    assert [x.kernel.entry for x in planned.launches] == ["implicit_gemm", "implicit_gemm_finish"]
    limited = plan(direction, of, limit=2 * outputs * 4)
    assert limited.workspace_bytes == 2 * outputs * 4
    single = plan(direction, of, limit=outputs * 4)
    assert single.workspace == {}
    assert len(single.launches) == 1
    assert product(single).args[3] is None


@pytest.mark.parametrize("direction", ["forward", "backward_input"])
def test_weight_is_copied_where_channels_are_last(direction):
    """Unless its channels are last already, it has one tap, or there is no room."""
    of = problem(last=True, groups=2)
    planned = plan(direction, of)
    entries = [x.kernel.entry for x in planned.launches]
    assert entries == ["im2col", "implicit_gemm"]
    assert planned.workspace == {
        "weight_last": ArraySpec((prod(of.weight.shape),), np.dtype("float32"))
    }
    assert product(planned).args[0].name == "weight_last"
    summed = fields(product(planned))["k"]["other"]
    assert summed[2] == 1

    size = prod(of.weight.shape) * of.itemsize
    k, c, r, s = of.weight.shape
    as_wanted = View.contiguous(of.weight.shape, of.dtype, channels_last=True)
    if direction == "backward_input":
        as_wanted = View((k, c, r, s), (1, r * s * k, s * k, k), of.dtype)
    for direct in (
        plan(direction, of, limit=size - 1),
        plan(direction, replace(of, weight=as_wanted)),
        plan(direction, problem(last=True, r=1, s=1, pad=0)),
    ):
        assert [x.kernel.entry for x in direct.launches] == ["implicit_gemm"]
        assert product(direct).args[0].name == "weight"


def test_phases_make_every_element_of_dx_once():
    of = problem(n=2, c=6, h=11, w=8, k=4, r=3, s=2, stride=(2, 3), groups=2)
    seen = np.zeros(prod(of.x.shape), int)
    taps = 0
    for phase in phases(of):
        places = np.lib.stride_tricks.as_strided(
            seen[phase.dx :], phase.problem.y.shape, [8 * s for s in phase.problem.y.strides]
        )
        places += 1
        taps += phase.problem.taps
        assert phase.w_group == 2 * of.weight.strides[0]
    assert (seen == 1).all()
    assert taps == 3 * 2  # each belongs to one phase


def test_empty_phases_write_zeros():
    """With stride 3 and one tap, eight of nine phases have no term."""
    planned = plan("backward_input", problem(r=1, s=1, pad=0, stride=(3, 3)))
    counts = [int(fields(x)["k"]["count"]) for x in planned.launches]
    assert counts == [128] + [0] * 8


def test_offsets():
    of = problem(n=2, c=3, h=9, w=8, k=5, r=3, s=2, stride=(2, 1), dtype="float64")
    planned = plan("backward_input", of)
    assert [x.args[2] for x in planned.launches] == [Buffer("dx", 0), Buffer("dx", 8 * 8)]
    # Row 0 of x is met by tap 1 of row 0, and row 1 by tap 0; the last of the two columns is first.
    assert [x.args[0] for x in planned.launches] == [
        Buffer("weight", 3 * 8),
        Buffer("weight", 5 * 8),
    ]


THREE = replace(
    problem(),
    x=View.contiguous((2, 3, 4, 5, 6), "float32"),
    weight=View.contiguous((4, 3, 1, 1, 1), "float32"),
    y=View.contiguous((2, 4, 4, 5, 6), "float32"),
    stride=(1, 1, 1),
    pad_begin=(0, 0, 0),
    dilation=(1, 1, 1),
)
UNFIT = {
    "axes": ("forward", THREE, "x has 3 spatial axes; allowed: 2"),
    "axes of dx": ("backward_input", THREE, "x has 3 spatial axes; allowed: 2"),
    "axes of dweight": ("backward_weight", THREE, "x has 3 spatial axes; allowed: 2"),
    "mode": ("backward_input", problem(mode="reflect"), "mode 'reflect'; allowed: 'zeros'"),
    "stride": (
        "backward_input",
        problem(stride=(MAX_PHASES, 2)),
        rf"stride \({MAX_PHASES}, 2\) takes {2 * MAX_PHASES} launches; allowed: {MAX_PHASES}",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_limits(case):
    direction, of, message = UNFIT[case]
    with pytest.raises(Unsupported, match=message):
        plan(direction, of)


def test_no_more_cuts_are_tried_than_there_are_multiprocessors(monkeypatch, by_rule):
    """More only add rounds; where pixels are many and sums few, memory has room for 100000s."""
    tried, cost = [], conv_implicit._terms_of_busiest
    monkeypatch.setattr(
        conv_implicit, "_terms_of_busiest", lambda *way: tried.append(way) or cost(*way)
    )
    of = problem(n=64, c=8, h=512, w=512, k=8, r=1, s=1, pad=0, last=True)
    product = conv_implicit.weight_product(of)
    tile, cuts = conv_implicit.choose(of, product, PLENTY, tiler_of(FFMA))
    assert (tile, len(tried)) == (64, target().processors)
    assert 1 < cuts <= target().processors


#: Layers of ResNet-50 at batch 1 that have few tiles: 1x1 and 3x3, on 7x7 and on 14x14 pixels.
FEW_TILES = {
    "n1c2048h7w7k512r1s1": {"c": 2048, "h": 7, "w": 7, "k": 512, "r": 1, "s": 1, "pad": 0},
    "n1c512h7w7k512r3s3p1": {"c": 512, "h": 7, "w": 7, "k": 512},
    "n1c256h14w14k256r3s3p1": {"c": 256, "h": 14, "w": 14, "k": 256},
}


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("layer", FEW_TILES)
@pytest.mark.parametrize("on", [Target("sm_90a", 132), Target("sm_80", 108)], ids=lambda t: t.arch)
def test_sums_are_cut_where_that_is_estimated_to_be_fastest(layer, last, on):
    """Within 3 % of the best of all ways that there are, and well before that of the rule."""
    of = problem(n=1, last=last, **FEW_TILES[layer])
    tiler = tiler_of(FFMA) if last else conv_implicit.multiply_elements
    product = conv_implicit.forward_product(of)
    if last:
        product = replace(product, k=replace(product.k, other=(3 * of.channels, of.channels, 1)))

    def time(tile, cut):
        launches = conv_implicit.launches_of(of, product, tiler, tile, cut, parts=cut > 1)
        sizes = dict.fromkeys(("x", "weight", "y"), 0)
        return estimate(Plan("conv2d", "", tuple(launches), {}), sizes).time_us

    with planned_for(on):
        found = time(*conv_implicit.choose(of, product, PLENTY, tiler))
        best = min(time(tile, cut) for tile in (64, 128) for cut in (1, *range(2, 80, 3)))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(conv_implicit, "by_time", lambda *_: None)
            by_rule = time(*conv_implicit.choose(of, product, PLENTY, tiler))
    assert found <= 1.03 * best
    assert found < 0.92 * by_rule


def test_what_no_time_is_known_of_is_cut_by_rule(by_rule):
    of = problem(n=1, **FEW_TILES["n1c2048h7w7k512r1s1"])
    product = conv_implicit.forward_product(of)
    assert conv_implicit.by_time(of, product, PLENTY, conv_implicit.multiply_elements) is None
    tile, segments = conv_implicit.choose(of, product, PLENTY, conv_implicit.multiply_elements)
    assert (tile, segments) == (64, 2048 // conv_implicit.SEGMENT)
