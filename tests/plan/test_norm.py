"""Plans of normalisation: how blocks share the channels, what waits on chip."""

from math import prod

import pytest
from plan_checks import HUGE, assert_sound, struct

from pycnn.define.views import View
from pycnn.plan import (
    norm_batch,
    norm_group,
    norm_layer,
    norm_layer_gradient,
    norm_relu,
    norm_response,
    norm_small,
)
from pycnn.plan._norm import walk
from pycnn.plan._strided import row_major
from pycnn.plan.norm_batch import Channels
from pycnn.plan.norm_layer import choose_team
from pycnn.plan.norm_response import Window
from pycnn.runtime.plan import ArraySpec
from pycnn.runtime.target import Target, planned_for

DTYPES = ("float16", "float32", "float64")
ALL = ("sm_75", "sm_80", "sm_89", "sm_90a", "sm_100a")
SHAPES = [
    (1, 1, 1, 1),
    (2, 3, 5, 7),
    (64, 3, 224, 224),
    (1, 64, 7, 7),
    (256, 2048, 7, 7),
    (1, 3, 4096, 4096),
    (7, 1001),
    (HUGE, 3, 2),
    (2, HUGE, 3),
    (2, 3, HUGE),
]


def view(shape, dtype="float32"):
    return View(shape, row_major(shape), dtype)


@pytest.mark.parametrize("per_image", [True, False])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_element_is_walked_over_once(shape, dtype, layout, per_image):
    w = walk(shape, [row_major(shape)] * 2, dtype, layout, per_image=per_image)
    p = w.parameters
    width = 16 // {"float16": 2, "float32": 4, "float64": 8}[dtype]
    assert prod(w.block) == 256
    assert 1 <= w.segments <= 65535
    assert w.grid[1] == w.segments
    if w.name == "planes":
        assert p["chunk"] % (32 * width) == 0
        assert p["chunk"] * p["chunks"] >= p["length"] > p["chunk"] * (p["chunks"] - 1)
        pieces = p["planes"] * p["chunks"]
        assert p["pieces"] * w.segments >= pieces > p["pieces"] * (w.segments - 1)
        assert w.sets * int(p["planes"] * p["length"]) == prod(shape)
        assert w.grid[0] == w.sets
    else:
        tile, spread = int(p["lanes"]) * width, int(p["spread"])
        assert 1 <= p["lanes"] <= 256
        assert tile * p["tiles"] >= p["columns"] > tile * (p["tiles"] - 1)
        assert tile % spread == int(p["columns"]) % spread == 0  # a block has whole channels
        assert p["segment"] * w.segments >= p["rows"] > p["segment"] * (w.segments - 1)
        assert w.sets * int(p["rows"]) * spread == prod(shape)
        assert w.grid[0] * int(p["columns"]) == w.sets * spread * int(p["tiles"])


@pytest.mark.parametrize(
    ("shape", "dtype", "lanes"),
    [
        ((32, 2048, 7, 7), "float16", 49),
        ((32, 1024, 14, 14), "float16", 49),  # two channels
        ((32, 1024, 14, 14), "float32", None),  # maps are whole vectors
        ((32, 2048, 7, 7), "float32", 49),
        ((32, 3, 7, 7), "float32", None),  # an image is no whole vectors
        ((32, 64, 35, 35), "float16", None),  # more than a block
    ],
)
def test_small_maps_go_by_vectors_of_several(shape, dtype, lanes):
    w = walk(shape, [row_major(shape)], dtype, "NCHW", per_image=False)
    assert w.name == ("rows" if lanes else "planes")
    if lanes:
        assert (w.parameters["lanes"], w.parameters["spread"]) == (lanes, prod(shape[2:]))
    assert walk(shape, [row_major(shape)], dtype, "NCHW", per_image=True).name == "planes"
    apart = (shape[1] * prod(shape[2:]) + 1, *row_major(shape)[1:])
    assert walk(shape, [apart], dtype, "NCHW", per_image=False).name == "planes"


