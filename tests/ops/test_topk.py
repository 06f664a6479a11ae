"""Top-k: ties, NaN, limits, bad input; the rest is in test_every_operation."""

import numpy as np
import pytest
from op_checks import assert_matches, far_apart, refused_on_both

import pycnn
from pycnn.reference.oracle import topk as oracle

NAN, INF = np.nan, np.inf


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("k", [1, 3, 64, 300])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_ties_in_order_of_their_place(backend, rng, dtype, k, largest):
    x = rng.integers(-3, 4, (3, 300)).astype(dtype)
    x[1, ::7] = [NAN] * 43
    x[2, ::3] = -0.0
    x[2, 5:7] = [INF, -INF]
    want_values, want = oracle.topk(x, k, 1, largest)
    values, indices = pycnn.topk(backend.array(x), k, largest=largest)
    np.testing.assert_array_equal(backend.numpy(indices), want)
    np.testing.assert_array_equal(backend.numpy(values), want_values.astype(dtype))


def test_nan_counts_as_the_largest(backend):
    x = backend.array(np.array([1, NAN, INF, 2, -INF], np.float32))
    _, indices = pycnn.topk(x, 3)
    assert backend.numpy(indices).tolist() == [1, 2, 3]
    _, indices = pycnn.topk(x, 5, largest=False)
    assert backend.numpy(indices).tolist() == [4, 0, 3, 2, 1]


def test_values_are_the_elements_themselves(backend):
    values, _ = pycnn.topk(backend.array(np.array([-0.0, -1.0])), 1)
    assert np.signbit(backend.numpy(values))


def test_more_than_kernels_can_sort():
    x = np.zeros(2000, np.float32)
    assert pycnn.topk(x, 1500)[0].shape == (1500,)  # the CPU path can
    with pycnn.use_backend("emulator"), pytest.raises(ValueError, match=r"k=1500; .*up to 1024"):
        pycnn.topk(x, 1500)


def test_offsets_beyond_2_to_the_31(rng):
    x = far_apart(rng.standard_normal((2, 5)).astype(np.float32))
    with pycnn.use_backend("emulator", checked=False):
        values, indices = pycnn.topk(x, 2)
        first, _ = pycnn.topk(x, 1, axis=0)
    want_values, want = oracle.topk(x, 2, 1, True)
    np.testing.assert_array_equal(indices, want)
    assert_matches(values, want_values, "float32")
    np.testing.assert_array_equal(first[0], x.max(0))


X, PLACES = np.zeros((2, 6), np.float32), np.zeros((2, 1), np.int64)

BAD = {
    "k zero": (lambda: pycnn.topk(X, 0), ValueError, "k=0; allowed: int >= 1"),
    "k high": (lambda: pycnn.topk(X, 7), ValueError, "k=7; allowed: 1 to 6"),
    "k float": (lambda: pycnn.topk(X, 1.0), TypeError, "k=1.0 is of type float"),
    "axis": (lambda: pycnn.topk(X, 1, 2), ValueError, "axis=2; allowed: -2 to 1"),
    "largest": (lambda: pycnn.topk(X, 1, largest=1), TypeError, "largest=1 is of type int"),
    "sorted": (lambda: pycnn.topk(X, 1, sorted=None), TypeError, "sorted=None"),
    "rank": (lambda: pycnn.topk(X[0, :1].reshape(()), 1), ValueError, r"x has shape \(\)"),
    "indices dtype": (
        lambda: pycnn.topk_backward(X[:, :1], PLACES.astype("i4"), (2, 6)),
        TypeError,
        "indices has dtype int32",
    ),
    "index high": (
        lambda: pycnn.topk_backward(X[:, :1], PLACES + 6, (2, 6)),
        ValueError,
        "indices holds 6; allowed: 0 to 5",
    ),
    "index low": (
        lambda: pycnn.topk_backward(X[:, :1], PLACES - 1, (2, 6)),
        ValueError,
        "indices holds -1",
    ),
    "shape": (
        lambda: pycnn.topk_backward(X[:, :1], PLACES, (3, 6)),
        ValueError,
        r"dy has shape \(2, 1\); allowed: \(3, 1\)",
    ),
    "shape small": (
        lambda: pycnn.topk_backward(X, X.astype(int), (2, 5)),
        ValueError,
        r"shape=\(2, 5\); allowed",
    ),
}


test_bad_input = refused_on_both(BAD)
