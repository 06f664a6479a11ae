"""Convolution of float32 by chunks: rounded to TF32, by three products of it, and by FFMA."""

from contextlib import nullcontext

import numpy as np
import pytest
from broken import MISTAKES_OF_STAGES, run_broken
from conv_plans import DIRECTIONS, Case, Run, channels_last, draw, misaligned, padded, view
from op_checks import assert_matches

import pycnn
from pycnn.emulator import counting
from pycnn.plan import conv, conv_implicit
from pycnn.plan._epilogue import Epilogue
from pycnn.testing.tolerance import tolerance

#: Channels and filters of a group are multiples of four, and not all of eight.
CASES = {
    "asymmetric": Case(1, 20, 11, 8, 36, (3, 3), ((0, 1), (2, 0)), stride=(2, 1)),
    "everything": Case(3, 36, 9, 7, 12, (2, 4), groups=3, stride=(3, 2), dilation=(2, 1)),
    "1x1 strided": Case(2, 4, 7, 9, 12, (1, 1), ((0, 0), (0, 0)), stride=(2, 3)),
    "one column": Case(1, 4, 2, 1, 4),
    "several tiles": Case(2, 20, 17, 13, 84),
}
BY_NAME = ("implicit_gemm_tf32", "implicit_gemm_tf32x3")
ALGORITHMS = (*BY_NAME, "implicit_gemm_ffma")
PLENTY = 2**40

each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
each_direction = pytest.mark.parametrize("direction", DIRECTIONS)
each_algorithm = pytest.mark.parametrize("name", ALGORITHMS)
on_kernels = pytest.mark.parametrize("backend", ["emulator", "checked", "cuda"], indirect=True)


