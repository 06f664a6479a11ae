"""`implicit_gemm_ffma` of few channels, term by term, against the oracle."""

import numpy as np
import pytest
from broken import MISTAKES_OF_STAGES, run_broken
from conv_plans import Case, Run, channels_last, draw, misaligned, padded, view
from op_checks import assert_matches

from pycnn.emulator import RaceError, counting
from pycnn.plan import conv, conv_implicit_mma
from pycnn.plan._epilogue import Epilogue

NAME, ENTRY = "implicit_gemm_ffma", "few_channels_ffma"

#: Terms that fill no tile of sixteen, and less than one; more tiles of both indices than one.
CASES = {
    "7x7 stride 2": Case(2, 3, 15, 18, 68, (7, 7), ((3, 3), (3, 3)), stride=(2, 2)),
    "3x3": Case(1, 3, 9, 8, 20),
    "groups, dilated": Case(3, 15, 9, 7, 12, (2, 4), ((0, 1), (2, 0)), 3, (3, 2), (2, 1)),
    "most terms": Case(1, 2, 15, 13, 5, (15, 12), ((7, 6), (5, 6))),
    "one term": Case(2, 2, 3, 5, 6, (1, 1), ((0, 0), (0, 0)), 2),
}

on_kernels = pytest.mark.parametrize("backend", ["emulator", "checked", "cuda"], indirect=True)
on_checked = pytest.mark.parametrize("backend", ["checked"], indirect=True)


@on_kernels
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_matches_oracle(backend, rng, case):
    arrays = draw(rng, case, "float32")
    got = Run(backend, NAME)(case, "forward", arrays, channels_last)
    assert_matches(got, case.expected("y", **arrays), "float32", case.terms("y"))


@on_checked
@pytest.mark.parametrize("arch", ["sm_75", "sm_90a", "sm_120"])
def test_on_other_architectures(backend, rng, monkeypatch, arch):
    monkeypatch.setenv("PYCNN_EMULATOR_ARCH", arch)
    case = CASES["3x3"]
    arrays = draw(rng, case, "float32")
    got = Run(backend, NAME)(case, "forward", arrays, channels_last)
    assert_matches(got, case.expected("y", **arrays), "float32", case.terms("y"))


@on_kernels
@pytest.mark.parametrize("arrange", [misaligned, padded])
def test_views_and_what_comes_at_the_end(backend, rng, arrange):
    case = CASES["groups, dilated"]
    arrays = draw(rng, case, "float32", arrange)
    bias = rng.standard_normal(case.k).astype(np.float32)
    residual = arrange(rng.standard_normal(case.y_shape).astype(np.float32))
    finish = Epilogue(bias=1, residual=view(residual).strides, activation="relu")
    end = {"bias": bias, "residual": residual}
    got = Run(backend, NAME, 2**40, finish)(case, "forward", arrays | end, arrange)
    want = case.expected("y", **arrays) + bias.astype(np.float64)[:, None, None] + residual
    assert_matches(got, np.maximum(want, 0), "float32", case.terms("y"))


@on_kernels
def test_what_is_no_number_stays_in_its_windows(backend, rng):
    case = CASES["7x7 stride 2"]
    arrays = draw(rng, case, "float32")
    arrays["x"][0, 1, 7, 8], arrays["x"][1, 2, 0, 17] = np.nan, np.inf
    got = Run(backend, NAME)(case, "forward", arrays, channels_last)
    with np.errstate(invalid="ignore"):
        want = case.expected("y", **arrays)
    assert 0 < np.isfinite(want).sum() < want.size
    np.testing.assert_array_equal(np.isfinite(got), np.isfinite(want))
    finite = np.where(np.isfinite(want), want, 0)
    assert_matches(np.where(np.isfinite(want), got, 0), finite, "float32", case.terms("y"))


@on_checked
def test_traffic(backend, rng):
    """No bank is asked twice, and neighbours in a row of x come together.

    Of 36 terms the last chunk of a stage has four, whose place in the table is in the first banks.
    """
    case = Case(1, 3, 16, 16, 64, (3, 4))
    with counting() as counted:
        Run(backend, NAME)(case, "forward", draw(rng, case, "float32"), channels_last)
    counters = counted.of(ENTRY)
    assert counters.bank_conflicts == 0
    assert counters.sectors_per_load <= 16


@pytest.mark.parametrize(
    ("case", "direction", "why"),
    [
        (Case(1, 3, 30, 9, 8, (16, 2)), "forward", "16x2, 96 terms; allowed: up to 15 a side"),
        (Case(1, 43, 9, 9, 8), "forward", "387 terms; allowed: up to 15 a side and 384 terms"),
        (Case(1, 3, 9, 9, 8), "backward_weight", "3 channels a group; allowed: multiples of 4"),
        (Case(1, 3, 9, 9, 8, mode="reflect"), "forward", "padding mode 'reflect'"),
        (Case(1, 1, 9, 9, 8), "forward", "x has one channel; allowed: several, innermost"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_it_refuses(rng, case, direction, why):
    problem = case.problem(draw(rng, case, "float32"))
    with pytest.raises(ValueError, match=why):
        conv.plan(problem, direction, NAME, 2**30)


@on_kernels
def test_a_weight_whose_taps_lie_apart_is_copied(backend, rng):
    """Its channels are innermost, as in a part of a larger window."""
    case = CASES["3x3"]
    arrays = draw(rng, case, "float32")
    arrays["weight"] = padded(arrays["weight"])
    assert arrays["weight"].strides[1] == 4
    got = Run(backend, NAME)(case, "forward", arrays, channels_last)
    assert_matches(got, case.expected("y", **arrays), "float32", case.terms("y"))


def test_a_copy_of_the_weight_that_is_too_large_is_refused(rng):
    case = CASES["3x3"]
    with pytest.raises(ValueError, match="a copy of the weight"):
        conv.plan(case.problem(draw(rng, case, "float32")), "forward", NAME, 0)


def run(old, new):
    """Run the kernel with a mistake in it, in a checked build."""
    case = Case(1, 3, 9, 8, 20)
    arrays = {"x": (1, 9, 8, 3), "weight": (20, 3, 3, 3), "y": (1, 9, 8, 20)}
    arrays = {key: np.ones(shape, np.float32) for key, shape in arrays.items()}
    x, y = (arrays[key].transpose(0, 3, 1, 2) for key in ("x", "y"))
    weight = arrays["weight"].transpose(0, 3, 1, 2)
    problem = case.problem({"x": x, "weight": weight, "dy": y})
    (step,) = conv.plan(problem, "forward", NAME, 0).launches
    assert step.kernel.entry == conv_implicit_mma.FEW
    run_broken(step, arrays, old, new)


TABLE = pytest.param(
    "        __syncthreads();  // all terms", "// all terms", RaceError, id="no table"
)


@pytest.mark.parametrize(("old", "new", "error"), [TABLE, *MISTAKES_OF_STAGES])
def test_what_is_left_out_is_reported(old, new, error):
    with pytest.raises(error):
        run(old, new)


def test_as_it_stands_nothing_is_reported():
    run("copy_async_wait<0>();", "copy_async_wait<0>();")
