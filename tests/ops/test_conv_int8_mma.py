"""Convolution of 8-bit integers on tensor cores: exact, as the kernel of one thread an output."""

import numpy as np
import pytest
from broken import MISTAKES_OF_STAGES, run_broken
from op_checks import counted, drawn

import pycnn
from pycnn.define import cache
from pycnn.define.views import View
from pycnn.plan import conv_implicit
from pycnn.plan.conv_implicit import TILES
from pycnn.plan.conv_int8 import Convolving, Quantised
from pycnn.plan.conv_problem import Problem
from pycnn.runtime.plan import ArraySpec
from pycnn.testing import TESTED

ALGO = "implicit_gemm_mma"
#: x (N, H, W, C), weight, settings: nothing a multiple of a tile, channels of sixteen.
CASES = {
    "asymmetric": ((2, 5, 7, 16), (24, 16, 2, 3), {"padding": ((1, 0), (2, 1)), "stride": (1, 2)}),
    "groups": ((1, 6, 5, 96), (54, 48, 3, 3), {"padding": 1, "groups": 2}),
    "dilated": ((2, 6, 5, 48), (80, 48, 3, 3), {"padding": 2, "dilation": 2}),
    "1x1": ((1, 12, 11, 80), (136, 80, 1, 1), {}),
}
on_kernels = pytest.mark.parametrize("backend", ["emulator", "checked", "cuda"], indirect=True)
on_checked = pytest.mark.parametrize("backend", ["checked"], indirect=True)


def operands(rng, case, x_type="uint8", w_type="int8", zeros=True):
    """Of qlinear_conv2d; sums that fill the range of eight bits. `case` may be one's name."""
    x, weight, settings = CASES[case] if isinstance(case, str) else case
    terms = weight[1] * weight[2] * weight[3]
    scale = 1 / (60 * np.sqrt(terms)) * rng.uniform(0.5, 2, weight[0])
    return {
        "x": drawn(rng, x, x_type),
        "x_scale": np.float32(0.02),
        "x_zero_point": drawn(rng, (), x_type) if zeros else np.array(0, x_type),
        "weight": drawn(rng, weight, w_type),
        "weight_scale": scale.astype(np.float32),
        "weight_zero_point": drawn(rng, weight[:1], w_type) if zeros else np.array(0, w_type),
        "y_scale": np.float32(0.9),
        "y_zero_point": np.array(5, x_type),
        "bias": rng.integers(-70000, 70000, weight[0], np.int32),
    }, {**settings, "layout": "NHWC"}


ZEROS = ("x_zero_point", "weight_zero_point")
SUMS = ("x", "weight", *ZEROS)


def check(backend, given, settings, **more):
    """Both operations give what the oracle says, bit by bit."""
    for name in ("conv2d_integer", "qlinear_conv2d"):
        own = given if name == "qlinear_conv2d" else {n: given[n] for n in SUMS if n in given}
        own = {n: np.asarray(a) for n, a in own.items()}
        want = TESTED[name].oracle({**settings, "algo": "auto"}, own)["y"]
        views = {n: backend.array(a) for n, a in own.items()}
        views = dict.fromkeys(ZEROS) | views
        got = getattr(pycnn, name)(**views, **settings, **{"algo": ALGO, **more})
        np.testing.assert_array_equal(backend.numpy(got), want)


@on_kernels
@pytest.mark.parametrize("case", CASES)
def test_matches_the_oracle(backend, rng, case):
    check(backend, *operands(rng, case))


@on_checked
@pytest.mark.parametrize(
    ("x_type", "w_type"), [("int8", "int8"), ("int8", "uint8"), ("uint8",) * 2]
)
def test_signs(backend, rng, x_type, w_type):
    check(backend, *operands(rng, "groups", x_type, w_type))


def _tiles_of(monkeypatch, tile):
    """In plans that are made from now on."""
    monkeypatch.setattr(conv_implicit, "TILES", (tile, tile))
    monkeypatch.setattr(cache, "lookup", lambda key: None)
    monkeypatch.setattr(cache, "store", lambda key, value: value)


@on_checked
def test_larger_tiles(backend, rng, monkeypatch):
    _tiles_of(monkeypatch, 128)
    for case in ("groups", "1x1"):
        check(backend, *operands(rng, case))


@on_checked
def test_no_zero_points(backend, rng):
    given, settings = operands(rng, "asymmetric", zeros=False)
    for name in ("x_zero_point", "weight_zero_point"):
        own = {n: np.asarray(given[n]) for n in SUMS if n != name}
        want = TESTED["conv2d_integer"].oracle({**settings, "algo": "auto"}, own)["y"]
        views = {n: backend.array(a) for n, a in own.items()}
        got = pycnn.conv2d_integer(**views, **settings, algo=ALGO)
        np.testing.assert_array_equal(backend.numpy(got), want)


@on_checked
@pytest.mark.parametrize("apart", [1, 3])
def test_views(backend, rng, apart):
    """No chunk at an address that 16 divides; pixels a little further apart than their channels."""
    given, settings = operands(rng, "asymmetric")
    x = given["x"]
    wide = np.zeros((*x.shape[:3], x.shape[3] + apart), x.dtype)
    wide[..., apart:] = x
    check(backend, {**given, "x": wide[..., apart:]}, settings)


