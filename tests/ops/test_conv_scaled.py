"""Convolution of 8-bit floats with scales, by `wgmma`: the oracle's, whatever lies at the edges.

The ring of stages is that of the matrix product, and broken in test_gemm_wgmma.py; a few of the
mistakes are made here as well.
"""

import numpy as np
import pytest
from hopper import on_hopper, run_broken_windows
from op_checks import assert_matches, counted
from test_gemm_wgmma import MISTAKES, with_clusters

import pycnn
from pycnn.define.gemm_scaled import RESULTS
from pycnn.dtypes import numpy_dtype
from pycnn.emulator import KernelError
from pycnn.plan import conv_scaled
from pycnn.plan._wgmma import Way
from pycnn.plan.conv_scaled import ALONG, CLUSTERS, Scaling
from pycnn.runtime.sources import kernel_path
from pycnn.runtime.target import Target, planned_for, target
from pycnn.testing import TESTED

E4M3, E5M2 = (numpy_dtype(name) for name in ("float8_e4m3fn", "float8_e5m2"))
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


def drawn(rng, case, x=E4M3, weight=E4M3, dtype="bfloat16", one_scale=False):
    """Operands, with scales that matter, and settings."""
    x_shape, w_shape, settings = CASES[case]
    scales = np.array(1.9) if one_scale else rng.uniform(0.5, 2, w_shape[0])
    return {
        "x": rng.standard_normal(x_shape).astype(x),
        "weight": rng.standard_normal(w_shape).astype(weight),
        "x_scale": np.array(0.37, np.float32),
        "weight_scale": scales.astype(np.float32),
        "bias": (9 * rng.standard_normal(w_shape[0])).astype(numpy_dtype(dtype)),
    }, {**settings, "layout": "NHWC", "output_dtype": dtype}


def check(backend, given, settings, algo="wgmma"):
    """The public function gives what the oracle says."""
    tested = TESTED["scaled_conv2d"]
    views = {name: backend.array(array) for name, array in given.items()}
    got = pycnn.scaled_conv2d(**views, **settings, algo=algo)
    want = tested.oracle(settings, given)["y"]
    terms = tested.terms(settings, given)
    assert_matches(got, want, settings["output_dtype"], terms, backend)


@on_kernels
@pytest.mark.parametrize("case", CASES)
def test_matches_the_oracle(backend, rng, case):
    check(backend, *drawn(rng, case))


@checked
@pytest.mark.parametrize("dtype", RESULTS)
@pytest.mark.parametrize(("x", "weight"), [(E4M3, E5M2), (E5M2, E4M3)], ids=str)
def test_types(backend, rng, x, weight, dtype):
    check(backend, *drawn(rng, "dilated", x, weight, dtype, one_scale=True))


#: Every tile with its cluster, and blocks that share out its sums.
WAYS = [Way(tile, 1, *cluster) for tile, of in CLUSTERS.items() for cluster in of]
WAYS += [Way(tile, along=count) for tile, counts in ALONG.items() for count in counts]


@checked
@pytest.mark.parametrize("way", WAYS, ids=lambda way: "x".join(map(str, (*way.tile, *way[2:]))))
@pytest.mark.parametrize("dtype", ["bfloat16", pytest.param("float32", marks=EXHAUSTIVE)])
def test_every_way(backend, rng, monkeypatch, way, dtype):
    """Of more than one tile, or of sums of more steps than blocks, each way."""
    monkeypatch.setattr("pycnn.plan._wgmma.best_way", lambda *_, **__: way)
    given, settings = drawn(rng, "dilated" if way.along > 1 else "1x1 strided", dtype=dtype)
    with planned_for(target()._replace(processors=16)):
        check(backend, given, settings)


@checked
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_whole_tiles(backend, rng, dtype):
    """Which end in another way, with one scale and with one for every filter."""
    for one_scale in (True, False):
        given, settings = drawn(rng, "1x1 strided", dtype=dtype, one_scale=one_scale)
        for name in ("weight", "weight_scale", "bias"):
            given[name] = given[name][:128] if given[name].ndim else given[name]
        check(backend, given, settings)
        check(backend, {n: a for n, a in given.items() if n != "bias"}, settings)


@checked
@pytest.mark.parametrize("processors", [1, 2, 132])
def test_blocks_and_tiles(backend, rng, processors):
    """One block has several, two share their filters, or there is one for each."""
    with planned_for(target()._replace(processors=processors)):
        check(backend, *drawn(rng, "1x1 strided"))


@checked
def test_views(backend, rng):
    """Pixels further apart than their channels, scales and bias than one; and off 16 bytes."""
    given, settings = drawn(rng, "asymmetric")
    for name in ("weight_scale", "bias"):
        given[name] = np.repeat(given[name], 2)[::2]
    x = given["x"]
    for first, algo in ((16, "wgmma"), (1, "auto")):
        wide = np.full((*x.shape[:3], x.shape[3] + 16), 7, x.dtype)
        view = wide[..., first : first + x.shape[3]]
        view[...] = x
        check(backend, {**given, "x": view}, settings, algo)
        if algo == "auto":
            with pytest.raises(ValueError, match="16"):
                check(backend, {**given, "x": view}, settings)


@checked
def test_a_weight_that_is_read_where_it_lies(backend, rng):
    given, settings = drawn(rng, "dilated")
    last = np.ascontiguousarray(given["weight"].transpose(0, 2, 3, 1))
    check(backend, {**given, "weight": last.transpose(0, 3, 1, 2)}, settings)


