"""float32 by `wgmma`, rounded to TF32 as it is copied: products and convolutions, by their plans.

The ring of stages is broken in test_gemm_wgmma.py.
"""

import numpy as np
import pytest
from conv_plans import Case, Run, channels_last, view
from gemm_cases import expected, launch, operand
from hopper import on_hopper
from op_checks import counted

import pycnn
from pycnn.plan import conv as plans
from pycnn.plan._epilogue import Epilogue
from pycnn.plan._wgmma import OF_CONV, TILES, Way
from pycnn.plan.gemm import choose
from pycnn.plan.gemm_problem import Gemm
from pycnn.runtime.target import planned_for, target
from pycnn.testing.tolerance import tolerance

GEMM, CONV = "wgmma_tf32", "implicit_gemm_wgmma_tf32"
OUTPUTS = {"forward": "y", "backward_input": "dx"}
PLENTY = 2**40
#: Strides of a square matrix.
AXES = (0, 0, 72, 1)
#: More than one tile in each direction, and a multiple of none.
M, K = 136, 68

CASES = {
    "asymmetric": Case(1, 20, 11, 8, 36, (3, 3), ((0, 1), (2, 0)), stride=(2, 1)),
    "groups": Case(2, 96, 7, 6, 96, (2, 3), groups=3, stride=(3, 2), dilation=(2, 1)),
    "1x1 strided": Case(2, 4, 7, 9, 12, (1, 1), ((0, 0), (0, 0)), stride=(2, 3)),
    "several tiles": Case(3, 36, 9, 11, 132),
}

on_kernels = pytest.mark.parametrize("backend", ["emulator", "checked", "cuda"], indirect=True)
checked = pytest.mark.parametrize("backend", ["checked"], indirect=True)
pytestmark = pytest.mark.usefixtures(on_hopper.__name__)


def rounded(array):
    """To the nearest TF32, of two the even one."""
    bits = np.ascontiguousarray(array).view(np.uint32)
    up = (bits + np.uint32(0xFFF) + (bits >> 13 & 1)) & np.uint32(0xFFFFE000)
    return np.where(np.isfinite(array), up, bits).astype(np.uint32).view(np.float32)


def close(got, want, magnitude, terms):
    """Of factors that are TF32 sums are missed as those of float32 are."""
    assert got.dtype == np.float32
    allowed = magnitude * 2.0**-22 + tolerance("float32", terms, 1.0)
    np.testing.assert_array_less(np.abs(got - want), allowed)


def draw_factors(rng, m, n, k):
    a = operand(rng, (m, k), "float32", "padded")
    return a, operand(rng, (k, n), "float32", "padded", transposed=True)


@on_kernels
@pytest.mark.parametrize("tile", TILES, ids=str)
def test_product(backend, rng, tile):
    a, b = draw_factors(rng, M, tile[1] + 14, K)
    got = launch(backend, (GEMM, tile), a, b)
    exact = rounded(a).astype(float), rounded(b).astype(float)
    close(got, exact[0] @ exact[1], np.abs(exact[0]) @ np.abs(exact[1]), K)


@on_kernels
@pytest.mark.parametrize("shape", [(1, 8, 4), (8, 1, 16), (130, 7, 8), (2, 3, 67)], ids=str)
def test_thin(backend, rng, shape):
    a, b = draw_factors(rng, *shape)
    exact = rounded(a).astype(float), rounded(b).astype(float)
    got = launch(backend, (GEMM, TILES[0]), a, b)
    close(got, exact[0] @ exact[1], np.abs(exact[0]) @ np.abs(exact[1]), shape[2])


@on_kernels
@pytest.mark.parametrize("layout", ["contiguous", "misaligned"])
@pytest.mark.parametrize("channel", ["row", "col"])
def test_end_of_a_product(backend, rng, layout, channel):
    """With NaN and infinities, after what C holds, and C's padding left alone."""
    a, b = rounded(operand(rng, (M, 8), "float32")), operand(rng, (72, 8), "float32")
    b = rounded(b).T
    a[3, 2], b[4, 5], a[9], a[10] = np.nan, np.inf, -np.inf, 0
    c, residual = (operand(rng, (M, 72), "float32", layout) for _ in range(2))
    own = operand(rng, (3, M if channel == "row" else 72, 2), "float32")[..., 1]
    end = dict(zip(("bias", "scale", "shift"), own, strict=True)) | {"residual": residual}
    end |= {"channel": channel, "activation": "relu"}
    with np.errstate(invalid="ignore"):
        want = expected(a, b, c=c, **end)
    got = launch(backend, (GEMM, TILES[0]), a, b, c=c, accumulate=True, **end)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_what_it_cannot_take_is_refused():
    a = np.ones((72, 72), np.float32)
    with pycnn.use_backend("emulator"):
        for how in ({}, {"transpose_a": True, "transpose_b": True}):
            with pytest.raises(ValueError, match=r"algo='wgmma_tf32' does not fit: .*along a sum"):
                pycnn.gemm(a, a, algo=GEMM, **how)
        with pytest.raises(ValueError, match=r"allowed: .*multiples of 4"):
            pycnn.gemm(a[:, :71].copy(), a[:, :71].copy(), transpose_b=True, algo=GEMM)
    with planned_for(target()):
        assert choose(Gemm(72, 72, 72, "float32", a=AXES, b=(0, 0, 1, 72), c=AXES)) != GEMM


