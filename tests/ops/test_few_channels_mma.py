"""`few_channels_mma`, and `implicit_gemm_tf32` of few channels, against the oracle."""

from dataclasses import replace

import numpy as np
import pytest
from broken import run_broken
from conv_plans import Case, Run, channels_last, draw, misaligned, with_end
from op_checks import assert_matches, same_under_all_schedules

import pycnn
from pycnn.emulator import AsyncCopyError, KernelError, RaceError, counting
from pycnn.plan import conv
from pycnn.runtime.target import Target, planned_for
from pycnn.testing.tolerance import tolerance

NAME, TF32 = "few_channels_mma", "implicit_gemm_tf32"

#: By the chunks of a window's row: an even or odd number of them, windows that begin an even or an
#: odd number of elements apart, runs that begin at an odd place, and end before their chunks do.
CASES = {
    "7x7 stride 2": Case(2, 3, 43, 40, 72, (7, 7), ((3, 3), (3, 3)), stride=(2, 2)),
    "3x3": Case(1, 3, 18, 35, 20, (3, 3)),
    "3x3, one channel": Case(2, 1, 7, 24, 8, (3, 3), ((0, 1), (2, 0))),
    "4x7": Case(1, 3, 9, 16, 24, (4, 7), ((2, 1), (3, 2)), dilation=(2, 1)),
    "4x11 stride 4": Case(1, 3, 20, 72, 16, (4, 11), ((1, 1), (4, 2)), stride=(1, 4)),
    "2x4 of four": Case(1, 4, 6, 8, 136, (2, 4), stride=(1, 3)),
}
FLOATS = ("7x7 stride 2", "3x3", "3x3, one channel", "2x4 of four")
PLENTY = 2**40

on_kernels = pytest.mark.parametrize("backend", ["emulator", "checked", "cuda"], indirect=True)
on_checked = pytest.mark.parametrize("backend", ["checked"], indirect=True)


def check(got, case, arrays, dtype):
    """Of floats within what rounding both factors to TF32 leaves."""
    want, terms = case.expected("y", **arrays), case.terms("y")
    if dtype != "float32":
        return assert_matches(got, want, dtype, terms)
    magnitudes = case.expected("y", **{key: np.abs(a) for key, a in arrays.items()})
    allowed = magnitudes * (2**-10 + 2**-22) + tolerance(dtype, terms, np.abs(want).max())
    assert np.all(np.abs(got - want) <= allowed)
    return None


@on_kernels
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_matches_oracle(backend, rng, case):
    arrays = draw(rng, case)
    got = Run(backend, NAME)(case, "forward", arrays, channels_last)
    check(got, case, arrays, "float16")


@on_kernels
@pytest.mark.parametrize("name", FLOATS)
def test_rounded_to_tf32(backend, rng, name):
    case = CASES[name]
    arrays = draw(rng, case, "float32")
    with planned_for(Target("sm_80")):
        got = Run(backend, TF32)(case, "forward", arrays, channels_last)
    check(got, case, arrays, "float32")


@on_kernels
def test_bfloat16(backend, rng):
    case = CASES["3x3"]
    arrays = draw(rng, case, "bfloat16")
    check(Run(backend, NAME)(case, "forward", arrays, channels_last), case, arrays, "bfloat16")


@on_checked
@pytest.mark.parametrize("arch", ["sm_75", "sm_90a", "sm_120"])
def test_on_other_architectures(backend, rng, monkeypatch, arch):
    monkeypatch.setenv("PYCNN_EMULATOR_ARCH", arch)
    case = Case(2, 3, 18, 11, 20, (2, 3), ((1, 0), (1, 1)), stride=(1, 2))
    arrays = draw(rng, case)
    with planned_for(Target(arch)):
        got = Run(backend, NAME)(case, "forward", arrays, channels_last)
    check(got, case, arrays, "float16")


def padded_rows(array):
    """Rows that begin at no multiple of 16 bytes, their pixels side by side."""
    n, c, h, w = array.shape
    wide = np.zeros((n, h, w * c + 5), array.dtype)[..., : w * c]
    wide[:] = array.transpose(0, 2, 3, 1).reshape(n, h, w * c)
    return np.lib.stride_tricks.as_strided(
        wide, (n, c, h, w), (*wide.strides[:1], wide.itemsize, wide.strides[1], c * wide.itemsize)
    )


def backwards(array):
    """Images and rows in falling order."""
    return channels_last(array[::-1, :, ::-1])[::-1, :, ::-1]


@on_kernels
@pytest.mark.parametrize("arrange", [misaligned, padded_rows, backwards])
def test_views(backend, rng, arrange):
    """Of what is read and of what is written; the weight's strides are any."""
    case = Case(2, 3, 9, 19, 24, (3, 4), ((1, 1), (2, 1)), stride=(2, 2))
    arrays = draw(rng, case, arrange=arrange)
    arrays["weight"] = np.ascontiguousarray(arrays["weight"].transpose(3, 1, 0, 2))[::-1].transpose(
        2, 1, 3, 0
    )
    check(Run(backend, NAME)(case, "forward", arrays, arrange), case, arrays, "float16")


@on_kernels
@pytest.mark.parametrize("filters", [24, 21], ids=["whole chunks", "a part of one"])
def test_epilogue(backend, rng, filters):
    case = Case(2, 3, 7, 18, filters, (3, 2))
    arrays = draw(rng, case)
    want = case.expected("y", **arrays)
    end, finish, want = with_end(rng, want)
    got = Run(backend, NAME, PLENTY, finish)(case, "forward", arrays | end, channels_last)
    assert_matches(got, want, "float16", case.terms("y"))