@pytest.mark.parametrize("vectors", [norm_small.FORWARD, norm_small.BACKWARD])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "layout", "fit"),
    [
        ((32, 2048, 7, 7), "NCHW", True),
        ((32, 7, 7, 2048), "NHWC", True),
        ((5, 24, 3, 7), "NCHW", True),
        ((2, 3, 5, 24), "NHWC", True),
        ((70, 8), "NCHW", True),
        ((32, 256, 56, 56), "NCHW", False),
        ((32, 56, 56, 256), "NHWC", False),
        ((2, 3, 7, 7), "NCHW", False),  # an image is no whole vectors
        ((2, 5, 7, 3), "NHWC", False),
        ((0, 8, 7, 7), "NCHW", False),
        ((1, 2, HUGE, 1), "NCHW", False),
        ((1, HUGE, 1, 8), "NHWC", False),
        ((2, HUGE * 16), "NCHW", True),
    ],
)
def test_channels_of_a_block(shape, layout, fit, dtype, vectors):
    own = norm_small.tile({"x": view(shape, dtype)}, ("x",), dtype, Channels(layout), vectors)
    assert (own is not None) == fit
    if own is None:
        return
    width = 16 // {"float16": 2, "float32": 4, "float64": 8}[dtype]
    p = {name: int(own.geometry[name]) for name in own.geometry.dtype.names}
    assert own.block[0] % 32 == 0
    assert 32 <= own.block[0] <= 512
    assert own.block[0] // p["lanes"] * vectors[1] >= p["rows"]
    assert p["rows"] * p["columns"] == prod(shape)
    assert own.grid[0] * p["lanes"] * width >= p["columns"] > (own.grid[0] - 1) * p["lanes"] * width
    assert p["sets"] * p["spread"] == p["lanes"] * width
    assert p["sets"] <= 2 * width
    assert own.shared <= 48 * 1024 - 1024
    apart = View(shape, (prod(shape) * 2, *row_major(shape)[1:]), dtype)
    assert norm_small.tile({"x": apart}, ("x",), dtype, Channels(layout), vectors) is None


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "layout", "few"),
    [
        ((16, 2048, 7, 7), "NCHW", True),
        ((16, 7, 7, 2048), "NHWC", True),
        ((9, 24), "NCHW", True),
        ((2, 3, 5, 24), "NHWC", True),
        ((5, 24, 3, 7), "NCHW", True),
        ((32, 64, 112, 112), "NCHW", False),  # planes
        ((32, 112, 112, 64), "NHWC", False),  # many
        ((2, 3, 7, 7), "NCHW", False),  # no whole vectors
        ((2, 5, 7, 3), "NHWC", False),
        ((HUGE, 3, 2), "NCHW", False),
    ],
)
def test_few_rows_are_a_thread_each(shape, layout, few, dtype):
    number = shape[-1] if layout == "NHWC" else shape[1]
    views = {"x": view(shape, dtype)}
    views |= dict.fromkeys(("running_mean", "running_var"), view((number,), dtype))
    plan = norm_batch.fixed_statistics(views, dtype, Channels(layout))
    assert_sound(plan, set(views))
    assert (plan.algo == "few") == few
    if few:
        p, width = struct(plan), 16 // {"float16": 2, "float32": 4, "float64": 8}[dtype]
        assert int(p["vectors"]) * int(p["rows"]) * width == prod(shape)
        assert p["groups"] * 4 >= p["rows"] > (p["groups"] - 1) * 4
        assert plan.launches[0].grid[0] * 256 >= p["groups"] * p["vectors"]
        views["x"] = View(shape, (2 * prod(shape), *row_major(shape)[1:]), dtype)
        plan = norm_batch.fixed_statistics(views, dtype, Channels(layout))
        assert plan.algo != "few"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "groups", "archs"),
    [
        ((32, 56, 56, 256), 32, ("sm_80", "sm_90a", "sm_100a")),
        ((32, 28, 28, 512), 32, ALL),
        ((2, 5, 7, 24), 24, ALL),
        ((2, 4096, 8), 1, ("sm_80", "sm_89", "sm_90a", "sm_100a")),
        ((1, 112, 112, 64), 32, ()),
        ((1, 2, 3, 2048), 1, ALL),
        ((2, 5, 7, 3), 3, ()),  # no whole vectors
        ((0, 5, 7, 8), 1, ()),
        ((HUGE, 2, 2, 8), 1, ()),
        ((1, 2, HUGE, 8), 1, ()),
    ],
)
def test_groups_of_a_block(shape, groups, archs, dtype):
    width = 16 // {"float16": 2, "float32": 4, "float64": 8}[dtype]
    channels = Channels("NHWC", True, shape[-1] // groups)
    for arch in ALL:
        with planned_for(Target(arch, 132)):
            plan = norm_group.one_launch("n", {"x": view(shape, dtype)}, dtype, channels)
            if plan is not None:
                assert_sound(plan, {"x"})
        if dtype == "float16":
            assert (plan is not None) == (arch in archs)
        if plan is None:
            continue
        (launch,), p = plan.launches, struct(plan)
        tile = p["tile"]
        assert tile["sets"] * tile["spread"] == tile["lanes"] * width
        assert tile["sets"] <= 2 * width
        assert launch.block[0] // tile["lanes"] * p["each"] >= tile["rows"]
        assert p["tiles"] * tile["lanes"] * width >= shape[-1]
        assert launch.grid[0] == shape[0] * p["tiles"]
        apart = {"x": View(shape, (prod(shape), *row_major(shape)[1:]), dtype)}
        if shape[0] > 1:
            assert norm_group.one_launch("n", apart, dtype, channels) is None


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("kept", [1, 2])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", [0, 1, 3, 5, 31, 96, 768, 1024, 1025, 5000, 50257, HUGE])
def test_teams(length, dtype, kept, affine):
    team = choose_team(length, dtype, kept, affine)
    itemsize = {"float16": 2, "float32": 4, "float64": 8}[dtype]
    number = max(itemsize, 4)
    assert prod(team.block) % 32 == 0
    assert prod(team.block) <= 512
    assert team.cached % (16 // itemsize) == 0
    needed = team.slots * team.cached * itemsize * kept
    needed += 2 * length * number if team.affine_cached else 0
    assert needed <= team.shared <= 48 * 1024
    assert team.name == ("lanes" if length <= 1024 else "block")
    if team.name == "lanes":
        assert team.cached >= length
        assert team.block[0] & (team.block[0] - 1) == 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 5, 132, 4096, HUGE])
