"""Convolution of 8-bit integers: exact on every backend; signs, ties, saturation, bad input."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from op_checks import drawn, view_of

import pycnn
from pycnn.define.conv_int8 import DEFINITIONS, INT8
from pycnn.reference.oracle import conv_int8 as oracle
from pycnn.testing import TESTED

CASES = [
    pytest.param(TESTED[op.name], case, id=f"{op.name}-{case.name}")
    for op in DEFINITIONS
    for case in TESTED[op.name].cases
    if not case.standard
]

INTEGER = TESTED["conv2d_integer"]


def array(values, dtype):
    return np.array(values, dtype)


def channels_innermost(weight):
    return np.ascontiguousarray(weight.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def check(backend, tested, given, settings):
    """The public function gives exactly what the oracle says."""
    want = tested.oracle(settings, given)["y"]
    views = {name: backend.array(a) for name, a in given.items()}
    got = backend.numpy(getattr(pycnn, tested.op.name)(**views, **settings))
    assert got.dtype == (given["y_zero_point"].dtype if "y_zero_point" in given else np.int32)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", INT8)
@pytest.mark.parametrize(("tested", "case"), CASES)
def test_matches_the_oracle(backend, rng, tested, case, dtype):
    check(backend, tested, tested.draw(case, rng, dtype), tested.settings(case))


@pytest.mark.parametrize("channels", [8, 6], ids=["by words", "by elements"])
@pytest.mark.parametrize(("x_type", "w_type", "y_type"), [*product(INT8, repeat=3)])
def test_signs(backend, rng, x_type, w_type, y_type, channels):
    """Extreme values and zero points too, one of these a filter."""
    x, weight = drawn(rng, (2, 4, 5, channels), x_type), drawn(rng, (3, channels, 2, 3), w_type)
    limits = np.iinfo(w_type)
    x[0, :2], weight[0, 0] = np.iinfo(x_type).min, limits.max
    zeros = {
        "x_zero_point": array(np.iinfo(x_type).max, x_type),
        "weight_zero_point": array([limits.min, 3, limits.max], w_type),
    }
    given = {"x": x, "weight": channels_innermost(weight), **zeros}
    settings = {"padding": ((1, 0), (2, 1)), "stride": (1, 2), "layout": "NHWC"}
    check(backend, INTEGER, given, settings)
    scaled = {
        **given,
        "x_scale": array(0.02, "float32"),
        "weight_scale": array([0.01, 0.02, 0.001], "float32"),
        "y_scale": array(0.9, "float32"),
        "y_zero_point": array(5, y_type),
        "bias": array([70000, -3, -2000], "int32"),
    }
    check(backend, TESTED["qlinear_conv2d"], scaled, settings)


@pytest.mark.parametrize("kind", ["transposed", "stepped", "reversed", "misaligned"])
def test_words_are_taken_only_where_they_are(backend, rng, kind):
    x, weight = drawn(rng, (2, 5, 4, 8), "uint8"), drawn(rng, (3, 8, 2, 2), "int8")
    weight = channels_innermost(weight)
    zero = array(7, "uint8")
    check(backend, INTEGER, {"x": view_of(x, kind), "weight": weight, "x_zero_point": zero},
          {"layout": "NHWC"})  # fmt: skip
    check(
        backend,
        INTEGER,
        {"x": x, "weight": view_of(weight, kind)},
        {"layout": "NHWC"},
    )


def test_by_hand(backend):
    x, weight = array([[[1, 2], [3, 4]]], "int8"), array([[[[1, -1]]], [[[2, 0]]]], "int8")
    y = pycnn.conv2d_integer(
        *map(backend.array, (x, weight, array(1, "int8"), array([0, 1], "int8"))), padding=(0, 1)
    )
    want = [[[0, -1, 1], [-2, -1, 3]], [[0, -1, 1], [-2, -1, 3]]]
    assert backend.numpy(y).tolist() == want


def by_fractions(sums, scales, zero, dtype):
    """The rule in exact arithmetic; Python rounds half to even."""
    x, w, y = (Fraction(float(s)) for s in scales)
    limits = np.iinfo(dtype)
    return [min(max(round(s * x * w / y) + zero, limits.min), limits.max) for s in sums]


@pytest.mark.parametrize(("dtype", "zero"), [("int8", -3), ("int8", 127), ("uint8", 9)])
@pytest.mark.parametrize(
    "scales", [(0.5, 0.5, 0.5), (0.25, 0.75, 1.5), (3e38, 3e38, 1e-40), (1e-38, 1e-38, 3e38)]
)
def test_ties_and_saturation(backend, dtype, zero, scales):
    """Sums are those of a single weight of 1: the values of the bias."""
    sums = [*range(-21, 22), 2**31 - 1, -(2**31), 999, -999]
    scales = [np.float32(s) for s in scales]
    arrays = {
        "x": array([[[0]]], "int8"),
        "x_scale": scales[0],
        "x_zero_point": array(0, "int8"),
        "weight": np.ones((len(sums), 1, 1, 1), "int8"),
        "weight_scale": scales[1],
        "weight_zero_point": array(0, "int8"),
        "y_scale": scales[2],
        "y_zero_point": array(zero, dtype),
        "bias": array(sums, "int32"),
    }
    y = pycnn.qlinear_conv2d(**{n: backend.array(np.asarray(a)) for n, a in arrays.items()})
    assert backend.numpy(y).ravel().tolist() == by_fractions(sums, scales, zero, dtype)


def test_sums_wrap_around(backend):
    """33026 products of 255 by 255 are the first that do not fit 32 bits; 33028 are in words."""
    for terms, turns in ((33025, 0), (33026, 1), (33028, 1)):
        x, weight = np.full((terms, 1, 1), 255, "uint8"), np.full((1, terms, 1, 1), 255, "uint8")
        y = pycnn.conv2d_integer(backend.array(x), backend.array(weight))
        assert backend.numpy(y).item() == terms * 255**2 - turns * 2**32


def test_offsets_beyond_two_to_the_31(rng):
    """Two images more than 2^31 elements apart, in memory that is mostly never touched."""
    pair, weight = drawn(rng, (2, 3, 4, 4), "int8"), drawn(rng, (2, 4, 2, 2), "int8")
    try:
        base = np.zeros(2**31 + pair.size, "int8")
    except MemoryError:
        pytest.skip("no 2 GiB of address space for an offset beyond 2^31 elements")
    x = np.lib.stride_tricks.as_strided(base, pair.shape, (2**31, 16, 4, 1))
    x[...] = pair
    with pycnn.use_backend("emulator", checked=False):
        y = pycnn.conv2d_integer(x, channels_innermost(weight), layout="NHWC")
    sums = oracle.convolve(
        pair.transpose(0, 3, 1, 2), weight, 0, 0, (1, 1), ((0, 0), (0, 0)), (1, 1), 1
    )
    np.testing.assert_array_equal(y, sums.transpose(0, 2, 3, 1))


def test_scalars_of_numpy_are_arrays_of_no_axes():
    x, weight = np.ones((1, 2, 2), "uint8"), np.ones((1, 1, 1, 1), "int8")
    assert pycnn.conv2d_integer(x, weight, np.uint8(3), np.int8(2)).tolist() == [[[2, 2], [2, 2]]]


GIVEN = {
    "x": np.ones((2, 4, 6, 7), "uint8"),
    "x_scale": array(0.5, "float32"),
    "x_zero_point": array(3, "uint8"),
    "weight": np.ones((6, 2, 3, 3), "int8"),
    "weight_scale": np.ones(6, "float32"),
    "weight_zero_point": np.zeros(6, "int8"),
    "y_scale": array(2, "float32"),
    "y_zero_point": array(0, "int8"),
    "bias": np.zeros(6, "int32"),
}

#: (what is changed, exception, what the message says); the first ones go for both.
BOTH = [
    ({"x_zero_point": array(3, "int8")}, TypeError, "x_zero_point has dtype int8 but x has uint8"),
    ({"x_zero_point": array([3], "uint8")}, ValueError, r"x_zero_point has shape \(1,\)"),
    ({"x_zero_point": 3}, TypeError, "x_zero_point is of type int; allowed: numpy.ndarray"),
    ({"weight": np.ones((6, 2, 3, 3), "float32")}, TypeError, "weight has dtype float32; allowed"),
    (
        {"weight_zero_point": np.zeros(6, "uint8")},
        TypeError,
        "weight_zero_point has dtype uint8; allowed: int8, that of weight",
    ),
    (
        {"weight_zero_point": np.zeros(4, "int8")},
        ValueError,
        r"weight_zero_point has shape \(4,\); allowed: \(6,\)",
    ),
    ({"groups": 3}, ValueError, "groups=3; allowed: a divisor"),
    ({"layout": "NCWH"}, ValueError, "layout='NCWH'; allowed: NCHW, NHWC"),
    ({"layout": "NHWC"}, ValueError, "7 channels of x"),
    ({"stride": 0}, ValueError, "stride=0; allowed"),
    ({"padding": "around"}, (TypeError, ValueError), "padding='around'"),
    ({"dilation": 9}, ValueError, "a filter covers 19x19"),
]
SCALED = [
    ({"x_scale": array(0, "float32")}, ValueError, r"x_scale holds 0\.0; allowed: finite"),
    ({"y_scale": array(np.nan, "float32")}, ValueError, "y_scale holds nan"),
    (
        {"weight_scale": array([1, 2, 3, -4, 5, 6], "float32")},
        ValueError,
        r"weight_scale holds -4\.0",
    ),
    ({"weight_scale": array(np.inf, "float32")}, ValueError, "weight_scale holds inf"),
    ({"weight_scale": np.ones(4, "float32")}, ValueError, r"weight_scale has shape \(4,\)"),
    ({"y_scale": array(1, "float64")}, TypeError, "y_scale has dtype float64; allowed"),
    ({"y_zero_point": array(1, "int32")}, TypeError, "y_zero_point has dtype int32; allowed"),
    ({"y_zero_point": None}, TypeError, "y_zero_point is None"),
    ({"bias": np.zeros(4, "int32")}, ValueError, r"bias has shape \(4,\); allowed: \(6,\)"),
    ({"bias": np.zeros(6, "float32")}, TypeError, "bias has dtype float32; allowed"),
]


@pytest.mark.parametrize("selected", ["reference", "emulator"])
@pytest.mark.parametrize(("changed", "error", "message"), [*BOTH, *SCALED])
def test_bad_input_is_refused(selected, changed, error, message):
    both = {name: GIVEN[name] for name in ("x", "weight", "x_zero_point", "weight_zero_point")}
    with pycnn.use_backend(selected):
        with pytest.raises(error, match=message):
            pycnn.qlinear_conv2d(**{**GIVEN, "groups": 2, **changed})
        if set(changed) <= {*both, "groups", "layout", "stride", "padding", "dilation"}:
            with pytest.raises(error, match=message):
                pycnn.conv2d_integer(**{**both, "groups": 2, **changed})


def test_scales_are_checked_in_every_call():
    given = {**GIVEN, "groups": 2, "y_scale": array(2, "float32")}
    pycnn.qlinear_conv2d(**given)
    given["y_scale"][...] = -1
    with pytest.raises(ValueError, match=r"y_scale holds -1\.0"):
        pycnn.qlinear_conv2d(**given)


def test_a_product_of_no_terms_is_zero(backend):
    """Where `a` has no columns: sums over nothing, and what a bias makes of them."""
    a, b = (backend.array(np.zeros(shape, np.int8)) for shape in ((3, 0), (0, 4)))
    zeros = backend.array(np.int8(3)), backend.array(array([1, 2, 3, 4], np.int8))
    for got in (pycnn.matmul_integer(a, b), pycnn.matmul_integer(a, b, *zeros)):
        np.testing.assert_array_equal(backend.numpy(got), np.zeros((3, 4), np.int32))
    one, bias = backend.array(np.float32(1)), backend.array(np.arange(4, dtype=np.int32))
    got = pycnn.qlinear_matmul(a, one, b, one, one, zeros[0], bias=bias)
    np.testing.assert_array_equal(backend.numpy(got), [[3, 4, 5, 6]] * 3)