@on_checked
def test_ties_and_saturation(backend, rng):
    """What lies in the middle between two values is rounded by the rule itself: bias is the sum."""
    sums = np.array([*range(-21, 22), 2**31 - 1, -(2**31), 999, -999, 0], np.int32)
    given, settings = operands(rng, "1x1")
    given |= {
        "x": np.zeros((1, 1, 2, 16), "uint8"),
        "weight": np.zeros((len(sums), 16, 1, 1), "int8"),
        "bias": sums,
        "weight_zero_point": np.array(3, "int8"),
    }
    for scales in ((0.5, 0.5, 0.5), (0.25, 0.75, 1.5), (3e38, 3e38, 1e-40), (1e-38, 1e-38, 3e38)):
        x_scale, weight_scale, y_scale = map(np.float32, scales)
        own = {"x_scale": x_scale, "weight_scale": weight_scale, "y_scale": y_scale}
        check(backend, {**given, **own, "y_zero_point": np.array(-3, "int8")}, settings)


@on_checked
@pytest.mark.parametrize("tile", TILES)
def test_traffic(backend, rng, monkeypatch, tile):
    """No bank is asked twice, and what is stored side by side leaves in whole sectors."""
    _tiles_of(monkeypatch, tile)
    given, settings = operands(rng, "1x1")
    x, weight = (given[name] for name in ("x", "weight"))
    given |= {"weight": weight[:128], "bias": given["bias"][:128]}
    given |= {"weight_zero_point": given["weight_zero_point"][:128]}
    given |= {"weight_scale": np.float32(1)}  # all saturate: none is close to the middle
    names = {"conv2d_integer": SUMS, "qlinear_conv2d": tuple(given)}
    for name, own in names.items():
        views = {n: backend.array(np.asarray(given[n])) for n in own}
        with counted(backend) as counting:
            getattr(pycnn, name)(**views, **settings, algo=ALGO)
        (entry,) = (entry for entry in counting.entries if entry.startswith("int8_mma"))
        counters, size = counting.of(entry), 4 if name == "conv2d_integer" else 1
        assert counters.bank_conflicts == 0
        assert counters.global_store_sectors == x[..., 0].size * 128 * size / 32


@on_checked
def test_auto_takes_tensor_cores_where_they_fit(backend, rng):
    given, settings = operands(rng, "dilated")
    check(backend, given, settings, algo="auto")
    found = pycnn.explain("conv2d_integer", given["x"], given["weight"], layout="NHWC")
    assert found.results[0].taken.algo == ALGO


def test_refuses_what_has_no_chunks():
    x, weight = np.ones((1, 9, 7, 12), np.int8), np.ones((8, 12, 3, 3), np.int8)
    with pycnn.use_backend("emulator"):
        with pytest.raises(ValueError, match="x has 12 channels a group; allowed: multiples of 16"):
            pycnn.conv2d_integer(x, weight, layout="NHWC", algo=ALGO)
        with pytest.raises(ValueError, match="allowed: channels innermost"):
            pycnn.conv2d_integer(x, weight[:, :9], algo=ALGO)
        with pytest.raises(ValueError, match="algo='winograd'; allowed: auto, direct, implicit"):
            pycnn.conv2d_integer(x, weight, layout="NHWC", algo="winograd")
    with pytest.raises(ValueError, match="allowed on the backend reference: auto"):
        pycnn.conv2d_integer(x, weight, layout="NHWC", algo=ALGO)


def run(old, new, channels):
    """Run the kernel with a mistake in its main loop, in a checked build.

    sC lies where the first of three tiles arrives: 48 channels make three, 80 make four.
    """
    arrays = {
        "x": np.ones((1, 9, 8, channels), np.int8),
        "weight": np.ones((40, 3, 2, channels), np.int8).transpose(0, 3, 1, 2),
        "y": np.ones((1, 9, 9, 40), np.int32),
    }
    x, y = (arrays[name].transpose(0, 3, 1, 2) for name in ("x", "y"))
    views = (View.of(name, a) for name, a in (("x", x), ("weight", arrays["weight"]), ("y", y)))
    problem = Problem(*views, pad_begin=(1, 1))
    output = ArraySpec((1, 9, 9, 40), np.dtype(np.int32))
    quantised = Quantised(problem, "int8", x_zero=False, weight_zero=None)
    (step,) = Convolving(quantised, "conv2d_integer", 0, output).plan(ALGO).launches
    run_broken(step, arrays, old, new)


@pytest.mark.parametrize(("old", "new", "error"), MISTAKES_OF_STAGES)
def test_what_is_left_out_is_reported(old, new, error):
    with pytest.raises(error):
        run(old, new, 80 if "nothing arrives" in old else 48)


def test_as_it_stands_nothing_is_reported():
    run("stage ? stage - 1 : STAGES - 1", "stage ? stage - 1 : STAGES - 1", 80)
