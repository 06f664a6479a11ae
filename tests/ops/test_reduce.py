"""Reductions: NaN, ties, several stages, bad input; the rest is in test_every_operation."""

import numpy as np
import pytest
from op_checks import assert_matches, far_apart, numeric_gradient, refused_on_both, view_of

import pycnn
from pycnn.dtypes import numpy_dtype
from pycnn.emulator import counting
from pycnn.reference.oracle import reduce as oracle
from pycnn.testing import TESTED
from pycnn.testing.case import Case

NAN, INF = np.nan, np.inf
NAMES = {"sum": "total", "mean": "mean", "amax": "amax", "amin": "amin"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("shape", "axes"), [((1, 300007), (0, 1)), ((20011, 5), (0,))], ids=str)
def test_parts_of_long_slices(backend, rng, name, shape, axes):
    x = rng.standard_normal(shape).astype(np.float32)
    want = getattr(oracle, NAMES[name])(x, axes, False)
    terms = int(np.prod([shape[a] for a in axes]))
    with counting() as log:
        y = getattr(pycnn, name)(backend.array(x), axes)
    assert_matches(y, want, "float32", terms if name in ("sum", "mean") else 1, backend)
    if backend.name == "checked":
        assert log.entries[-1] == "reduce_finish"
        few = len(axes) == 1  # short rows across which few threads of a warp find work
        assert log.total.bytes_moved <= (2 if few else 1.1) * x.nbytes


@pytest.mark.parametrize("name", ["amax", "amin", "sum", "mean"])
@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("width", [5, 1100])
def test_special_values(backend, name, across, width):
    rows = np.zeros((6, width), np.float32)
    rows[0, 3] = NAN
    rows[1, 1:3] = [INF, NAN]
    rows[2, 1] = -INF
    rows[3] = -INF
    rows[4, :2] = [INF, -INF]
    x, axis = (rows.T, 0) if across else (rows, 1)
    y = getattr(pycnn, name)(backend.array(x), axis)
    with np.errstate(invalid="ignore"):
        want = getattr(oracle, NAMES[name])(x, (axis,), False)
    np.testing.assert_array_equal(backend.numpy(y), want.astype(np.float32))


@pytest.mark.parametrize("width", [7, 1100])
@pytest.mark.parametrize("across", [False, True])
def test_first_of_equal_elements(backend, across, width):
    rows = np.zeros((5, width), np.float32)
    rows[1, [2, 4, -1]] = 3
    rows[2, [3, 5]] = NAN
    rows[2, 1] = INF
    rows[3] = -INF
    rows[4, ::2] = -0.0
    x, axis = (rows.T, 0) if across else (rows, 1)
    y = pycnn.argmax(backend.array(x), axis)
    np.testing.assert_array_equal(backend.numpy(y), [0, 2, 3, 0, 0])
    y = pycnn.argmin(backend.array(-x), axis)
    np.testing.assert_array_equal(backend.numpy(y), [0, 2, 3, 0, 0])


@pytest.mark.parametrize("kind", ["contiguous", "transposed", "stepped"])
def test_place_among_all_elements(backend, rng, kind):
    x = view_of(rng.integers(0, 50, (7, 11, 13)).astype(np.float64), kind)
    assert backend.numpy(pycnn.argmax(backend.array(x))) == x.argmax()
    assert backend.numpy(pycnn.argmin(backend.array(x))) == x.argmin()


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_no_places_of_nothing(backend, name):
    x = backend.array(np.zeros((2, 0, 0, 3)))
    assert getattr(pycnn, name)(x, 1).shape == (2, 0, 3)


def test_place_in_a_long_slice(backend, rng):
    x = rng.integers(0, 1000, 300007).astype(np.float32)
    assert backend.numpy(pycnn.argmax(backend.array(x))) == x.argmax()
    assert backend.numpy(pycnn.argmin(backend.array(x))) == x.argmin()


@pytest.mark.parametrize("axes", [(1,), (0, 2)])
@pytest.mark.parametrize("name", ["amax", "amin"])
def test_equal_elements_share_the_gradient(backend, rng, name, axes):
    x = rng.integers(-1, 2, (5, 4, 3)).astype(np.float32)
    x[0, 0, 0] = NAN
    y = getattr(oracle, name)(x, axes, False).astype(np.float32)
    dy = rng.standard_normal(y.shape).astype(np.float32)
    dx = getattr(pycnn, f"{name}_backward")(*backend.views(dy, x, y), axes)
    assert_matches(dx, oracle.extreme_backward(dy, x, y, axes), "float32", 1, backend)
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra torch)")
    source = torch.from_numpy(x.copy()).requires_grad_()
    getattr(torch, name)(source, axes).backward(torch.from_numpy(dy))
    np.testing.assert_allclose(backend.numpy(dx), source.grad.numpy(), rtol=1e-6)


