"""Plans of `implicit_gemm_wgmma`: its maps, what it cannot take, and when "auto" asks for it."""

from dataclasses import replace

import pytest
from plan_checks import assert_sound

from pycnn.define.views import View
from pycnn.plan import _wgmma, conv
from pycnn.plan._epilogue import Epilogue
from pycnn.plan._wgmma import Way
from pycnn.plan.conv_problem import Problem
from pycnn.plan.conv_wgmma import divisor
from pycnn.plan.estimate import way_of
from pycnn.plan.gemm import Flag
from pycnn.runtime.plan import Buffer
from pycnn.runtime.target import Target, planned_for

NAME, PLENTY = "implicit_gemm_wgmma", 2**40


@pytest.fixture(autouse=True)
def on_hopper():
    with planned_for(Target("sm_90a", 132)):
        yield


def nhwc(*shape, dtype="float16"):
    _, c, h, w = shape
    return View(shape, (h * w * c, 1, w * c, c), dtype)


def problem(x=(8, 128, 28, 30), filters=256, y=(28, 30), side=3, groups=1, **changed):
    weight = (filters, x[1] // groups, side, side)
    return Problem(
        nhwc(*x),
        nhwc(*weight),
        nhwc(x[0], filters, *y),
        **{"pad_begin": (1, 1), "groups": groups, **changed},
    )


def plan(of, limit=PLENTY, algo=NAME):
    return conv.plan(of, "forward", algo, limit)


def test_maps():
    step = plan(problem(x=(8, 128, 27, 30), y=(14, 10), stride=(2, 3))).launches[0]
    x, weight, _ = step.maps
    assert (x.array, weight.array) == (Buffer("x"), Buffer("weight"))
    assert x.shape == (8, 27, 30, 128)
    assert x.strides == (27 * 30 * 128, 30 * 128, 128, 1)
    # 14 base pixels in a column, 10 in a row, from the padding on.
    assert x.corners == ((-1, -1), (-1 + 26 + 1 - 27, -1 + 27 + 1 - 30))
    assert x.steps == (2, 3)
    way = way_of(step)
    assert x.box == (way.tile[0] // way.across, 64)
    assert weight.shape == (256, 3, 3, 128)
    assert weight.box == (way.tile[1] // way.cluster, 1, 1, 64)


def test_a_block_for_every_sm():
    planned = plan(problem())
    assert_sound(planned, {"x", "weight"})
    (step,) = planned.launches
    params = step.args[-2]
    pixels, tile = 8 * 28 * 30, int(params["tile_n"])
    cluster = int(dict(step.kernel.defines)["CLUSTER"])
    rows = -(-pixels // (128 * cluster)) * cluster
    assert step.grid == (min(132, rows * (256 // tile)), 1, 1)
    assert (int(params["m"]), int(params["n"]), int(params["k"])) == (pixels, 256, 9 * 128)
    assert int(step.args[-1]["chunks"]) == 2


def test_channels_that_fill_no_copy():
    (step,) = plan(problem(x=(8, 72, 28, 30))).launches
    assert int(step.args[-2]["k"]) == 9 * 128
    assert int(step.args[-1]["chunks"]) == 2


def test_the_weight_is_turned_where_it_has_to_be():
    plain = replace(problem(), weight=View.contiguous((256, 128, 3, 3), "float16"))
    planned = plan(plain)
    assert_sound(planned, {"x", "weight"})
    assert [step.kernel.entry for step in planned.launches] == ["transpose_to_vectors", NAME]
    assert planned.launches[1].maps[1].array == Buffer("weight_last")
    with pytest.raises(ValueError, match="exceeds the workspace"):
        plan(plain, limit=0)


@pytest.mark.parametrize("arch", ["", "sm_80", "sm_100a", "sm_120"])
def test_other_architectures_are_refused(arch):
    with planned_for(Target(arch)):
        with pytest.raises(ValueError, match=f"architecture {arch or 'not known'}; allowed: sm_9"):
            plan(problem())
        assert plan(problem(), algo="auto").algo == "implicit_gemm_mma"


STRIDED = View((8, 128, 28, 30), (28 * 30 * 136, 1, 30 * 132, 132), "float16")


@pytest.mark.parametrize(
    ("of", "message"),
    [
        (problem(x=(8, 24, 28, 30), groups=2, filters=48), "allowed: multiples of 8"),
        (problem(x=(8, 144, 28, 30), groups=2), "72 channels in each of 2 groups"),
        (replace(problem(), x=STRIDED), "of x; allowed: multiples of 8"),
        (replace(problem(), x=nhwc(8, 128, 28, 30, dtype="float32")), "dtype float32; allowed: f"),
        (replace(problem(), mode="reflect"), "padding mode 'reflect'"),
        (replace(problem(), x=View.contiguous((8, 128, 28, 30), "float16")), "channels innermost"),
        (replace(problem(), y=View.contiguous((8, 256, 28, 30), "float16")), "of y; allowed"),
        (problem(pad_begin=(129, 1)), "allowed: -128 to 127"),
        (problem(dilation=(1, 128)), "a window of 257 pixels"),
        (problem(x=(8, 128, 244, 30), stride=(9, 1)), "stride \\(9, 1\\)"),
        (problem(x=(2**22, 128, 28, 30)), "allowed: up to"),
    ],
)
def test_what_it_cannot_take_is_refused(of, message):
    with pytest.raises(ValueError, match=f"algo='{NAME}' does not fit; .*{message}"):
        plan(of)


def test_auto(by_rule):
    planned = plan(problem(), algo="auto")
    assert planned.algo == NAME
    (step,) = planned.launches
    assert step.unaligned.kernel.entry == "implicit_gemm_mma"
    assert plan(problem()).launches[0].unaligned is None
    assert plan(problem(filters=16), algo="auto").algo == NAME
    assert plan(problem(filters=8), algo="auto").algo == "implicit_gemm"
    thin = problem(x=(8, 16, 28, 30))
    assert plan(thin, algo="auto").algo == "implicit_gemm_mma"
    in_place = problem(side=1, y=(28, 30), pad_begin=(0, 0))
    assert plan(in_place, algo="auto").algo == NAME  # before gemm_1x1


def test_auto_with_a_weight_that_is_turned():
    plain = replace(problem(), weight=View.contiguous((256, 128, 3, 3), "float16"))
    step = plan(plain, algo="auto").launches[1]
    assert step.unaligned.args[0] == Buffer("weight_last")


def test_a_residual_of_another_layout():
    end = Epilogue(residual=(28 * 30 * 256, 28 * 30, 30, 1))
    (step,) = plan(replace(problem(), epilogue=end)).launches
    assert int(step.args[-2]["residual_col"]) == 28 * 30
    assert int(step.args[-2]["flags"]) == Flag.C_VECTOR | Flag.C_BOXES
    end = Epilogue(residual=(28 * 30 * 256, 1, 30 * 256, 256))
    (step,) = plan(replace(problem(), epilogue=end)).launches
    assert int(step.args[-2]["flags"]) == (
        Flag.C_VECTOR | Flag.C_BOXES | Flag.EVEN_ROWS | Flag.RESIDUAL_VECTOR
    )
    assert int(step.args[-2]["residual_row"]) == 256


def test_a_large_weight_is_turned():
    large = problem(x=(1, 512, 28, 30), filters=512)
    plain = replace(large, weight=View.contiguous((512, 512, 3, 3), "float16"))
    assert plan(plain).launches[0].kernel.entry in ("transpose", "transpose_to_vectors")


def test_few_tiles_are_shared_out_in_clusters():
    """Eight blocks have a tile, and a ninth of nothing is none of them: no part is empty."""
    planned = plan(problem(x=(1, 512, 7, 7), filters=512, y=(7, 7)))
    assert_sound(planned, {"x", "weight"})
    (main,) = planned.launches
    macros = dict(main.kernel.defines)
    assert (macros["ALONG"], macros["CLUSTER"], macros["ACROSS"]) == ("8", "1", "1")
    assert main.grid == (8 * 512 // 64, 1, 1)
    assert int(main.args[-1]["per_split"]) * 8 == 9 * 8
    assert (int(main.args[-2]["batches"]), main.args[4]) == (1, None)
    assert not planned.workspace_bytes


@pytest.mark.parametrize(("terms", "along"), [(64, ()), (256, (4,)), (320, ()), (512, (4, 8))])
def test_no_part_of_a_cluster_is_empty(monkeypatch, terms, along):
    """Five steps would be two of each of three blocks, and none of the fourth."""
    asked = []
    monkeypatch.setattr(Way, "cycles", lambda way, *_: asked.append(way) or 0)
    _wgmma.best_way(49, 64, terms, along={(128, 64): (4, 8)})
    assert tuple(way.along for way in asked if way.along > 1) == along


def test_few_tiles_are_cut(monkeypatch):
    """Blocks share the sums of a tile, if there is room for their parts; and no part is empty."""
    monkeypatch.setattr(_wgmma, "ALONG", {})
    few = problem(x=(1, 512, 7, 7), filters=512, y=(7, 7))
    planned = plan(few)
    assert_sound(planned, {"x", "weight"})
    main, add = planned.launches
    assert (main.kernel.entry, add.kernel.entry) == (NAME, "implicit_gemm_finish")
    steps, per_part = 9 * 8, int(main.args[-1]["per_split"])
    parts = int(main.args[-2]["batches"])
    assert parts > 1
    assert (parts - 1) * per_part < steps <= parts * per_part
    assert planned.workspace_bytes == parts * 49 * 512 * 4
    assert int(add.args[-1]["splits"]) == parts
    (alone,) = plan(few, limit=0).launches
    assert int(alone.args[-1]["per_split"]) == steps
    assert alone.args[4] is None


def test_parts_of_odd_filters_do_not_lie_at_even_places():
    (_,) = plan(problem(x=(1, 512, 7, 7), filters=509, y=(7, 7))).launches


def test_where_arrays_begin_elsewhere_as_many_parts_are_made(monkeypatch):
    monkeypatch.setattr(_wgmma, "ALONG", {})
    few = problem(x=(1, 512, 7, 7), filters=512, y=(7, 7))
    main, add = plan(few, algo="auto").launches
    other = main.unaligned
    assert other.kernel.entry == "implicit_gemm_mma"
    assert other.args[3] == main.args[4] == add.args[0] == Buffer("partial")
    assert int(other.args[-1]["splits"]) == int(add.args[-1]["splits"])


def test_phases_of_a_gradient():
    """Four, of which each has its own taps, in reverse, and a place in dx; and one none at all."""
    strided = problem(x=(8, 256, 27, 30), y=(14, 10), stride=(2, 3))
    planned = conv.plan(strided, "backward_input", NAME, PLENTY)
    assert_sound(planned, {"dy", "weight"})
    copy, *steps = planned.launches
    assert copy.kernel.entry == "transpose_vectors"
    steps = [step for step in steps if step.kernel.entry == NAME]
    assert len(steps) == 6
    taps = [tuple(step.maps[1].shape[1:3]) for step in steps]
    assert sorted(taps) == [(1, 1)] * 3 + [(2, 1)] * 3
    assert all(step.maps[0].array == Buffer("dy") for step in steps)
    (first,) = (s for s in steps if s.args[3] == Buffer("dx", 0))
    window = first.args[-1]
    assert (int(window["y_p"]), int(window["y_q"])) == (2 * 30 * 256, 3 * 256)
    assert (int(window["p"]), int(window["q"])) == (14, 10)


def test_phases_without_taps_are_another_kernels():
    sparse = problem(
        x=(8, 64, 28, 28), filters=64, y=(14, 14), side=1, stride=(2, 2), pad_begin=(0, 0)
    )
    planned = conv.plan(sparse, "backward_input", NAME, PLENTY)
    entries = [step.kernel.entry for step in planned.launches]
    assert entries == ["im2col", NAME, "implicit_gemm_phases"]


def test_gradient_of_the_weight():
    of = problem(x=(8, 72, 28, 30))
    planned = conv.plan(of, "backward_weight", NAME, PLENTY)
    assert_sound(planned, {"x", "dy"})
    main, add = planned.launches
    assert (main.kernel.entry, add.kernel.entry) == (f"{NAME}_weight", "implicit_gemm_finish")
    x, dy = main.maps
    assert (x.box, dy.box) == ((64, 64), (64, 64))
    assert (x.corners, dy.corners) == (((-1, -1), (-1, -1)), ((0, 0), (0, 0)))
    params = main.args[-2]
    assert (int(params["m"]), int(params["n"]), int(params["k"])) == (9 * 128, 256, 8 * 28 * 30)
    assert int(params["c_outer"]) == 9 * 72 * 256
    assert main.unaligned is None
    step = conv.plan(of, "backward_weight", "auto", PLENTY).launches[0]
    assert step.unaligned.kernel.entry == "implicit_gemm_mma"
    with pytest.raises(ValueError, match="165888 sums exceed the workspace"):
        conv.plan(of, "backward_weight", NAME, 4 * 165888 - 1)
    least = conv.plan(of, "backward_weight", NAME, 4 * 165888)
    assert least.workspace_bytes == 4 * 165888


@pytest.mark.parametrize("direction", ["backward_input", "backward_weight"])
def test_auto_of_gradients(direction):
    assert conv.plan(problem(), direction, "auto", PLENTY).algo == NAME
    with planned_for(Target("sm_80")):
        assert conv.plan(problem(), direction, "auto", PLENTY).algo == "implicit_gemm_mma"


@pytest.mark.parametrize("by", [1, 2, 3, 7, 64, 65, 1000, 46341, 2**31 - 1])
def test_divisors(by):
    made = divisor(by)
    multiplier, shift = int(made["multiplier"]), int(made["shift"])
    for n in (0, 1, by - 1, by, 7 * by - 1, 7 * by, 2**31 - 1, (2**31 - 1) // by * by - 1):
        if 0 <= n < 2**31:
            assert n * multiplier >> shift == n // by


@pytest.mark.parametrize("groups", [1, 2])
def test_vectors(groups):
    (step,) = plan(problem(filters=256, groups=groups)).launches
    assert int(step.args[-2]["flags"]) == Flag.C_VECTOR | Flag.C_BOXES | Flag.EVEN_ROWS
    result = step.maps[2]
    assert result.shape == (1, groups, 8 * 28 * 30, 256 // groups)
    assert result.strides[1:] == (256 // groups, 256, 1) if groups > 1 else (256, 256, 1)
    assert (result.box, result.optional) == ((1, 1, 16, 64), True)
    (step,) = plan(problem(filters=250, groups=groups)).launches
    assert int(step.args[-2]["flags"]) == Flag.EVEN_ROWS
