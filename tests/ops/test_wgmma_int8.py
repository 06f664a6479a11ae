"""8-bit integers by `wgmma`: products, and convolutions that are one; exact as by the others."""

import numpy as np
import pytest
from hopper import on_hopper, spaced
from op_checks import counted, drawn, view_of

import pycnn
from pycnn.plan import conv_int8
from pycnn.plan.conv_int8 import TILES
from pycnn.runtime.target import planned_for, target
from pycnn.testing import TESTED

#: More than one tile in each direction, and a multiple of none but what strides need.
M, N, K = 136, 264, 208
NO_ZEROS = {"a_zero_point": None, "b_zero_point": None}

on_kernels = pytest.mark.parametrize("backend", ["emulator", "checked", "cuda"], indirect=True)
checked = pytest.mark.parametrize("backend", ["checked"], indirect=True)
pytestmark = pytest.mark.usefixtures(on_hopper.__name__)


def operands(rng, m=M, n=N, k=K, a="int8", b="int8", y="int8"):
    """Of qlinear_matmul, `b` by columns; sums that fill the range of eight bits, and beyond."""
    scale = 1 / (60 * np.sqrt(k)) * rng.uniform(0.5, 2, n)
    return {
        "a": drawn(rng, (m, k), a),
        "a_scale": np.array(0.02, np.float32),
        "b": drawn(rng, (n, k), b).T,
        "b_scale": scale.astype(np.float32),
        "y_scale": np.array(0.9, np.float32),
        "y_zero_point": np.array(5, y),
        "bias": rng.integers(-70000, 70000, n, np.int32),
    }


def check(backend, given, names=("matmul_integer", "qlinear_matmul"), algo="wgmma"):
    """Both operations give what the oracle says, bit by bit."""
    for name in names:
        own = given if name == "qlinear_matmul" else {x: given[x] for x in "ab"}
        want = TESTED[name].oracle({}, own)["y"]
        views = {x: backend.array(array) for x, array in own.items()}
        got = getattr(pycnn, name)(**NO_ZEROS, **views, algo=algo)
        np.testing.assert_array_equal(backend.numpy(got), want)


@on_kernels
@pytest.mark.parametrize("tile", TILES, ids=str)
def test_matches_the_oracle(backend, rng, monkeypatch, tile):
    monkeypatch.setattr(conv_int8, "TILES", (tile,))
    check(backend, operands(rng))


@checked
@pytest.mark.parametrize(("a", "b"), [("uint8", "int8"), ("int8", "uint8"), ("uint8",) * 2])
def test_signs(backend, rng, a, b):
    check(backend, operands(rng, 40, 72, 64, a, b, y=a))


@checked
@pytest.mark.parametrize("shape", [(1, 1, 16), (5, 7, 32), (131, 67, 2), (3, 65, 133)], ids=str)
def test_extents_are_any(backend, rng, shape):
    """What has to be a multiple of 16 is the stride from a row to the next."""
    given = spaced(operands(rng, *shape))
    check(backend, given)


@checked
def test_halves_are_rounded_to_even_and_sums_wrap(backend, rng):
    """What float cannot tell is left to double; no overflow of a sum is an error."""
    given = operands(rng, 24, 64, 16)
    given |= {"a_scale": np.float32(0.5), "y_scale": np.float32(1), "y_zero_point": np.int8(-3)}
    given["b_scale"] = np.ones((), np.float32)
    given["a"] //= 32
    given["b"] //= np.int8(32)
    given["bias"] = np.arange(-32, 32, dtype=np.int32)
    check(backend, {n: np.asarray(array) for n, array in given.items()})
    given["bias"] = np.where(np.arange(64) % 2, 2**31 - 1, -(2**31)).astype(np.int32)
    check(backend, {n: np.asarray(array) for n, array in given.items()})


@checked
@pytest.mark.parametrize("tile", TILES, ids=str)
def test_whole_tiles(backend, rng, monkeypatch, tile):
    """Which end in another way where scales and bias lie by pairs."""
    monkeypatch.setattr(conv_int8, "TILES", (tile,))
    given = operands(rng, 24, 128, 48)
    names = ("qlinear_matmul",)
    check(backend, given, names)
    check(
        backend,
        {n: a for n, a in given.items() if n != "bias"} | {"b_scale": np.array(0.01, np.float32)},
        names,
    )
    for name in ("b_scale", "bias"):
        for kind in ("misaligned", "stepped"):
            check(backend, {**given, name: view_of(given[name], kind)}, names)


@checked
@pytest.mark.parametrize("algo", ["wgmma", "implicit_gemm_mma"])
def test_scales_whose_quotient_no_float_is(backend, rng, algo):
    """They are multiplied in double, or all but the last bits would be lost."""
    given = operands(rng, 24, 64, 16)
    for x, y, small in ((3e38, 1e-4, 1e-45), (1e-40, 1e-2, 1e35)):
        given["b_scale"] = np.full(64, small, np.float32)
        scales = {"a_scale": np.array(x, np.float32), "y_scale": np.array(y, np.float32)}
        check(backend, {**given, **scales}, ("qlinear_matmul",), algo)


