"""Plans of Winograd convolution: matrices, memory, limits, and when `auto` may choose them."""

import re
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from pycnn.define.views import View
from pycnn.plan import conv, conv_winograd
from pycnn.plan._winograd_tiles import SHARED_LIMIT
from pycnn.plan.conv_problem import Problem, Unsupported
from pycnn.plan.conv_winograd import SAFE_CHANNELS, auto_safe
from pycnn.plan.winograd_matrices import POINTS, matrices
from pycnn.runtime.plan import MAX_GRID, Buffer

MIB = 2**20
DIRECTIONS = ("forward", "backward_input", "backward_weight")


def layer(n, c, extents, k, groups=1, dtype="float32", channels_last=False, **changed):
    """A layer of 3x3 with padding 1."""
    shapes = (n, c, *extents), (k, c // groups, 3, 3), (n, k, *extents)
    views = [View.contiguous(shape, dtype) for shape in shapes]
    if channels_last:
        views = [_channels_last(v) if v is not views[1] else v for v in views]
    return Problem(*views, pad_begin=(1, 1), groups=groups, **changed)


def _channels_last(view):
    return View.contiguous(view.shape, view.dtype, channels_last=True)


LAYERS = {
    "resnet": layer(32, 64, (56, 56), 64),
    "last": layer(7, 512, (7, 7), 512),
    "wide": layer(3, 5, (30, 997), 7),
    "double": layer(2, 64, (224, 224), 64, dtype="float64"),
    "half": layer(4, 96, (28, 28), 33, dtype="float16"),
    "channels last": layer(9, 48, (14, 14), 40, channels_last=True),
    "grouped": layer(5, 64, (14, 14), 96, groups=32),
}


def plans(problem, limit=256 * MIB):
    """Every plan by Winograd that fits."""
    for direction in DIRECTIONS:
        for found in conv.algorithms(problem, direction, limit):
            if found.fits and found.name.startswith("winograd"):
                yield conv.plan(problem, direction, found.name, limit)


@pytest.mark.parametrize(("points", "taps"), [(POINTS[2], 3), (POINTS[4], 3), (POINTS[2], 2)])
def test_matrices_make_a_correlation(rng, points, taps):
    g, b, a = matrices(points, taps)
    filter_, data = rng.standard_normal(taps), rng.standard_normal(len(points) + 1)
    want = np.correlate(data, filter_, "valid")
    np.testing.assert_allclose(a @ ((g @ filter_) * (b @ data)), want, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("limit", [48 * MIB, 100 * MIB, 1024 * MIB])
@pytest.mark.parametrize("problem", LAYERS.values(), ids=LAYERS)
def test_workspace_stays_within_limit_and_buffers_inside(problem, limit):
    given = {"x": problem.x, "weight": problem.weight, "dy": problem.y}
    found = list(plans(problem, limit))
    assert len(found) == 5 or limit < 1024 * MIB
    for plan in found:
        assert plan.workspace_bytes <= limit
        size = {n: np.prod(v.shape) * problem.itemsize for n, v in given.items()}
        size |= {n: spec.nbytes for n, spec in {**plan.outputs, **plan.workspace}.items()}
        used = [a for launch in plan.launches for a in launch.args if isinstance(a, Buffer)]
        assert {*plan.outputs, *plan.workspace} <= {b.name for b in used}
        assert all(0 <= b.offset < size[b.name] for b in used)
        assert all(launch.shared <= SHARED_LIMIT for launch in plan.launches)


def test_too_little_workspace_is_refused():
    for direction, name in product(DIRECTIONS, ("winograd_f2",)):
        with pytest.raises(ValueError, match=r"a single image needs \d+ bytes of workspace"):
            conv.plan(LAYERS["resnet"], direction, name, MIB)


@pytest.mark.parametrize("limit", [250 * MIB, 1024 * MIB])
@pytest.mark.parametrize("problem", LAYERS.values(), ids=LAYERS)
def test_chunks_cover_every_image_once(problem, limit):
    image = problem.x.strides[0] * problem.itemsize
    for direction in ("forward", "backward_weight"):
        launches = conv.plan(problem, direction, "winograd_f2", limit).launches
        found = [x for x in launches if x.kernel.entry == "winograd_input"]
        seen = [(x.args[0].offset // image, int(x.args[-1]["images"])) for x in found]
        covered = [first + i for first, count in seen for i in range(count)]
        assert covered == list(range(problem.x.shape[0]))


@pytest.mark.parametrize(
    ("n", "c", "extents", "dtype", "last"),
    [
        (1, 1, (1, 1), "float32", False),
        (2, 3, (5, 9), "float64", True),
        (1, 70, (7, 7), "float64", False),
        (3, 200, (3, 500), "float16", True),
        (1, 9, (1000, 2), "float64", False),
        (1, 33, (1, 4096), "bfloat16", True),
    ],
    ids=str,
)
def test_blocks_fit_in_shared_memory(n, c, extents, dtype, last):
    for plan in plans(layer(n, c, extents, 5, dtype=dtype, channels_last=last), 2**40):
        for launch in plan.launches:
            assert launch.shared <= SHARED_LIMIT


def test_more_than_2_31_elements():
    for problem in (layer(1025, 512, (64, 64), 16), layer(1, 1, (60000, 50000), 1)):
        assert np.prod(problem.x.shape) > 2**31
        for plan in plans(problem, 2**40):
            for launch in plan.launches:
                assert all(g <= most for g, most in zip(launch.grid, MAX_GRID, strict=True))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"stride": (2, 1)}, "stride (2, 1), dilation (1, 1); allowed: stride 1, dilation 1"),
        ({"dilation": (1, 3)}, "stride (1, 1), dilation (1, 3); allowed: stride 1, dilation 1"),
        ({"weight": View.contiguous((7, 5, 3, 5), "float32")}, "filter 3x5; allowed: 3x3"),
    ],
    ids=str,
)
def test_what_it_cannot_compute(changed, words):
    problem = layer(2, 5, (9, 8), 7)
    problem = replace(problem, **changed)
    for direction in DIRECTIONS:
        with pytest.raises(ValueError, match=re.escape(words)):
            conv.plan(problem, direction, "winograd_f2", MIB)


def test_padding_modes_have_no_gradient_with_respect_to_x():
    with pytest.raises(Unsupported, match="padding mode reflect; allowed for the gradient: zeros"):
        conv_winograd.backward_input(layer(2, 5, (9, 8), 7, mode="reflect"), MIB, side=2)


def test_empty_batch_launches_nothing():
    problem = layer(0, 5, (9, 8), 7)
    for direction in ("forward", "backward_input"):
        assert conv.plan(problem, direction, "winograd_f4", MIB).launches == ()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_auto_takes_it_only_where_the_error_is_known_to_be_small(dtype):
    few = SAFE_CHANNELS[4] - 1
    for channels, filters, direction in product((1, few, few + 1, 256), (1, few, 256), DIRECTIONS):
        problem = layer(8, channels, (56, 56), filters, dtype=dtype)
        summed = filters if direction == "backward_input" else channels
        assert auto_safe(problem, direction, 2)
        assert auto_safe(problem, direction, 4) == (direction == "backward_weight" or summed > few)
        chosen = conv.plan(problem, direction, "auto", 256 * MIB).algo
        assert chosen != "winograd_f4" or summed > few
        order = [a.name for a in conv.algorithms(problem, direction, 256 * MIB)]
        if direction != "backward_weight" and summed <= few:
            assert order.index("winograd_f4") > order.index("direct")
