"""Plans of convolution: pure, within their limits, and right beyond 2^31 elements."""

import itertools
import re
import subprocess
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from plan_checks import assert_sound

import pycnn
from pycnn.define.views import View
from pycnn.plan import (
    conv,
    conv_phases,
    conv_tiled,
    depthwise_channels,
    depthwise_planes,
    depthwise_strips,
)
from pycnn.plan.conv_problem import MAX_EXTENT, Problem, bytes_of
from pycnn.plan.conv_tiled import SHARED_LIMIT
from pycnn.plan.estimate import estimate
from pycnn.runtime import sources
from pycnn.runtime.plan import MAX_GRID, Buffer, Launch, renamed
from pycnn.runtime.target import Target, planned_for
from pycnn.shapes import conv_out

MIB = 2**20
DIRECTIONS = ("forward", "backward_input", "backward_weight", "backward_bias")

floats = partial(View.contiguous, dtype="float32")


def problem(x, weight, stride=1, padding=0, dilation=1, groups=1, dtype="float32", last=False):
    """A convolution of contiguous arrays, or of images with channels last."""
    p, q = (conv_out(x[a], padding, padding, weight[a], stride, dilation) for a in (2, 3))
    views = (
        View.contiguous(x, dtype, last),
        View.contiguous(weight, dtype),
        View.contiguous((x[0], weight[0], p, q), dtype, last),
    )
    return Problem(*views, (stride, stride), (padding, padding), (dilation, dilation), groups)


LAYERS = {
    "resnet 3x3": problem((32, 64, 56, 56), (64, 64, 3, 3), padding=1),
    "resnet 3x3, 16-bit, NHWC": problem(
        (32, 64, 56, 56), (64, 64, 3, 3), padding=1, dtype="bfloat16", last=True
    ),
    "resnet 3x3, NHWC": problem((32, 64, 56, 56), (64, 64, 3, 3), padding=1, last=True),
    "resnet 1x1": problem((32, 256, 56, 56), (64, 256, 1, 1)),
    "resnet first": problem((32, 3, 224, 224), (64, 3, 7, 7), stride=2, padding=3),
    "resnet first, 16-bit, NHWC": problem(
        (32, 3, 224, 224), (64, 3, 7, 7), stride=2, padding=3, dtype="bfloat16", last=True
    ),
    "resnet last": problem((32, 512, 7, 7), (512, 512, 3, 3), padding=1),
    "alexnet first": problem((128, 3, 224, 224), (64, 3, 11, 11), stride=4, padding=2),
    "mobilenet": problem((1, 128, 56, 56), (128, 1, 3, 3), stride=2, padding=1, groups=128),
    "grouped": problem((100, 2048, 14, 14), (2048, 64, 3, 3), stride=2, padding=1, groups=32),
    "float64": problem((7, 19, 23, 31), (37, 19, 5, 5), padding=2, dtype="float64"),
}


def plans(layer, limit=256 * MIB):
    """Every plan of a layer that fits, with its direction."""
    for direction in DIRECTIONS:
        for found in conv.algorithms(layer, direction, limit):
            if found.fits:
                yield direction, conv.plan(layer, direction, found.name, limit)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_every_algorithm_fits_some_layer(direction):
    """One that refused everything would be tried nowhere, and nothing would show it."""
    with planned_for(Target("sm_90a")):  # which has all instructions
        fit = {plan.algo for layer in LAYERS.values() for d, plan in plans(layer) if d == direction}
    assert fit == set(conv.names(direction))