@checked
@pytest.mark.parametrize("algo", ["wgmma", "implicit_gemm_mma"])
def test_scales_that_float_cannot_multiply(backend, rng, algo):
    """Infinity times a sum of zero is no number: zero it is, and any other saturates."""
    given = operands(rng, 24, 64, 16)
    given["a"][::2] = 0
    large = np.array(3e38, np.float32)
    given |= {"a_scale": large, "b_scale": large, "y_scale": np.array(1e-45, np.float32)}
    check(backend, {**given, "bias": 0 * given["bias"]}, ("qlinear_matmul",), algo)


@checked
def test_alone_on_a_multiprocessor(backend, rng):
    """A block that has several tiles after each other, and a cluster of two that shares them."""
    for processors in (1, 2):
        with planned_for(target()._replace(processors=processors)):
            check(backend, operands(rng, 260, 72, 144))


@checked
def test_traffic(backend, rng):
    """Whole sectors, nothing twice, and no bank is asked twice."""
    for name, size in (("matmul_integer", 4), ("qlinear_matmul", 1)):
        with counted(backend) as log:
            check(backend, operands(rng, 128, 256, 128), (name,))
        assert log.total.global_bytes_written == size * 128 * 256
        assert log.total.global_store_sectors * 32 == size * 128 * 256
        assert log.total.bank_conflicts == 0


@checked
def test_convolution_of_one_pixel(backend, rng):
    """Without zero points it is a product, which "auto" knows."""
    x, weight = drawn(rng, (2, 5, 7, 80), "uint8"), drawn(rng, (136, 80, 1, 1), "int8")
    want = np.einsum("npqc,kc->npqk", x.astype(int), weight[:, :, 0, 0].astype(int))
    for algo in ("wgmma", "auto"):
        y = pycnn.conv2d_integer(*map(backend.array, (x, weight)), layout="NHWC", algo=algo)
        np.testing.assert_array_equal(backend.numpy(y), want)
    zero = np.array(3, np.uint8)
    for settings in ({"x_zero_point": zero}, {"layout": "NCHW"}):
        arrays = (x if "layout" not in settings else x.transpose(0, 3, 1, 2), weight)
        with pytest.raises(ValueError, match="algo='wgmma' does not fit; wgmma: "):
            pycnn.conv2d_integer(*arrays, **{"layout": "NHWC", **settings}, algo="wgmma")


@checked
def test_auto(backend, rng, monkeypatch):
    """Hopper's where it fits; others where strides, address, zero points or the GPU say no."""
    check(backend, operands(rng, 0, 72, 80), algo="auto")
    given = operands(rng, 24, 72, 80)
    check(backend, given, algo="auto")
    bits = np.zeros(24 * 80 + 1, np.int8)
    moved = {**given, "a": bits[1:].reshape(24, 80)}
    moved["a"][...] = given["a"]
    check(backend, moved, algo="auto")
    with pytest.raises(ValueError, match="16"):
        check(backend, moved)
    by_rows = {**given, "b": np.ascontiguousarray(given["b"])}
    for algo in ("auto", "implicit_gemm_mma", "direct"):
        check(backend, by_rows, algo=algo)
    with pytest.raises(ValueError, match="does not fit; wgmma: zero points"):
        pycnn.matmul_integer(given["a"], given["b"], np.int8(1), algo="wgmma")
    monkeypatch.setenv("PYCNN_EMULATOR_ARCH", "sm_80")
    check(backend, given, algo="auto")
    with pytest.raises(ValueError, match="architecture sm_80; allowed: sm_90a"):
        check(backend, given)


def test_what_is_wrong_is_refused(rng):
    given = operands(rng, 3, 5, 16)
    for changed, error, message in (
        ({"b": given["b"][:7]}, ValueError, r"b has shape \(7, 5\); allowed: \(16, N\)"),
        ({"a": given["a"].astype(np.int16)}, TypeError, "a has dtype int16; allowed for qlinear"),
        ({"b_scale": np.ones(4, np.float32)}, ValueError, r"b_scale has shape \(4,\)"),
        ({"b_zero_point": np.uint8(1)}, TypeError, "b_zero_point has dtype uint8; allowed: int8"),
        ({"a_zero_point": np.uint8(1)}, TypeError, "a_zero_point has dtype uint8"),
        ({"y_scale": np.float32(0)}, ValueError, "y_scale"),
        ({"bias": np.ones(4, np.int32)}, ValueError, "one value a column"),
        ({"algo": "naive"}, ValueError, "algo='naive'"),
    ):
        with pytest.raises(error, match=message):
            pycnn.qlinear_matmul(**{**NO_ZEROS, **given, **changed})