@on_checked
@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_reaches_its_windows_alone(backend, rng, step, value):
    """Not those that end beside it, whose chunks hold it as well."""
    case = Case(1, 3, 5, 20, 8, (2, 3), ((1, 1), (1, 1)), stride=(1, step))
    arrays = draw(rng, case)
    arrays["weight"] = np.abs(arrays["weight"])
    arrays["x"][0, 1, 2, 9] = value
    got = Run(backend, NAME)(case, "forward", arrays, channels_last)
    want = case.expected("y", **arrays)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_array_equal(np.isinf(got), np.isinf(want))
    assert not np.isfinite(got).all()


@on_checked
def test_deterministic(backend, rng, monkeypatch):
    case = CASES["3x3"]
    arrays, run = draw(rng, case), Run(backend, NAME)
    same_under_all_schedules(
        backend, monkeypatch, lambda: backend.array(run(case, "forward", arrays, channels_last))
    )


@on_checked
@pytest.mark.parametrize("case", [CASES["7x7 stride 2"], CASES["3x3"]], ids=str)
def test_traffic(backend, rng, case):
    """No bank is asked twice; x comes once for a tile, and the weight once for all of a block's."""
    case = replace(case, n=4, w=40, k=64)
    with planned_for(Target("sm_80", 1)), counting() as counted:
        Run(backend, NAME)(case, "forward", draw(rng, case), channels_last)
    counters = counted.of(NAME)
    assert counters.bank_conflicts == 0
    assert counters.sectors_per_load <= 16
    assert counters.sectors_per_store <= 16


@on_kernels
@pytest.mark.parametrize("algo", [NAME, "auto"])
def test_by_its_name(backend, rng, algo):
    x = rng.standard_normal((2, 41, 40, 3)).astype(np.float16)
    weight, bias = rng.standard_normal((24, 3, 7, 7)).astype(np.float16), np.ones(24, np.float16)
    how = {"stride": 2, "padding": 3, "layout": "NHWC", "algo": algo}
    got = pycnn.conv2d(*(backend.array(a) for a in (x, weight, bias)), **how)
    case = Case(2, 3, 41, 40, 24, (7, 7), ((3, 3), (3, 3)), stride=(2, 2))
    want = case.expected("y", x.transpose(0, 3, 1, 2), weight, None) + 1
    assert_matches(got, want.transpose(0, 2, 3, 1), "float16", 147, backend)


def first_layer(**changed):
    """Shapes of pycnn.conv2d_algorithms."""
    shapes = {"x_shape": (8, 224, 224, 3), "w_shape": (64, 3, 7, 7), "stride": 2, "padding": 3}
    return pycnn.conv2d_algorithms(**shapes | {"layout": "NHWC", "dtype": "bfloat16"} | changed)


def test_auto_takes_it_for_a_first_layer():
    with planned_for(Target("sm_90a")):
        assert next(a for a in first_layer() if a.fits).name == NAME
        assert next(a for a in first_layer(w_shape=(64, 3, 3, 3), stride=1) if a.fits).name == NAME


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"dtype": "float32"}, "dtype float32"),
        ({"layout": "NCHW", "x_shape": (8, 3, 224, 224)}, "allowed: channels innermost"),
        ({"dilation": (1, 2)}, "a dilation of 1 along rows"),
        ({"padding_mode": "reflect"}, "padding mode 'reflect'"),
        ({"x_shape": (8, 224, 224, 6), "groups": 2}, "groups=2"),
        ({"w_shape": (64, 3, 7, 17)}, "runs of 52 terms; allowed: up to 48"),
        ({"stride": 32}, "bytes of shared memory; allowed: "),
        (
            {
                "x_shape": (1, 4, 2**28, 3),
                "w_shape": (1, 3, 7, 7),
                "stride": 8,
                "padding": (3, 2**28),
            },
            "tiles and rows below 2^31",
        ),
    ],
    ids=lambda v: str(v) if isinstance(v, str) else "",
)
def test_refuses(changed, why):
    (found,) = [a for a in first_layer(**changed) if a.name == NAME]
    assert not found.fits
    assert why in found.reason


def run(old, new):
    """Run the kernel with a mistake in it, in a checked build: a block has several tiles."""
    case = Case(3, 3, 17, 8, 16, (3, 3), stride=(1, 2))
    arrays = draw(np.random.default_rng(0), case)
    with planned_for(Target("sm_80", 1)):
        pack, step = conv.plan(case.problem(arrays), "forward", NAME, PLENTY).launches
    arrays["y"] = arrays.pop("dy")
    fragments = step.args[1].name
    arrays[fragments] = np.ones(pack.grid[0] * pack.block[0], np.uint32)
    run_broken(step, arrays, old, new)


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("        __syncthreads();  // this patch has", "        // this patch has", RaceError),
        ("        copy_async_wait<0>();\n", "", AsyncCopyError),
        ("start(tile + gridDim.x, stage ^ 1)", "start(tile + gridDim.x, stage)", KernelError),
        ("wait_for_rows();  // all sums", "// all sums", RaceError),
        ("wait_for_rows();  // nobody needs", "// nobody needs", RaceError),
    ],
    ids=["no barrier", "no wait", "overwrites the patch in use", "reads too early", "overwrites"],
)
def test_what_is_left_out_is_reported(old, new, error):
    with pytest.raises(error):
        run(old, new)


def test_as_it_stands_nothing_is_reported():
    run("stage ^= 1", "stage ^= 1")