def draw(rng, case):
    plain = case.arrays(rng, "float32")
    return {name: rounded(a) if name == "weight" else channels_last(rounded(a))
            for name, a in plain.items()}  # fmt: skip


def check(backend, rng, case, direction="forward"):
    arrays, output = draw(rng, case), OUTPUTS[direction]
    got = Run(backend, CONV, PLENTY)(case, direction, arrays, channels_last)
    magnitude = case.expected(output, **{name: np.abs(a) for name, a in arrays.items()})
    close(got, case.expected(output, **arrays), magnitude, case.terms(output))


@on_kernels
@pytest.mark.parametrize("direction", OUTPUTS)
@pytest.mark.parametrize("case", CASES)
def test_convolution(backend, rng, case, direction):
    check(backend, rng, CASES[case], direction)


@checked
@pytest.mark.parametrize("tile", [tile for tile in OF_CONV if tile != min(OF_CONV)], ids=str)
def test_wide_tiles(backend, rng, monkeypatch, tile):
    monkeypatch.setattr("pycnn.plan._wgmma.OF_CONV", {tile: OF_CONV[tile][:1]})
    check(backend, rng, Case(2, 36, 10, 10, tile[1] + 8, (1, 2)))


@checked
@pytest.mark.parametrize("direction", OUTPUTS)
def test_sums_of_clusters(backend, rng, monkeypatch, direction):
    monkeypatch.setattr("pycnn.plan._wgmma.best_way", lambda *_, **__: Way((128, 64), along=4))
    check(backend, rng, Case(2, 44, 5, 7, 72, (2, 2)), direction)


@checked
@pytest.mark.parametrize("direction", OUTPUTS)
def test_sums_in_parts(backend, rng, monkeypatch, direction):
    monkeypatch.setattr("pycnn.plan._wgmma._LAUNCH", 0)
    monkeypatch.setattr("pycnn.plan._wgmma._PART", 0)
    case = Case(2, 64, 3, 4, 64, (3, 2))
    with planned_for(target()._replace(processors=132)):
        plan = plans.plan(case.problem(draw(rng, case)), direction, CONV, PLENTY)
        assert "implicit_gemm_finish" in [step.kernel.entry for step in plan.launches]
        check(backend, rng, case, direction)


@checked
def test_factors_are_rounded_to_the_nearest(backend, rng):
    """By the copies, as the tensor maps say: no cutting off, which would be off one way."""
    case = Case(1, 32, 5, 6, 8, (1, 1), ((0, 0), (0, 0)))
    arrays = case.arrays(rng, "float32")
    arrays = {n: a if n == "weight" else channels_last(a) for n, a in arrays.items()}
    nearest = {name: rounded(a) for name, a in arrays.items()}
    got = Run(backend, CONV, PLENTY)(case, "forward", arrays, channels_last)
    magnitude = case.expected("y", **{name: np.abs(a) for name, a in arrays.items()})
    close(got, case.expected("y", **nearest), magnitude, 32)
    assert np.abs(got - case.expected("y", **arrays)).max() > 1e-4


@on_kernels
def test_end_of_a_convolution(backend, rng):
    """Filters by pairs and not, a residual, and whole tiles beside ragged ones."""
    for filters in (64, 44, 42):
        case = Case(2, 12, 9, 8, filters, (3, 2))
        arrays = draw(rng, case)
        bias, scale = rng.standard_normal((2, filters)).astype(np.float32)
        residual = channels_last(rng.standard_normal(case.y_shape).astype(np.float32))
        finish = Epilogue(bias=1, scale=1, residual=view(residual).strides, activation="relu")
        end = {"bias": bias, "scale": scale, "residual": residual}
        got = Run(backend, CONV, PLENTY, finish)(case, "forward", arrays | end, channels_last)
        bias, scale = (a.astype(float)[:, None, None] for a in (bias, scale))
        want = (case.expected("y", **arrays) + bias) * scale + residual
        np.testing.assert_allclose(got, np.maximum(want, 0), rtol=1e-5, atol=2e-5)


@checked
def test_traffic(backend, rng):
    """Whole sectors, and no bank is asked twice."""
    case = Case(1, 32, 16, 16, 128)
    with planned_for(target()._replace(processors=1)), counted(backend) as log:
        Run(backend, CONV)(case, "forward", draw(rng, case), channels_last)
    counters = log.of(CONV)
    assert counters.global_bytes_written == 4 * 16 * 16 * 128
    assert counters.sectors_per_store == 8  # as many rows
    assert counters.bank_conflicts == 0


@checked
def test_by_its_name_alone(backend, rng):
    x = rng.standard_normal((2, 9, 7, 72)).astype(np.float32)
    weight = rng.standard_normal((88, 72, 3, 2)).astype(np.float32)
    how = {"padding": 1, "layout": "NHWC"}
    got, exact = (pycnn.conv2d(x, weight, **how, algo=algo) for algo in (CONV, "implicit_gemm"))
    np.testing.assert_allclose(got, exact, atol=0.1)
    assert not np.array_equal(got, exact)
    with pytest.raises(ValueError, match=f"algo='{CONV}' does not fit; .*dtype float16"):
        pycnn.conv2d(x.astype(np.float16), weight.astype(np.float16), **how, algo=CONV)
