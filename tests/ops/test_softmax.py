"""Softmax and log-softmax: special values, traffic, bad input.

What holds for every operation is tested in test_every_operation.
"""

import numpy as np
import pytest
from op_checks import assert_matches, counted, far_apart, numeric_gradient, refused_on_both, view_of

import pycnn
from pycnn.dtypes import numpy_dtype
from pycnn.emulator import counting
from pycnn.reference.oracle import softmax as oracle

NAN, INF = np.nan, np.inf
NAMES = ["softmax", "log_softmax"]


def test_operands_of_different_strides(backend, rng):
    y = view_of(rng.random((5, 3, 7)), "transposed")
    dy = np.broadcast_to(rng.standard_normal((1, 3, 1)), y.shape)
    dx = pycnn.softmax_backward(*backend.views(dy, y), 1)
    assert_matches(dx, oracle.softmax_backward(dy, y, 1), "float64", 3, backend)


@pytest.mark.parametrize("width", [3, 40, 1100, 13000])
@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_special_values(backend, name, across, width):
    rows = np.zeros((8, width), np.float32)
    rows[0] = -INF
    rows[1, 1] = INF
    rows[2, 0] = -INF
    rows[3, -1] = NAN
    rows[4] = INF
    rows[5, :3] = [1e30, -1e30, 1e30]
    rows[6] = -3e38
    rows[7, :3] = [NAN, -INF, INF]
    x, axis = (rows.T, 0) if across else (rows, 1)
    y = getattr(pycnn, name)(backend.array(x), axis)
    want = getattr(oracle, name)(x, axis)
    assert_matches(y, want, "float32", width, backend)
    broken = np.isnan(backend.numpy(y)).all(axis)
    assert broken.tolist() == [True, True, False, True, True, False, False, True]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("axis", [0, 1])
def test_gradient_by_differences(rng, axis, name):
    forward, backward = getattr(oracle, name), getattr(oracle, f"{name}_backward")
    x, dy = rng.standard_normal((2, 3, 5))
    want = numeric_gradient(lambda moved: float((forward(moved, axis) * dy).sum()), x)
    np.testing.assert_allclose(backward(dy, forward(x, axis), axis), want, atol=1e-8)


@pytest.mark.parametrize("axis", [0, 1])
def test_offsets_beyond_2_to_the_31(rng, axis):
    x = far_apart(rng.standard_normal((2, 5)).astype(np.float32))
    with pycnn.use_backend("emulator", checked=False):
        y, dx = pycnn.softmax(x, axis), pycnn.softmax_backward(x, x, axis)
    assert_matches(y, oracle.softmax(x, axis), "float32", 5)
    assert_matches(dx, oracle.softmax_backward(x, x, axis), "float32", 5)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(
    ("shape", "axis", "entry"),
    [
        ((301, 11), 1, "rows"),
        ((33, 101), 1, "rows"),
        ((19, 257), 1, "rows"),
        ((3, 2501), 1, "long_rows"),
        ((2, 21, 32, 40), 1, "columns"),
    ],
)
def test_moves_nothing_unnecessary(backend, rng, shape, axis, entry, dtype):
    x = backend.array(rng.standard_normal(shape).astype(dtype))
    with counted(backend) as forward:
        y = pycnn.softmax(x, axis)
    assert forward.entries == [f"softmax_{entry}"]
    with counted(backend) as backward:
        pycnn.softmax_backward(x, y, axis)
    assert backward.entries == [f"softmax_backward_{entry}"]
    for counters, arrays in ((forward.total, 2), (backward.total, 3)):
        assert counters.bytes_necessary == arrays * x.nbytes  # each read or written once
        assert counters.bytes_moved <= 1.1 * counters.bytes_necessary
        if min(shape[axis], *shape) > 100:
            assert counters.bank_conflicts == 0


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize(
    ("shape", "entry"), [((301, 64), "vectors"), ((33, 96), "vectors"), ((3, 4096), "vectors_long")]
)
def test_registers_move_each_byte_once(rng, shape, entry, dtype):
    x = rng.standard_normal(shape).astype(numpy_dtype(dtype))
    with pycnn.use_backend("emulator", checked=True):
        for function in (pycnn.softmax, pycnn.log_softmax):
            with counting() as log:
                function(x, 1)
            ((name, counters),) = log.launches
            assert name == f"softmax_{entry}"
            assert counters.bytes_moved == counters.bytes_necessary == 2 * x.nbytes
            assert counters.bank_conflicts == 0


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("length", [8, 40, 1000, 2048])
def test_vectors_from_anywhere(backend, rng, length, dtype):
    """Aligned and not, in and out: NaN, infinities and the rest as the oracle has them."""
    x = rng.standard_normal((7, length)).astype(numpy_dtype(dtype))
    x[1, 3], x[2, 5], x[3, 1], x[4] = NAN, INF, -INF, -INF
    x[5] = 50000 + 64 * x[5]
    x[6] = 6e4 if dtype == "float16" else -3.3e38
    moved = np.empty(x.size + 1, x.dtype)[1:].reshape(x.shape)
    moved[...] = x
    for name in ("softmax", "log_softmax"):
        with np.errstate(all="ignore"):
            want = getattr(oracle, name)(x, 1)
        for array in (x, moved):
            out = backend.array(np.empty(x.size + 1, x.dtype))[1:].reshape(x.shape)
            getattr(pycnn, name)(backend.array(array), 1, out=out)
            assert_matches(out, want, dtype, length, backend)


X = np.zeros((2, 6), np.float32)

BAD = {
    "list": (lambda: pycnn.softmax([1.0]), TypeError, "x is of type list"),
    "integers": (lambda: pycnn.softmax(X.astype(int)), TypeError, "x has dtype int64"),
    "rank": (lambda: pycnn.softmax(X[0, 0] * np.ones(())), TypeError, "x is of type float"),
    "axis of a number": (
        lambda: pycnn.log_softmax(np.array(1.0), 1),
        ValueError,
        "axis=1; allowed: -1 to 0",
    ),
    "axis high": (lambda: pycnn.softmax(X, 2), ValueError, "axis=2; allowed: -2 to 1"),
    "axis low": (lambda: pycnn.log_softmax(X, -3), ValueError, "axis=-3"),
    "axis float": (lambda: pycnn.softmax(X, 1.0), TypeError, "axis=1.0 is of type float"),
    "axis None": (lambda: pycnn.log_softmax(X, None), TypeError, "axis=None"),
    "out shape": (lambda: pycnn.softmax(X, out=X[:1].copy()), ValueError, "out has shape"),
    "out overlaps": (lambda: pycnn.softmax(X, out=X), ValueError, "out shares memory with x"),
    "shapes": (
        lambda: pycnn.softmax_backward(X, X[:, :2]),
        ValueError,
        r"dy has shape \(2, 6\).*\(2, 2\)",
    ),
    "mixed dtypes": (
        lambda: pycnn.log_softmax_backward(X, X.astype("f8")),
        TypeError,
        "y has dtype float64 but dy has float32",
    ),
}


test_bad_input = refused_on_both(BAD)


def test_too_many_axes_for_a_kernel():
    x = np.zeros((2,) * 10, np.float32).T
    with pycnn.use_backend("emulator"), pytest.raises(ValueError, match=r"9 axes .*allowed: 8"):
        pycnn.softmax(x)