def test_planning_needs_neither_gpu_nor_compiler():
    code = (
        "import sys, pycnn.plan.conv;"
        "print([m for m in sys.modules if m.startswith(('cupy', 'cuda', 'pycnn.emulator'))])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_buffers_are_named_and_lie_inside(layer):
    """Offsets stay within the arrays, and every output is written."""
    shapes = {"x": layer.x, "weight": layer.weight, "dy": layer.y}
    for _, plan in plans(layer):
        bytes_of = {n: np.prod(v.shape) * layer.itemsize for n, v in shapes.items()}
        bytes_of |= {n: s.nbytes for n, s in {**plan.outputs, **plan.workspace}.items()}
        used = [a for launch in plan.launches for a in launch.args if isinstance(a, Buffer)]
        assert set(plan.outputs) | set(plan.workspace) <= {b.name for b in used}
        assert all(0 <= b.offset < bytes_of[b.name] for b in used)


def test_constants_are_those_of_the_kernels():
    folder = sources.kernel_dir()
    tiled = (folder / "conv" / "direct_tiled.cu").read_text()
    constants = _constants(tiled)
    for name in ("THREADS", "PIXELS", "FILTERS", "CHANNELS", "TAP_PADDING"):
        assert int(constants[name]) == getattr(conv_tiled, name)


def _constants(text):
    return dict(re.findall(r"(\w+) = (\d+)[,;]", text))


@pytest.mark.parametrize("direction", ["forward", "backward_input", "backward_weight"])
def test_workspace_limit_is_exact(direction):
    """One byte less than a single image needs, and im2col no longer fits."""
    layer = problem((3, 5, 9, 8), (7, 5, 3, 3), padding=1)
    columns = 4 * 5 * 9 * 9 * 8
    fitting = conv.plan(layer, direction, "im2col", columns)
    assert fitting.workspace_bytes == columns
    message = rf"needs {columns} bytes of workspace; allowed: {columns - 1}"
    with pytest.raises(ValueError, match=message):
        conv.plan(layer, direction, "im2col", columns - 1)
    assert conv.plan(layer, direction, "auto", columns - 1).algo != "im2col"


@pytest.mark.parametrize("limit", [8 * MIB, 100 * MIB, 1024 * MIB])
@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_workspace_stays_within_the_limit(layer, limit):
    for _, plan in plans(layer, limit):
        assert plan.workspace_bytes <= limit


@pytest.mark.parametrize("algo", ["winograd_f2", "winograd_f4", "im2col"])
@pytest.mark.parametrize("channels", [128, 512])
def test_more_workspace_is_taken_where_it_is_worth_it(algo, channels):
    """By the estimates of plans that take what they may."""
    layer = problem((32, channels, 28, 28), (channels, channels, 3, 3), padding=1)
    with planned_for(Target("sm_90a", 132)):
        chosen = conv.plan(layer, "forward", algo, 1024 * MIB)
        planner = conv.ALGORITHMS[algo].planners["forward"].__wrapped__
        sizes = [2**i * MIB for i in range(6, 11)]
        times = {size: estimate(planner(layer, size), bytes_of(layer)).time_us for size in sizes}
        took = estimate(chosen, bytes_of(layer)).time_us
    assert took <= min(times.values()) / 0.9
    less = [time for size, time in times.items() if 2 * size <= chosen.workspace_bytes]
    assert all(time > min(times.values()) / 0.9 for time in less)


def test_workspace_is_bounded_where_no_estimate_is_known():
    layer = problem((256, 64, 56, 56), (64, 64, 3, 3), padding=1, dtype="float64")
    assert 64 * MIB < conv.plan(layer, "forward", "im2col", 1024 * MIB).workspace_bytes <= 128 * MIB


@pytest.mark.parametrize("n", [1, 7, 32])
def test_chunks_cover_every_image_once(n):
    layer = problem((n, 64, 56, 56), (64, 64, 3, 3), padding=1)
    launches = conv.plan(layer, "forward", "im2col", 60 * MIB).launches
    lowering = [x for x in launches if x.kernel.entry == "unfold"]
    images = [(x.args[0].offset // (4 * 64 * 56 * 56), int(x.args[-1]["N"])) for x in lowering]
    covered = [first + i for first, count in images for i in range(count)]
    assert covered == list(range(n))
    assert max(count for _, count in images) - min(count for _, count in images) <= 1


HUGE = {
    "many images": problem((1025, 512, 64, 64), (16, 512, 3, 3), padding=1),
    "large image": problem((1, 1, 60000, 50000), (1, 1, 3, 3), padding=1),
    "many channels": problem((1, 2**20, 50, 50), (16, 2**20, 1, 1)),
    "large weight": problem((1, 2**16, 5, 5), (2**16, 2**16, 3, 3)),
}


@pytest.mark.parametrize("layer", HUGE.values(), ids=HUGE)
def test_more_than_2_31_elements(layer):
    """Grids within their limits, and strides that no 32-bit number holds."""
    assert max(np.prod(v.shape) for v in (layer.x, layer.weight, layer.y)) > 2**31
    found = list(plans(layer, 2**40))
    assert {"direct"} <= {plan.algo for _, plan in found}
    for _, plan in found:
        for launch in (x for x in plan.launches if isinstance(x, Launch)):
            assert all(g <= limit for g, limit in zip(launch.grid, MAX_GRID, strict=True))
    params = layer.params()
    for array, axes in (("x", "nchw"), ("w", "kcrs"), ("y", "nkpq")):
        view = {"x": layer.x, "w": layer.weight, "y": layer.y}[array]
        assert tuple(int(params[f"{array}_{a}"]) for a in axes) == view.strides
    assert int(params["w_g"]) == layer.filters * layer.weight.strides[0]


def test_offsets_beyond_2_31_bytes():
    layer = problem((2**12, 64, 56, 56), (64, 64, 3, 3), padding=1)
    launches = conv.plan(layer, "forward", "im2col", 60 * MIB).launches
    offsets = [
        a.offset for x in launches for a in x.args if isinstance(a, Buffer) and a.name == "y"
    ]
    image = 4 * 64 * 56 * 56
    assert max(offsets) > 2**31
    assert all(offset % image == 0 for offset in offsets)


def test_extents_that_no_int_holds_are_refused():
    with pytest.raises(
        ValueError, match=f"x_shape has shape .*; allowed: extents from 1 to {MAX_EXTENT}"
    ):
        pycnn.conv2d_algorithms((1, 1, 2**31, 3), (1, 1, 1, 1))


#: dilation, taps, padding, extent
AXES = list(itertools.product((1, 2, 3, 4), (1, 2, 3, 5), (0, 1, 3), (7, 12)))


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 6])
def test_residues_cover_every_contribution_once(stride):
    """The phases of the tiled gradient, against the definition, along one axis."""
    for dilation, taps, pad, extent in AXES:
        outs = conv_out(extent, pad, pad, taps, stride, dilation)
        if outs < 1:
            continue
        by_definition = {
            (out * stride + tap * dilation - pad, tap, out)
            for out in range(outs)
            for tap in range(taps)
            if 0 <= out * stride + tap * dilation - pad < extent
        }
        layer = problem((1, 1, extent, 1), (1, 1, taps, 1), stride, 0, dilation)
        layer = Problem(
            layer.x, layer.weight, View.contiguous((1, 1, outs, 1), "float32"),
            (stride, 1), (pad, 0), (dilation, 1),
        )  # fmt: skip
        by_phase = [
            (r.first + i * r.stride, r.last - j * r.step, i - r.pad + j * r.dilation)
            for r in conv_phases._residues(layer, 0)
            for i in range(r.extent)
            for j in range(r.taps)
        ]
        inside = [c for c in by_phase if 0 <= c[2] < outs]
        assert len(inside) == len(set(inside))
        assert set(inside) == by_definition


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_tiles_fit_in_shared_memory_and_banks(layer):
    tiling = conv_tiled.choose(layer)
    assert tiling.elements * layer.itemsize <= SHARED_LIMIT
    assert tiling.pitch >= layer.stride[1] * tiling.sub_pitch
    assert tiling.sub_pitch * layer.stride[1] >= tiling.halo_cols
    threads = range(min(32, tiling.block[0]))
    width, down = tiling.tile_q, layer.stride[0] * tiling.pitch
    turns = conv_tiled.bank_cycles([i // width * down + i % width for i in threads], layer.itemsize)
    assert turns == -(-len(threads) * layer.itemsize // 128)


def test_bank_cycles():
    assert conv_tiled.bank_cycles(list(range(32)), 4) == 1
    assert conv_tiled.bank_cycles(list(range(32)), 8) == 2
    assert conv_tiled.bank_cycles([2 * i for i in range(32)], 4) == 2
    assert conv_tiled.bank_cycles([32 * i for i in range(32)], 4) == 32
    assert conv_tiled.bank_cycles([5] * 32, 4) == 1


def test_views_that_are_matrices():
    assert floats((2, 3, 4, 5)).merged(1, 3) == 1
    assert View((2, 3, 4, 5), (120, 40, 10, 2), "float32").merged(1, 3) == 2
    assert View((2, 3, 4, 5), (-60, -20, -5, -1), "float32").merged(1, 3) == -1
    assert View((2, 3, 4, 5), (0, 0, 0, 0), "float32").merged(0, 3) == 0
    assert View((2, 3, 1, 5), (15, 5, 99, 1), "float32").merged(1, 3) == 1
    assert View((2, 3, 1, 1), (3, 1, 7, 7), "float32").merged(2, 3) == 1
    assert View((2, 3, 4, 5), (60, 20, 5, -1), "float32").merged(2, 3) is None
    assert View((2, 3, 4, 5), (60, 1, 15, 3), "float32").merged(1, 3) is None


#: Layer -> what auto takes by rule, forward and for the two gradients.
CHOICES = {
    "resnet 3x3": ("winograd_f4", "winograd_f4", "winograd_f2"),
    "resnet 3x3, 16-bit, NHWC": ("implicit_gemm_mma",) * 3,
    "resnet 3x3, NHWC": ("winograd_f4", "winograd_f4", "winograd_f2"),
    "resnet 1x1": ("gemm_1x1", "gemm_1x1", "gemm_1x1"),
    "resnet first": ("implicit_gemm", "direct", "implicit_gemm"),
    "mobilenet": ("direct", "depthwise", "depthwise"),
}


@pytest.mark.parametrize("name", CHOICES)
def test_auto_takes_the_first_that_fits_and_says_why(name, by_rule):
    directions = ("forward", "backward_input", "backward_weight")
    for direction, choice in zip(directions, CHOICES[name], strict=True):
        listed = conv.algorithms(LAYERS[name], direction, 256 * MIB)
        assert {a.name for a in listed} == set(conv.names(direction))
        first = next(a for a in listed if a.fits)
        plan = conv.plan(LAYERS[name], direction, "auto", 256 * MIB)
        assert plan.algo == first.name == choice
        assert plan.workspace_bytes == first.workspace_bytes
        assert first.reason


@pytest.mark.parametrize(
    ("n", "side", "k", "c", "r", "dtype", "expected"),
    [
        # A product of few tiles and long sums leaves a GPU idle; sums are split.
        (1, 14, 256, 1024, 1, "float32", "implicit_gemm"),
        (1, 7, 512, 2048, 1, "float64", "implicit_gemm"),
        (32, 7, 128, 832, 1, "float32", "implicit_gemm"),
        (32, 7, 256, 832, 1, "float32", "gemm_1x1"),
        # Small images, and many of them, share tiles there.
        (32, 7, 2048, 512, 1, "float32", "implicit_gemm"),
        (32, 7, 512, 2048, 1, "float32", "gemm_1x1"),
        # Not where there are images, or the sums are short, or tensor cores take the product.
        (32, 14, 256, 1024, 1, "float32", "gemm_1x1"),
        (1, 14, 1024, 256, 1, "float32", "gemm_1x1"),
        (1, 14, 256, 1024, 1, "float16", "gemm_1x1"),
        # Winograd wants as many tiles of the image as a tile of the product has rows.
        (1, 56, 64, 64, 3, "float32", "winograd_f2"),
        (1, 56, 256, 256, 3, "float32", "winograd_f4"),
        (1, 28, 128, 128, 3, "float32", "winograd_f2"),
        (1, 14, 256, 256, 3, "float32", "implicit_gemm"),
        (32, 7, 512, 512, 3, "float32", "winograd_f4"),
        # Few outputs of short sums leave most of a product's tile idle.
        (32, 56, 64, 3, 3, "float32", "direct_tiled"),
        (32, 56, 64, 3, 7, "float32", "implicit_gemm"),
        (32, 56, 128, 3, 3, "float32", "implicit_gemm"),
        (32, 56, 16, 16, 5, "float32", "implicit_gemm"),
        # Of 16 bits tensor cores take the product of columns, from 16 filters on.
        (32, 56, 16, 3, 3, "float16", "im2col"),
        (32, 56, 8, 3, 3, "float16", "direct_tiled"),
    ],
)
def test_auto_minds_how_much_there_is_to_share(n, side, k, c, r, dtype, expected, by_rule):
    layer = problem((n, c, side, side), (k, c, r, r), padding=r // 2, dtype=dtype)
    assert conv.plan(layer, "forward", "auto", 256 * MIB).algo == expected


def test_auto_minds_the_size_of_the_gpu(by_rule):
    """Strips of rows want more outputs the more threads there are."""
    layer = problem((2, 128, 56, 56), (128, 1, 3, 3), padding=1, groups=128)
    for processors, expected in ((132, "depthwise"), (400, "direct")):
        with planned_for(Target("sm_90a", processors)):
            assert conv.plan(layer, "forward", "auto", 256 * MIB).algo == expected
            assert conv.plan(layer, "backward_input", "auto", 256 * MIB).algo == "depthwise"


def test_strips_of_channels_fill_whole_waves():
    """Of 4 blocks on each of 132 multiprocessors; 14 rows, as 28 would leave half of them idle."""
    given = {"padding": 1, "groups": 128, "last": True}
    layer = problem((32, 128, 56, 56), (128, 1, 3, 3), dtype="bfloat16", **given)
    (launch,) = conv.plan(layer, "forward", "depthwise", 0).launches
    assert launch.grid == (512, 1, 1)
    far = problem((1, 2, 4, 4), (2, 1, 3, 3), groups=2, last=True)
    far = replace(far, x=replace(far.x, strides=(1, 1, 8, 2**31)))
    with pytest.raises(ValueError, match="columns 2147483648 and 2 elements apart"):
        conv.plan(far, "forward", "depthwise", 0)


@pytest.mark.parametrize(
    ("planner", "files", "count"),
    [
        (
            depthwise_channels,
            (
                "include/pycnn/depthwise_channels.cuh",
                "conv/depthwise_nhwc_input.cu",
                "conv/depthwise_nhwc_weight.cu",
            ),
            6,
        ),
        (
            depthwise_planes,
            ("conv/depthwise.cu", "conv/depthwise_input.cu", "conv/depthwise_weight.cu"),
            3,
        ),
    ],
)
def test_constants_of_strips_are_those_of_the_kernels(planner, files, count):
    files = ("include/pycnn/depthwise_strips.cuh", *files)
    text = "".join((sources.kernel_dir() / file).read_text() for file in files)
    assert int(_constants(text)["THREADS"]) == depthwise_strips.THREADS
    tables = re.findall(r"int (\w+)_OF\[\] = \{(.*)\};", text)
    assert len(tables) == count
    for name, values in tables:
        assert eval(f"({values})") == getattr(planner, name)


def test_listed_algorithms_for_both_gradients():
    found = pycnn.conv2d_algorithms((2, 8, 9, 9), (16, 8, 3, 3), direction="backward")
    by_name = {a.name: a for a in found}
    both = set(conv.names("backward_input")) & set(conv.names("backward_weight"))
    assert set(by_name) == both
    assert {"direct", "im2col", "gemm_1x1", "depthwise"} <= both
    assert not by_name["gemm_1x1"].fits
    parts = [
        {a.name: a for a in pycnn.conv2d_algorithms((2, 8, 9, 9), (16, 8, 3, 3), direction=d)}
        for d in ("backward_input", "backward_weight")
    ]
    largest = max(p["im2col"].workspace_bytes for p in parts)
    assert by_name["im2col"].workspace_bytes == largest > 0


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"x_shape": (3, 4)}, ValueError, "x_shape=(3, 4)"),
        ({"w_shape": (3, 4, 3, -1)}, ValueError, "w_shape=-1"),
        ({"w_shape": 3}, ValueError, "w_shape=3"),
        ({"x_shape": np.ones((2, 8, 9, 9))}, ValueError, "x_shape is an array; allowed: its shape"),
        ({"dtype": "int8"}, ValueError, "dtype='int8'; allowed: float16, bfloat16, float32"),
        ({"direction": "sideways"}, ValueError, "direction='sideways'"),
        ({"workspace_limit": -1}, ValueError, "workspace_limit=-1"),
        ({"workspace_limit": 1.5}, TypeError, "workspace_limit=1.5"),
        ({"stride": 0}, ValueError, "stride=0"),
        ({"groups": 3}, ValueError, "groups=3"),
    ],
    ids=str,
)
def test_listing_refuses(changed, error, words):
    given = {"x_shape": (2, 8, 9, 9), "w_shape": (16, 8, 3, 3), **changed}
    with pytest.raises(error, match=re.escape(words)):
        pycnn.conv2d_algorithms(**given)


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_plans_are_sound(layer):
    """Variants that exist, whole warps, grids that cover what is computed."""
    for direction, plan in plans(layer):
        inputs = {"forward": {"x", "weight"}, "backward_input": {"dy", "weight"}}
        kernels = tuple(x for x in plan.launches if isinstance(x, Launch))
        assert_sound(replace(plan, launches=kernels), inputs.get(direction, {"dy", "x"}))


def test_three_axes_are_two_with_depth():
    """One struct for any number of axes: the depth of a plane is 1."""
    plane = problem((2, 6, 9, 8), (4, 6, 3, 3), stride=2, padding=1).params()
    views = (floats(s) for s in ((2, 6, 1, 9, 8), (4, 6, 1, 3, 3), (2, 4, 1, 5, 4)))
    deep = Problem(*views, (1, 2, 2), (0, 1, 1), (1, 1, 1)).params()
    unused = {"x_d", "w_t", "y_z"}  # strides along an axis of extent 1
    assert all(plane[n] == deep[n] for n in plane.dtype.names if n not in unused)


def test_only_some_algorithms_take_three_axes():
    views = (floats(s) for s in ((2, 6, 5, 9, 8), (4, 6, 3, 3, 3), (2, 4, 3, 7, 6)))
    deep = Problem(*views, (1, 1, 1), (0, 0, 0), (1, 1, 1))
    for direction in ("forward", "backward_input", "backward_weight"):
        for found in conv.algorithms(deep, direction, 256 * MIB):
            assert found.fits or "spatial axes" in found.reason or "allowed" in found.reason
            assert found.fits or found.name != "direct"


def test_a_renamed_plan_computes_on_other_arrays():
    plan = conv.plan(LAYERS["resnet 1x1"], "backward_input", "direct", 0)
    other = renamed(plan, {"dy": "x", "dx": "y"})
    names = {a.name for launch in other.launches for a in launch.args if isinstance(a, Buffer)}
    assert names == {"x", "weight", "y"}
    assert list(other.outputs) == ["y"]


@pytest.mark.parametrize("channels_last", [False, True])
def test_views_in_both_layouts(channels_last):
    view = floats((2, 3, 4, 5), channels_last=channels_last)
    array = np.zeros((2, 4, 5, 3) if channels_last else (2, 3, 4, 5), np.int8)
    arranged = array.transpose(0, 3, 1, 2) if channels_last else array
    assert (view.shape, view.strides) == (arranged.shape, arranged.strides)
    assert view.channels_last == channels_last