def check(got, case, name, output, arrays):
    """Within what theory allows, element by element.

    TF32 moves a factor by 2^-11 of it. Of three products an element is missed by 2^-23 twice and
    low low by 2^-22; sums of sixteen are cut off ten times at 2^-23, and added as floats are.
    """
    want, terms = case.expected(output, **arrays), case.terms(output)
    magnitudes = case.expected(output, **{key: np.abs(a) for key, a in arrays.items()})
    if name in (ALGORITHMS[0], ALGORITHMS[2]):
        allowed = magnitudes * (2**-10 + 2**-22) * (name == ALGORITHMS[0])
        allowed += tolerance("float32", terms, np.abs(want).max())
    else:
        allowed = magnitudes * (2**-22 + 10 * 2**-23 + (-(-terms // 8) + 8) * 2**-24)
    assert got.dtype == np.float32
    assert np.all(np.abs(got - want) <= allowed)


@on_kernels
@each_case
@each_direction
@each_algorithm
def test_matches_oracle(backend, rng, case, direction, name):
    arrays, output = draw(rng, case, "float32"), DIRECTIONS[direction]
    got = Run(backend, name, PLENTY)(case, direction, arrays, channels_last)
    check(got, case, name, output, arrays)


@on_kernels
@each_direction
@each_algorithm
def test_larger_tiles(backend, rng, monkeypatch, direction, name):
    monkeypatch.setattr(conv_implicit, "TILES", (128, 128))
    case, output = Case(1, 68, 9, 8, 84, (3, 2)), DIRECTIONS[direction]
    arrays = draw(rng, case, "float32")
    check(Run(backend, name)(case, direction, arrays, channels_last), case, name, output, arrays)


@on_kernels
@each_direction
@each_algorithm
def test_segments(backend, rng, direction, name):
    case, output = Case(2, 68, 14, 13, 76, (3, 2)), DIRECTIONS[direction]
    arrays = draw(rng, case, "float32")
    got = Run(backend, name, PLENTY)(case, direction, arrays, channels_last)
    check(got, case, name, output, arrays)


@on_kernels
@pytest.mark.parametrize("filters", [44, 42], ids=["whole chunks", "a part of one"])
def test_epilogue(backend, rng, filters):
    case = Case(2, 12, 7, 8, filters, (3, 2), stride=(2, 1))
    arrays = draw(rng, case, "float32")
    bias = rng.standard_normal(filters).astype(np.float32)
    residual = channels_last(rng.standard_normal(case.y_shape).astype(np.float32))
    finish = Epilogue(bias=1, residual=view(residual).strides, activation="relu")
    end = {"bias": bias, "residual": residual}
    got = Run(backend, ALGORITHMS[1], PLENTY, finish)(case, "forward", arrays | end, channels_last)
    want = case.expected("y", **arrays) + bias.astype(np.float64)[:, None, None] + residual
    assert_matches(got, np.maximum(want, 0), "float32", case.terms("y"))


@on_kernels
@each_direction
@pytest.mark.parametrize("arrange", [misaligned, padded])
def test_views(backend, rng, direction, arrange):
    """Of what is read and of what is written."""
    case, output, name = CASES["everything"], DIRECTIONS[direction], ALGORITHMS[0]
    arrays = draw(rng, case, "float32", arrange)
    got = Run(backend, name)(case, direction, arrays, arrange)
    check(got, case, name, output, arrays)


@on_kernels
def test_infinities_of_three_products(backend):
    """They are those of float32, although infinity less its TF32 part is none."""
    x = np.array([np.inf, -np.inf, np.nan, 3, 1, 2, 1 + 2**-20, 0], np.float32).reshape(1, 2, 1, 4)
    weight = np.array([[1, 2], [1 + 2**-20, np.inf]], np.float32)
    x, weight = (np.tile(a, (1, 2) + (1,) * (a.ndim - 2)) for a in (x, weight))
    with np.errstate(invalid="ignore"):
        want = np.einsum("nchw,kc->nkhw", x.astype(np.float64), weight.astype(np.float64))
    arrays = {
        "x": channels_last(x),
        "weight": weight[..., None, None],
        "dy": channels_last(x[:, :2]),
    }
    case = Case(1, 4, 1, 4, 2, (1, 1), ((0, 0), (0, 0)))
    got = Run(backend, ALGORITHMS[1])(case, "forward", arrays, channels_last)
    np.testing.assert_allclose(got, want, rtol=2**-20)


@pytest.mark.parametrize("backend", ["checked"], indirect=True)
@each_direction
@pytest.mark.parametrize("tile", [64, 128])
@each_algorithm
def test_traffic(backend, rng, monkeypatch, direction, tile, name):
    """No bank is asked twice, and a request of a warp takes no sector more than it must."""
    monkeypatch.setattr(conv_implicit, "TILES", (tile, tile))
    monkeypatch.setattr(conv_implicit, "SEGMENT", 2**20)
    monkeypatch.setattr(conv_implicit, "SHORTEST", 2**20)
    case = Case(1, tile, 12, 11, tile, (3, 1), ((1, 1), (0, 0)))
    with counting() as counted:
        Run(backend, name)(case, direction, draw(rng, case, "float32"), channels_last)
    counters = counted.of(name)
    assert counters.bank_conflicts == 0
    assert counters.sectors_per_load <= 16  # 32 threads, 16 bytes each
    if direction != "backward_weight":  # taps between the channels
        assert 15 < counters.sectors_per_store <= 16  # a row of the last pixels has half a warp


@pytest.mark.parametrize("backend", ["checked"], indirect=True)
@pytest.mark.parametrize("tile", [64, 128])
def test_traffic_of_partial_sums(backend, rng, monkeypatch, tile):
    """They leave as finished ones do: no bank is asked twice, and sectors are whole."""
    monkeypatch.setattr(conv_implicit, "TILES", (tile, tile))
    monkeypatch.setattr(conv_implicit, "by_time", lambda *_: (tile, 3))
    case = Case(1, 20, 9, 7, tile + 4, (3, 1), ((1, 1), (0, 0)))
    with counting() as counted:
        Run(backend, ALGORITHMS[2])(case, "forward", draw(rng, case, "float32"), channels_last)
    assert counted.entries[-2:] == [ALGORITHMS[2], "implicit_gemm_finish"]
    counters = counted.of(ALGORITHMS[2])
    assert counters.bank_conflicts == 0
    assert counters.sectors_per_store <= 4


@on_kernels
@each_algorithm
def test_by_its_name(backend, rng, name):
    x = rng.standard_normal((2, 9, 7, 36)).astype(np.float32)
    weight, bias = rng.standard_normal((44, 36, 3, 2)).astype(np.float32), np.ones(44, np.float32)
    operands = [backend.array(array) for array in (x, weight, bias)]
    got = backend.numpy(pycnn.conv2d(*operands, padding=1, layout="NHWC", algo=name))
    case, turned = Case(2, 36, 9, 7, 44, (3, 2)), x.transpose(0, 3, 1, 2)
    dy = np.zeros(case.y_shape, np.float32)
    arrays = {"x": turned, "weight": weight, "dy": dy}
    check(got.transpose(0, 3, 1, 2) - np.float32(1), case, name, "y", arrays)


@pytest.mark.parametrize("name", BY_NAME)
def test_auto_never_takes_it(name):
    shapes = {"x_shape": (8, 56, 56, 64), "w_shape": (64, 64, 3, 3), "layout": "NHWC"}
    for direction in DIRECTIONS:
        found = pycnn.conv2d_algorithms(**shapes, padding=1, direction=direction)
        fitting = [a.name for a in found if a.fits]
        assert name in fitting[1:]
    assert conv.ALGORITHMS[name].by_name


@each_algorithm
def test_refuses_what_has_no_chunks_and_other_dtypes(name):
    x, weight = np.ones((1, 9, 7, 50), np.float32), np.ones((8, 50, 3, 3), np.float32)
    few = "450 terms; allowed: up to 15 a side and 384 terms"  # one by one
    why = few if name == ALGORITHMS[2] else "x has 50 channels a group; allowed: multiples of 4"
    with pycnn.use_backend("emulator"):
        with pytest.raises(ValueError, match=why):
            pycnn.conv2d(x, weight, layout="NHWC", algo=name)
        with pytest.raises(ValueError, match="dtype float16; allowed: float32"):
            pycnn.conv2d(*(a.astype(np.float16) for a in (x, weight)), layout="NHWC", algo=name)


def run(name, old, new):
    """Run the kernel with a mistake in it, in a checked build."""
    case = Case(1, 40, 9, 8, 40, (3, 2))
    shapes = {"x": (1, 9, 8, 40), "weight": (40, 3, 2, 40), "y": (1, 9, 9, 40)}
    arrays = {key: np.ones(shape, np.float32) for key, shape in shapes.items()}
    x, weight, y = (array.transpose(0, 3, 1, 2) for array in arrays.values())
    assert y.shape == case.y_shape
    problem = case.problem({"x": x, "weight": weight, "dy": y})
    (step,) = conv.plan(problem, "forward", name, 0).launches
    run_broken(step, arrays, old, new)


@pytest.mark.parametrize(("old", "new", "error"), MISTAKES_OF_STAGES)
@each_algorithm
def test_what_is_left_out_is_reported(old, new, error, name):
    # The vote on whether a sum is none is a barrier too.
    harmless = name == ALGORITHMS[1] and "nothing arrives" in new
    with nullcontext() if harmless else pytest.raises(error):
        run(name, old, new)


@each_algorithm
def test_as_it_stands_nothing_is_reported(name):
    run(name, "stage ? stage - 1 : STAGES - 1", "stage ? stage - 1 : STAGES - 1")