@on_kernels
def test_every_number(backend):
    """All 256 of each type, by both algorithms; and what is beyond the edges is multiplied, too."""
    one = np.zeros((16, 16, 1, 1), E4M3)
    np.fill_diagonal(one[:, :, 0, 0], 1)
    scale = np.ones((), np.float32)
    for dtype in (E4M3, E5M2):
        x = np.arange(256, dtype=np.uint8).view(dtype).reshape(1, 4, 4, 16)
        given = {"x": x, "weight": one, "x_scale": scale, "weight_scale": scale}
        infinite = {**given, "x": one.transpose(2, 3, 0, 1), "weight": x.transpose(0, 3, 1, 2)}
        for each, padding in ((given, 0), (infinite, 2)):
            for algo in ("wgmma", "direct"):
                settings = {"layout": "NHWC", "output_dtype": "float32", "padding": padding}
                check(backend, each, settings, algo)


@checked
def test_traffic(backend, rng):
    """Whole sectors, nothing twice, and no bank is asked twice."""
    given, settings = drawn(rng, "1x1 strided")
    for name in ("weight", "weight_scale", "bias"):
        given[name] = given[name][:128]
    given["x"] = given["x"][:, :8, :31]
    with planned_for(target()._replace(processors=1)), counted(backend) as log:
        check(backend, given, settings)
    (entry,) = (entry for entry in log.entries if entry.startswith("implicit_gemm_wgmma"))
    counters = log.of(entry)
    assert counters.global_bytes_written == 2 * 128 * given["x"].shape[1] * 11
    assert counters.global_store_requests == counters.bank_conflicts == 0


def test_auto_and_what_it_says(rng):
    """Hopper's where it fits; a thread an output where layout or the GPU say no."""
    given, settings = drawn(rng, "dilated")

    def found(**more):
        (result,) = pycnn.explain("scaled_conv2d", **{**given, **settings, **more}).results
        return result.taken.algo, str(result)

    with pycnn.use_backend("emulator"):
        assert found()[0] == "wgmma"
        first = given["x"].transpose(0, 3, 1, 2)
        algo, said = found(x=first, layout="NCHW")
        assert algo == "direct"
        assert "allowed: channels innermost" in said
        with planned_for(Target("sm_80")):
            algo, said = found()
        assert algo == "direct"
        assert "architecture sm_80; allowed: sm_90a" in said
        of_groups, how = drawn(rng, "groups")
        of_groups["x"], of_groups["weight"] = of_groups["x"][..., :128], of_groups["weight"][:, :64]
        with pytest.raises(ValueError, match="64 channels in each of 2 groups; allowed: multiples"):
            pycnn.scaled_conv2d(**of_groups, **how, algo="wgmma")


def test_what_is_wrong_is_refused(rng):
    given, settings = drawn(rng, "asymmetric")
    for changed, error, message in (
        ({"weight": given["weight"][:, :7]}, ValueError, r"weight has shape \(40, 7, 2, 3\)"),
        ({"x": given["x"].astype(np.float16)}, TypeError, "x has dtype float16; allowed for scale"),
        ({"x_scale": np.ones(3, np.float32)}, ValueError, r"x_scale has shape \(3,\)"),
        ({"weight_scale": np.ones(3, np.float32)}, ValueError, r"weight_scale has shape \(3,\)"),
        ({"weight_scale": np.float64(1)}, TypeError, "weight_scale has dtype float64"),
        ({"bias": np.ones(40, np.float32)}, TypeError, "bias has dtype float32; allowed: bfloat16"),
        ({"bias": given["bias"][:4]}, ValueError, r"bias has shape \(4,\); allowed: \(40,\)"),
        ({"output_dtype": "float64"}, ValueError, "output_dtype='float64'"),
        ({"algo": "implicit_gemm_mma"}, ValueError, "algo='implicit_gemm_mma'"),
        ({"groups": 3}, ValueError, "groups"),
    ):
        with pytest.raises(error, match=message):
            pycnn.scaled_conv2d(**{**given, **settings, **changed})
    wide = {name: given[name].astype(E5M2) for name in ("x", "weight")}
    with pytest.raises(TypeError, match="x and weight have dtype float8_e5m2; allowed: float8_e4m"):
        pycnn.scaled_conv2d(**{**given, **settings, **wide})


def broken(processors, old, new, channels=576):
    """Run the kernel with a mistake in it: tiles in turns, more steps than stages."""
    pixels = (1, 9, 31)
    arrays = {
        "x": np.ones((*pixels, channels), E4M3),
        "weight": np.ones((72, 1, 2, channels), E4M3).transpose(0, 3, 1, 2),
        "x_scale": np.array(1 / 8, np.float32),
        "weight_scale": np.array(1 / 16, np.float32),
        "y": np.zeros((*pixels, 72), np.float16),
    }
    return run_broken_windows(Scaling, "scaled_conv2d", processors, arrays, old, new)


EVERY = with_clusters(MISTAKES)


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
    assert (got[:, :, 1:] == 9).all()
    assert (got[:, :, 0] == 4.5).all()


def test_ways_are_those_of_the_kernel():
    """Which is compiled for no other."""
    text = kernel_path(conv_scaled.HOPPER_FILE).read_text()
    (line,) = (line for line in text.splitlines() if "variant TILE_M" in line)
    compiled = {tuple(map(int, way.split())) for way in line.partition("= ")[2].split(",")}
    assert compiled == {(*way.tile, way.cluster, way.across, way.along) for way in WAYS}