@pytest.mark.parametrize("vecs", [1, 3, 64, 65, 128, 290, 1024, 1025])
def test_rows_of_one_pass(vecs, rows, dtype):
    length = vecs * 16 // {"float16": 2, "float32": 4, "float64": 8}[dtype]
    found = norm_layer_gradient.team(rows, length, dtype)
    assert norm_layer_gradient.team(rows, length + 1, dtype) is None
    assert (found is not None) == (vecs <= 1024 and rows < HUGE)
    if found is None:
        return
    entry, block = found
    assert block[0] * norm_layer_gradient.COUNT >= vecs
    assert prod(block) % 32 == 0
    assert prod(block) <= 512
    assert entry == ("lanes" if block[0] <= 32 else "block")
    assert block[0] in (4, 8, 16, 32) or block[0] % 32 == 0
    x, c = view((rows, length), dtype), view((length,), dtype)
    spec = ArraySpec((length,), norm_layer.numpy_dtype(dtype))
    outputs = {"dx": ArraySpec(x.shape, spec.dtype), "dweight": spec, "dbias": spec}
    views = {"dy": x, "x": x, "weight": c}
    plan = norm_layer.layer_norm_backward(views, dtype, 1, 0.1, outputs)
    assert_sound(plan, set(views))
    gradient, merge = plan.launches
    blocks = struct(plan, 1)["blocks"]
    assert gradient.grid[0] == blocks <= min(132, rows)
    assert (blocks - 1) * block[1] < rows
    assert merge.grid[0] * 32 >= 2 * length > (merge.grid[0] - 1) * 32
    apart = View(x.shape, (2 * length, 1), dtype)
    plan = norm_layer.layer_norm_backward({**views, "x": apart}, dtype, 1, 0.1, outputs)
    assert len(plan.launches) == 3


