"""Convolution of 8-bit integers by `wgmma`: exact, as by the kernel of one thread an output.

The ring of stages is that of the matrix product, and broken in test_gemm_wgmma.py; a few of the
mistakes are made here as well.
"""

import numpy as np
import pytest
from hopper import on_hopper, run_broken_windows
from op_checks import counted
from test_conv_int8_mma import SUMS, ZEROS, check, operands
from test_gemm_wgmma import OF_THE_RING, with_clusters

import pycnn
from pycnn.emulator import KernelError
from pycnn.plan import conv_int8
from pycnn.plan.conv_int8 import TILES, Convolving
from pycnn.runtime.target import Target, planned_for, target

#: x (N, H, W, C), weight, settings: more than a tile of pixels, and a multiple of none.
CASES = {
    "asymmetric": ((2, 9, 19, 48), (40, 48, 2, 3), {"padding": ((1, 0), (2, 1)), "stride": (1, 2)}),
    "groups": ((1, 6, 5, 256), (54, 128, 3, 3), {"padding": 1, "groups": 2}),
    "dilated": ((2, 6, 5, 144), (80, 144, 3, 3), {"padding": 2, "dilation": 2}),
    "1x1 strided": ((1, 23, 21, 80), (136, 80, 1, 1), {"stride": (1, 2)}),
    "odd filters": ((1, 12, 11, 16), (71, 16, 3, 2), {}),
    "empty": ((0, 5, 7, 16), (24, 16, 2, 3), {}),
}
on_kernels = pytest.mark.parametrize("backend", ["checked", "cuda"], indirect=True)
checked = pytest.mark.parametrize("backend", ["checked"], indirect=True)
EXHAUSTIVE = pytest.mark.exhaustive
pytestmark = pytest.mark.usefixtures(on_hopper.__name__)


def drawn(rng, case, x_type="int8", w_type="int8", **changed):
    """Operands of qlinear_conv2d but for zero points, and settings."""
    given, settings = operands(
        rng, (*CASES[case][:2], {**CASES[case][2], **changed}), x_type, w_type
    )
    return {n: a for n, a in given.items() if n not in ZEROS}, settings


def exact(backend, given, settings, algo="wgmma"):
    check(backend, given, settings, algo=algo)


@on_kernels
@pytest.mark.parametrize("case", CASES)
def test_matches_the_oracle(backend, rng, case):
    exact(backend, *drawn(rng, case))


@checked
@pytest.mark.parametrize(
    ("x", "w"),
    [
        ("uint8", "int8"),
        pytest.param("int8", "uint8", marks=EXHAUSTIVE),
        pytest.param("uint8", "uint8", marks=EXHAUSTIVE),
    ],
)
def test_signs(backend, rng, x, w):
    exact(backend, *drawn(rng, "groups", x, w))


@checked
@pytest.mark.parametrize("processors", [1, 2, 132])
def test_larger_tiles(backend, rng, monkeypatch, processors):
    """One block has several, two share their filters, or there is one for each."""
    monkeypatch.setattr(conv_int8, "TILES", TILES[1:])
    with planned_for(target()._replace(processors=processors)):
        exact(backend, *drawn(rng, "1x1 strided"))


@checked
def test_views(backend, rng):
    """Pixels further apart than their channels; and off the boundaries that maps want."""
    given, settings = drawn(rng, "asymmetric")
    x = given["x"]
    for first, algo in ((16, "wgmma"), (1, "auto")):
        wide = np.full((*x.shape[:3], x.shape[3] + 16), 7, x.dtype)
        view = wide[..., first : first + x.shape[3]]
        view[...] = x
        exact(backend, {**given, "x": view}, settings, algo)
        if algo == "auto":
            with pytest.raises(ValueError, match="16"):
                exact(backend, {**given, "x": view}, settings)


@checked
def test_a_weight_that_is_read_where_it_lies(backend, rng):
    given, settings = drawn(rng, "dilated")
    last = np.ascontiguousarray(given["weight"].transpose(0, 2, 3, 1))
    exact(backend, {**given, "weight": last.transpose(0, 3, 1, 2)}, settings)


@checked
def test_traffic(backend, rng):
    """Whole sectors, nothing twice, and no bank is asked twice."""
    given, settings = drawn(rng, "1x1 strided")
    for name in ("weight", "weight_scale", "bias"):
        given[name] = given[name][:128]
    given["weight_scale"] = np.float32(1)  # all saturate: none is close to the middle
    given["x"] = given["x"][:, :8, :31]
    pixels = 8 * 11
    with planned_for(target()._replace(processors=1)):  # as arrivals elsewhere ask for banks
        for name, size in (("conv2d_integer", 4), ("qlinear_conv2d", 1)):
            own = given if size == 1 else {n: given[n] for n in SUMS if n in given}
            none = dict.fromkeys(ZEROS if size == 1 else ())
            views = {n: backend.array(np.asarray(a)) for n, a in own.items()}
            with counted(backend) as log:
                getattr(pycnn, name)(**views, **none, **settings, algo="wgmma")
            (entry,) = (entry for entry in log.entries if entry.startswith("implicit_gemm_wgmma"))
            counters = log.of(entry)
            assert counters.global_bytes_written == size * 128 * pixels
            assert counters.global_store_sectors * 32 == size * 128 * pixels
            assert counters.bank_conflicts == 0


def test_auto_and_what_it_says(rng):
    """Without zero points it is Hopper's; with them, or elsewhere, the other tensor cores'."""
    given, settings = drawn(rng, "dilated")
    zero = np.array(3, "int8")

    def found(**more):
        (result,) = pycnn.explain(
            "conv2d_integer", given["x"], given["weight"], **more, **settings
        ).results
        return result.taken.algo, str(result)

    with pycnn.use_backend("emulator"):
        assert found()[0] == "wgmma"
        algo, said = found(x_zero_point=zero)
        assert algo == "implicit_gemm_mma"
        assert "zero points of x or of the weight; allowed: none" in said
        assert found(stride=2)[0] == "wgmma"
        with planned_for(Target("sm_80")):
            assert found()[0] == "implicit_gemm_mma"
        of_groups, how = drawn(rng, "groups")
        few = of_groups["x"][..., :128], of_groups["weight"][:, :64]
        with pytest.raises(ValueError, match="64 channels in each of 2 groups; allowed: multiples"):
            pycnn.conv2d_integer(*few, **how, algo="wgmma")


def broken(processors, old, new, channels=576):
    """Run the kernel with a mistake in it: tiles in turns, more steps than stages."""
    pixels = (1, 9, 31)
    arrays = {
        "x": np.ones((*pixels, channels), np.int8),
        "weight": np.ones((72, 1, 2, channels), np.int8).transpose(0, 3, 1, 2),
        "y": np.zeros((*pixels, 72), np.int32),
    }
    return run_broken_windows(Convolving, "conv2d_integer", processors, arrays, old, new)


EVERY = with_clusters(OF_THE_RING)


@pytest.mark.parametrize(
    "mistake",
    ["no wait for copies", *(pytest.param(name, marks=EXHAUSTIVE) for name in list(EVERY)[1:])],
)
def test_what_is_wrong_is_reported(monkeypatch, mistake):
    monkeypatch.setenv("PYCNN_SCHEDULE", "reverse")
    with pytest.raises(KernelError):
        broken(*EVERY[mistake])


@pytest.mark.parametrize("processors", [1, 2])
def test_as_it_stands_nothing_is_reported(processors):
    got = broken(processors, "wgmma_commit();", "wgmma_commit();")
    assert (got[:, :, 1:] == 2 * 576).all()
    assert (got[:, :, 0] == 576).all()
