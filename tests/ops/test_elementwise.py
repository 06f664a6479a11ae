"""What is special to sums and products: broadcasting, and sums over broadcast axes."""

import numpy as np
import pytest
from op_checks import assert_matches, counted, far_apart, refused_on_both, same_under_all_schedules

import pycnn
from pycnn.emulator import counting
from pycnn.reference.oracle import elementwise as oracle


@pytest.mark.parametrize("seed", range(12))
def test_random_broadcasts(backend, seed):
    """Any mixture of axes that are missing, of extent one, and whole; views, too."""
    rng = np.random.default_rng(seed)
    whole = tuple(int(e) for e in rng.integers(1, 6, rng.integers(1, 5)))
    a, b = (
        np.asarray(
            rng.standard_normal([e if rng.random() < 0.6 else 1 for e in whole])[
                (0,) * int(rng.integers(0, len(whole)))
            ]
        )
        for _ in range(2)
    )
    a = np.asfortranarray(a)
    shape = np.broadcast_shapes(a.shape, b.shape)
    dy = rng.standard_normal(shape)
    y = pycnn.mul(*backend.views(a, b))
    np.testing.assert_array_equal(backend.numpy(y), a * b)
    for got, want in zip(
        pycnn.mul_backward(*backend.views(dy, a, b)),
        oracle.mul_backward(dy, a, b),
        strict=True,
    ):
        assert_matches(got, want, "float64", dy.size, backend)
    for got, want in zip(
        pycnn.add_backward(*backend.views(dy), a.shape, b.shape, alpha=3),
        oracle.add_backward(dy, a.shape, b.shape, 3),
        strict=True,
    ):
        assert_matches(got, want, "float64", dy.size, backend)


#: Shapes of dy and of what was broadcast: sums in one part and in several, along rows and columns.
SUMS = {
    "rows": ((3, 5, 7), (5, 1)),
    "rows in parts": ((2, 3, 41, 43), (3, 1, 1)),
    "all": ((37, 129), ()),
    "columns": ((70, 37), (37,)),
    "columns in parts": ((1031, 37), (37,)),
}


@pytest.mark.parametrize("kind", SUMS)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_sums_over_broadcast_axes(backend, rng, monkeypatch, kind, dtype):
    shape, own = SUMS[kind]
    dy, a, b = (rng.standard_normal(s).astype(dtype) for s in (shape, shape, own))
    want = oracle.mul_backward(dy, a, b)
    with counting() as counted:
        got = pycnn.mul_backward(*backend.views(dy, a, b))
    for actual, expected in zip(got, want, strict=True):
        assert_matches(actual, expected, dtype, dy.size // max(1, expected.size), backend)
    if backend.name == "checked":
        entry = f"mul_backward_{'columns' if 'columns' in kind else 'rows'}"
        several = "parts" in kind or kind == "all"
        assert counted.entries == ([entry, "partial_sums"] if several else [entry])
    views = backend.views(dy, a, b)
    same_under_all_schedules(backend, monkeypatch, lambda: pycnn.mul_backward(*views)[1])


def test_rows_are_loaded_16_bytes_wide(backend, rng):
    """A bias is broadcast along rows of whole vectors: no element of the map is loaded alone."""
    a, bias = rng.standard_normal((3, 16, 16, 16)), rng.standard_normal((16, 1, 1))
    with counted(backend) as traffic:
        y = pycnn.add(*backend.views(a.astype("f4"), bias.astype("f4")))
    assert backend.numpy(y).dtype == np.float32
    counters = traffic.total
    assert counters.global_store_sectors == 16 * counters.global_store_requests
    assert counters.bytes_moved <= 1.1 * counters.bytes_necessary


def test_a_16_bit_sum_is_rounded_once(backend):
    ones = [np.full(9, v, np.float16) for v in (2048, 1, 1)]
    got = backend.numpy(pycnn.add_n(backend.views(*ones)))
    np.testing.assert_array_equal(got, 2050)  # 2048 + 1 is 2048 in float16


def test_nan_and_infinities(backend):
    a, b = np.array([np.nan, np.inf, np.inf, 0.0]), np.array([1.0, -np.inf, 2.0, np.inf])
    with np.errstate(invalid="ignore"):
        for function, want in ((pycnn.add, a + b), (pycnn.mul, a * b)):
            np.testing.assert_array_equal(backend.numpy(function(*backend.views(a, b))), want)


def test_offsets_beyond_2_to_the_31():
    x = far_apart(np.array([[1, -2, 3], [-4, 5, -6]], np.float32))
    with pycnn.use_backend("emulator", checked=False):
        assert pycnn.add(x, x).tolist() == [[2, -4, 6], [-8, 10, -12]]
        _, db = pycnn.mul_backward(x, x, np.zeros(3, np.float32))
        assert db.tolist() == [17, 29, 45]


X = np.zeros((2, 6), np.float32)
BAD = {
    "shapes": (
        lambda: pycnn.add(X, X[:, :4]),
        ValueError,
        r"shapes do not broadcast: a \(2, 6\), b \(2, 4\); allowed",
    ),
    "alpha": (lambda: pycnn.add(X, X, alpha="2"), TypeError, "alpha='2' is of type str"),
    "dy": (
        lambda: pycnn.mul_backward(X[:1], X, X),
        ValueError,
        r"dy has shape \(1, 6\); allowed: \(2, 6\)",
    ),
    "shape of a": (lambda: pycnn.add_backward(X, 12, (6,)), TypeError, "a_shape=12; allowed"),
    "negative shape": (
        lambda: pycnn.add_backward(X, (-2, 6), (6,)),
        ValueError,
        "a_shape=-2; allowed: int >= 0",
    ),
    "out is broadcast": (
        lambda: pycnn.mul(X[:1], X, out=X[:1]),
        ValueError,
        r"out has shape \(1, 6\)",
    ),
    "out overlaps": (
        lambda: pycnn.add(X, X[:1], out=X),
        ValueError,
        "out shares memory with b",
    ),
    "no list": (lambda: pycnn.add_n(X), TypeError, "tensors is of type ndarray; allowed: a list"),
    "none": (lambda: pycnn.add_n([]), ValueError, "tensors has 0 arrays; allowed: .* 1 to 8"),
    "nine": (lambda: pycnn.add_n([X] * 9), ValueError, "tensors has 9 arrays"),
    "mixed": (
        lambda: pycnn.add_n([X, X.astype("f8")]),
        TypeError,
        r"tensors\[1\] has dtype float64 but tensors\[0\] has float32",
    ),
    "no shapes": (lambda: pycnn.add_n_backward(X, [6]), TypeError, r"shapes\[0\]=6; allowed"),
}


test_bad_input = refused_on_both(BAD)