@pytest.mark.parametrize(("processors", "blocks"), [(3, 3), (128, 128), (170, 144)])
def test_rows_of_one_pass_take_a_block_a_multiprocessor(processors, blocks):
    spec = ArraySpec((264,), norm_layer.numpy_dtype("float32"))
    rows = view((4096, 264))
    outputs = {"dx": ArraySpec(rows.shape, spec.dtype), "dweight": spec, "dbias": spec}
    with planned_for(Target("sm_89", processors)):
        plan = norm_layer.layer_norm_backward({"dy": rows, "x": rows}, "float32", 1, 0.1, outputs)
    assert_sound(plan, {"dy", "x"})
    assert plan.launches[0].grid[0] == blocks == struct(plan, 1)["blocks"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_plans_are_sound(layout, dtype):
    x, c = view((2, 6, 5, 6), dtype), view((6,), dtype)
    vectors = dict.fromkeys(("running_mean", "running_var", "weight", "bias"), c)
    views = {"x": x, **vectors}
    batch, group = Channels(layout), Channels(layout, True, 3)
    spec = ArraySpec((6,), norm_layer.numpy_dtype(dtype))
    gradients = {"dx": ArraySpec(x.shape, spec.dtype), "dweight": spec, "dbias": spec}
    y = {"y": ArraySpec(x.shape, spec.dtype)}
    new = dict.fromkeys(("mean", "rstd", "new_running_mean", "new_running_var"), spec)
    both = {"dy": x, **views}
    plain = {"x": x, "weight": c, "bias": c}
    gradient = {"dy": x, **plain}
    saved = {**both, "mean": c, "rstd": c}
    for plan, inputs in (
        (norm_batch.fixed_statistics(views, dtype, batch), views),
        (norm_batch.fixed_statistics_backward(both, dtype, batch, gradients), both),
        (norm_batch.own_statistics("n", views, dtype, batch, y | new, 0.1), views),
        (norm_batch.own_statistics("n", plain, dtype, group, y), plain),
        (norm_batch.own_statistics_backward("n", saved, dtype, batch, gradients), saved),
        (norm_batch.own_statistics_backward("n", gradient, dtype, group, gradients), gradient),
        (norm_layer.group_norm("n", plain, dtype, 2, 0.1), plain),
        (norm_layer.group_norm_backward("n", both, dtype, 2, 0.1, gradients), both),
    ):
        assert_sound(plan, set(inputs))
        assert plan.launches
    weight = {"x": x, "dy": x, "weight": c}
    plan = norm_layer.layer_norm_backward(weight, dtype, 1, 0.1, gradients)
    assert_sound(plan, set(weight))
    for inputs in ({"x": x.strides}, {"dy": x.strides, "x": x.strides}):
        plan = norm_response.response("n", x.shape, inputs, "r", dtype, Window(5, layout=layout))
        assert_sound(plan, set(inputs))


def test_a_long_group_takes_the_pipeline():
    room = 48 * 1024 - 512  # the partial results of the warps take the rest
    assert norm_layer.fits(room // 4, "float32", 1)
    assert not norm_layer.fits(room // 4 + 1, "float32", 1)
    assert norm_layer.fits(room // 4, "float16", 2)
    assert not norm_layer.fits(room // 4, "float32", 2)


def test_more_channels_than_an_int_has_do_not_go_by_vectors():
    def response(shape, layout):
        inputs, window = {"x": row_major(shape)}, Window(5, layout=layout)
        return norm_response.response("n", shape, inputs, "y", "float16", window)

    assert response((1, 2**33, 4), "NCHW").algo == "planes"
    with pytest.raises(ValueError, match=r"response_rows.*: grid .* allowed: 1 to 65535"):
        response((1, 1, 2**33), "NHWC")
    for channels, taken in ((2**30, True), (2**33, False)):
        x = View((1, channels, 8), row_major((1, channels, 8)), "float16")
        assert (norm_layer.group_team({"x": x}, "float16", channels // 2) is not None) == taken


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("shape", [(1, 96, 55, 55), (128, 96, 55, 55), (1, 5000, 3, 2)])
def test_responses_cover_all_channels_and_pixels(shape, layout):
    inputs = {"x": row_major(shape)}
    plan = norm_response.response("n", shape, inputs, "y", "float32", Window(5, layout=layout))
    launch, p = plan.launches[0], struct(plan)
    assert launch.grid[1] * p["tile"] >= p["channels"] > (launch.grid[1] - 1) * p["tile"]
    pixels = launch.block[0] if layout == "NCHW" else int(p["rows"])
    if plan.algo == "planes by vectors" and not shape[2] * shape[3] % 4:
        pixels *= 4
    assert launch.grid[0] * pixels >= p["pixels"] > (launch.grid[0] - 1) * pixels
    assert p["pixels"] * p["channels"] == prod(shape)
    assert launch.shared <= 48 * 1024


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_with_the_unit_a_pass_less(shape, dtype, layout):
    if prod(shape) < 2 or max(shape[1], shape[-1]) >= HUGE:
        pytest.skip("has no variance, or more channels than blocks of a grid")
    channels, own = Channels(layout), view(shape, dtype)
    number = shape[1] if layout == "NCHW" else shape[-1]
    c = ArraySpec((number,), norm_batch.computed_in(dtype))
    whole = ArraySpec(shape, norm_batch.numpy_dtype(dtype))
    views = {"x": own, "residual": own}
    plan = norm_relu.forward(views, dtype, channels, {"y": whole, "mean": c, "rstd": c}, 0.1)
    assert_sound(plan, {"x", "residual"})
    apart = norm_batch.own_statistics("", views, dtype, channels, {"y": whole}, 0.1)
    assert len(plan.launches) == len(apart.launches)
    views = {"dy": own, "x": own, "y": own}
    outputs = {"dx": whole, "dweight": c, "dbias": c, "dresidual": whole}
    plan = norm_relu.backward(views, dtype, channels, outputs)
    assert_sound(plan, {"dy", "x", "y", "mean", "rstd"})
    assert len(plan.launches) == 3