def test_gradient_of_a_long_slice(backend, rng):
    x = rng.integers(0, 9, 2**17).astype(np.float32)
    y, dy = np.float32(8), np.array(3, np.float32)
    dx = pycnn.amax_backward(*backend.views(dy, x, np.array(y)))
    assert_matches(dx, oracle.extreme_backward(dy, x, np.array(y), (0,)), "float32", 1, backend)


def test_gradients_by_differences(rng):
    x, axes = rng.standard_normal((3, 4, 2)), (0, 2)
    dy = rng.standard_normal(4)

    def total(moved):
        return float((oracle.total(moved, axes, False) * dy).sum())

    def largest(moved):
        return float((oracle.amax(moved, axes, False) * dy).sum())

    dx = oracle.total_backward(dy, x.shape, axes)
    np.testing.assert_allclose(dx, numeric_gradient(total, x), atol=1e-8)
    dx = oracle.extreme_backward(dy, x, oracle.amax(x, axes, False), axes)
    np.testing.assert_allclose(dx, numeric_gradient(largest, x), atol=1e-8)


def test_sums_of_half_precision_are_formed_in_float32(backend):
    x = backend.array(np.full(5000, 1, np.float16))
    assert backend.numpy(pycnn.sum(x)) == 5000  # beyond 2048 a float16 swallows a one
    assert backend.numpy(pycnn.mean(backend.array(np.full(5000, 60000, np.float16)))) == 60000


@pytest.mark.parametrize("axis", [0, 1])
def test_offsets_beyond_2_to_the_31(rng, axis):
    x = far_apart(rng.standard_normal((2, 5)).astype(np.float32))
    with pycnn.use_backend("emulator", checked=False):
        total, place = pycnn.sum(x, axis), pycnn.argmax(x, axis)
    assert_matches(total, oracle.total(x, (axis,), False), "float32", 5)
    np.testing.assert_array_equal(place, x.argmax(axis))


X = np.zeros((2, 6), np.float32)
ONE = np.ones((), np.float32)

BAD = {
    "axis high": (lambda: pycnn.sum(X, 2), ValueError, "axis=2; allowed: -2 to 1"),
    "axis twice": (lambda: pycnn.mean(X, (0, -2)), ValueError, "axis=.*; allowed: every axis once"),
    "no axis": (lambda: pycnn.amax(X, ()), ValueError, r"axis=\(\); allowed: an int"),
    "axis float": (lambda: pycnn.amin(X, 1.0), TypeError, "axis=1.0 is of type float"),
    "argmax axes": (lambda: pycnn.argmax(X, (0, 1)), TypeError, r"axis=\(0, 1\) is of type tuple"),
    "keepdims": (lambda: pycnn.sum(X, 0, 1), TypeError, "keepdims=1 is of type int"),
    "largest of nothing": (
        lambda: pycnn.amax(X[:, :0], 1),
        ValueError,
        "nothing along axis .*at least one element",
    ),
    "place of nothing": (lambda: pycnn.argmax(X[:0]), ValueError, "at least one element"),
    "shape": (lambda: pycnn.sum_backward(ONE, 6), TypeError, "shape=6 is of type int"),
    "shape negative": (lambda: pycnn.sum_backward(ONE, (-1,)), ValueError, "shape=-1"),
    "dy": (
        lambda: pycnn.mean_backward(ONE, (2, 6), 0),
        ValueError,
        r"dy has shape \(\); allowed: \(6,\)",
    ),
    "y": (
        lambda: pycnn.amax_backward(X[0], X, X[:, 0], 0),
        ValueError,
        r"y has shape \(2,\); allowed: \(6,\)",
    ),
}


test_bad_input = refused_on_both(BAD)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("name", ["sum", "mean", "amax", "amin"])
def test_rows_of_whole_vectors(backend, rng, name, dtype):
    """A few lanes a row, rows that fill no block, lanes without a vector; aligned and not."""
    tested = TESTED[name]
    for shape, axis in (((3, 7, 40), 2), ((5, 16), (1,)), ((3, 5, 8), (1, 2)), ((9, 1000), 1)):
        x = rng.standard_normal(shape).astype(numpy_dtype(dtype))
        x[1, ..., 3] = np.nan
        x[2, ..., 0] = np.inf
        chosen = {"axis": axis}
        (want,) = tested.oracle(tested.settings(Case("", {}, chosen)), {"x": x}).values()
        short = x.nbytes // x.shape[0] <= 2048 or len(shape) > 2
        for view in (x, view_of(x, "misaligned")):
            plan = tested.op.plan(tested.op.describe({"x": view}, **chosen))
            assert (plan.algo == "vectors") == short
            (got,) = tested.invoke(getattr(pycnn, name), {"x": backend.array(view)}, chosen)
            assert_matches(got, want, dtype, 1000, backend)
