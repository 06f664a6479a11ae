"""Pooling on every backend, against the oracle."""

import numpy as np
import pytest
from op_checks import (
    DTYPES,
    VIEWS,
    assert_matches,
    far_apart,
    numeric_gradient,
    same_under_all_schedules,
    view_of,
)

import pycnn
from pycnn.reference.oracle import pool as oracle

NAN, INF = np.nan, np.inf

#: (H, W), kernel, stride, ((top, bottom), (left, right)), dilation, ceil mode
GEOMETRIES = {
    "2x2": ((7, 10), (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1), False),
    "3x3s2p1": ((11, 14), (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), False),
    "overlapping": ((6, 5), (3, 2), (1, 1), ((1, 1), (0, 0)), (1, 1), False),
    "asymmetric": ((9, 8), (4, 5), (3, 2), ((2, 0), (1, 2)), (1, 1), False),
    "ceil": ((8, 9), (3, 2), (2, 3), ((1, 1), (0, 0)), (1, 1), True),
    "ceil beyond the input": ((2, 5), (3, 3), (2, 4), ((0, 0), (1, 0)), (1, 1), True),
    "gaps": ((11, 13), (2, 3), (4, 5), ((0, 0), (0, 0)), (1, 1), False),
    "one window": ((5, 3), (5, 3), (1, 1), ((0, 0), (0, 0)), (1, 1), False),
    "one element": ((1, 1), (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), False),
    "dilated": ((10, 9), (3, 2), (2, 1), ((1, 0), (1, 1)), (2, 3), False),
    "dilated ceil": ((9, 12), (2, 3), (3, 2), ((0, 1), (1, 1)), (3, 2), True),
    "dilated over x": ((4, 9), (2, 2), (1, 1), ((1, 1), (1, 1)), (5, 8), False),
}
UNDILATED = {name: g for name, g in GEOMETRIES.items() if g[4] == (1, 1)}
IMAGES = (2, 3)


def arguments(geometry):
    """(shape, arguments of max_pool2d after x) of a geometry."""
    extents, *rest = geometry
    return (*IMAGES, *extents), rest


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", GEOMETRIES)
def test_max_matches_oracle(backend, rng, name, dtype):
    shape, args = arguments(GEOMETRIES[name])
    x = rng.standard_normal(shape).astype(dtype)
    want, where = oracle.max_pool2d(x, *args)
    y, indices = pycnn.max_pool2d(backend.array(x), *args, return_indices=True)
    assert_matches(y, want, dtype, backend=backend)
    np.testing.assert_array_equal(backend.numpy(indices), where)
    assert backend.numpy(indices).dtype == np.int64
    y_alone = pycnn.max_pool2d(backend.array(x), *args)
    np.testing.assert_array_equal(backend.numpy(y_alone), backend.numpy(y))
    dy = rng.standard_normal(where.shape).astype(dtype)
    dx = pycnn.max_pool2d_backward(*backend.views(dy, where), shape, *args)
    taps = args[0][0] * args[0][1]
    assert_matches(dx, oracle.max_pool2d_backward(dy, where, shape), dtype, taps, backend)


@pytest.mark.parametrize("divisor", [None, 7])
@pytest.mark.parametrize("count_include_pad", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UNDILATED)
def test_avg_matches_oracle(backend, rng, name, dtype, count_include_pad, divisor):
    shape, (kernel, stride, padding, _, ceil_mode) = arguments(UNDILATED[name])
    args = (kernel, stride, padding, ceil_mode, count_include_pad, divisor)
    x = rng.standard_normal(shape).astype(dtype)
    want = oracle.avg_pool2d(x, *args)
    taps = kernel[0] * kernel[1]
    y = pycnn.avg_pool2d(backend.array(x), *args)
    assert_matches(y, want, dtype, taps, backend)
    dy = rng.standard_normal(want.shape).astype(dtype)
    dx = pycnn.avg_pool2d_backward(backend.array(dy), shape, *args)
    assert_matches(dx, oracle.avg_pool2d_backward(dy, shape, *args), dtype, taps, backend)


@pytest.mark.parametrize("kind", VIEWS)
def test_views(backend, rng, kind):
    shape, args = arguments(GEOMETRIES["3x3s2p1"])
    kernel, stride, padding, _, ceil_mode = args
    x = view_of(rng.standard_normal(shape), kind)
    want, where = oracle.max_pool2d(x, *args)
    y = pycnn.max_pool2d(backend.array(x), *args)
    assert_matches(y, want, "float64", backend=backend)
    average = (kernel, stride, padding, ceil_mode, True, None)
    mean = pycnn.avg_pool2d(backend.array(x), *average)
    assert_matches(mean, oracle.avg_pool2d(x, *average), "float64", 9, backend)
    dy, where = view_of(rng.standard_normal(where.shape), kind), view_of(where, "transposed")
    dx = pycnn.max_pool2d_backward(*backend.views(dy, where), shape, *args)
    assert_matches(dx, oracle.max_pool2d_backward(dy, where, shape), "float64", 9, backend)
    dx = pycnn.avg_pool2d_backward(backend.array(dy), shape, *average)
    assert_matches(dx, oracle.avg_pool2d_backward(dy, shape, *average), "float64", 9, backend)


def test_special_values(backend):
    x = np.array([[-INF, -INF, 1, INF, NAN, 2, 2, NAN, -1, NAN]], np.float32)[None]
    y, indices = pycnn.max_pool2d(backend.array(x), (1, 2), stride=1, return_indices=True)
    want = [-INF, 1, INF, NAN, NAN, 2, NAN, NAN, NAN]
    np.testing.assert_array_equal(backend.numpy(y)[0, 0], want)
    assert backend.numpy(indices)[0, 0].tolist() == [0, 2, 3, 4, 4, 5, 7, 7, 9]
    y = pycnn.avg_pool2d(backend.array(x), (1, 2), stride=1)
    want = [-INF, -INF, INF, NAN, NAN, 2, NAN, NAN, NAN]
    np.testing.assert_array_equal(backend.numpy(y)[0, 0], want)


def test_several_maxima_send_the_gradient_to_the_first(backend):
    x = backend.array(np.ones((1, 2, 3)))
    y, indices = pycnn.max_pool2d(x, 2, stride=1, return_indices=True)
    dx = pycnn.max_pool2d_backward(y, indices, (1, 2, 3), 2, stride=1)
    assert backend.numpy(dx).tolist() == [[[1, 1, 0], [0, 0, 0]]]


def test_gradients_by_differences(backend, rng):
    x, dy = rng.standard_normal((1, 2, 5, 4)), rng.standard_normal((1, 2, 3, 3))
    window = {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}

    def max_loss(moved):
        y = pycnn.max_pool2d(backend.array(moved), **window)
        return float((backend.numpy(y) * dy).sum())

    def avg_loss(moved):
        y = pycnn.avg_pool2d(backend.array(moved), **window)
        return float((backend.numpy(y) * dy).sum())

    _, indices = pycnn.max_pool2d(backend.array(x), **window, return_indices=True)
    dx = pycnn.max_pool2d_backward(backend.array(dy), indices, x.shape, **window)
    np.testing.assert_allclose(backend.numpy(dx), numeric_gradient(max_loss, x), atol=1e-8)
    dx = pycnn.avg_pool2d_backward(backend.array(dy), x.shape, **window)
    np.testing.assert_allclose(backend.numpy(dx), numeric_gradient(avg_loss, x), atol=1e-8)


def test_without_a_batch(backend, rng):
    x = rng.standard_normal((3, 7, 5))
    y, indices = pycnn.max_pool2d(backend.array(x), 3, padding=1, return_indices=True)
    want, where = oracle.max_pool2d(x[None], (3, 3), (3, 3), ((1, 1), (1, 1)), (1, 1), False)
    np.testing.assert_array_equal(backend.numpy(y), want[0])
    np.testing.assert_array_equal(backend.numpy(indices), where[0])
    dx = pycnn.max_pool2d_backward(y, indices, x.shape, 3, padding=1)
    np.testing.assert_array_equal(
        backend.numpy(dx), oracle.max_pool2d_backward(want, where, (1, 3, 7, 5))[0]
    )
    mean = pycnn.avg_pool2d(backend.array(x), (2, 3))
    assert backend.numpy(mean).shape == (3, 3, 1)
    out = pycnn.avg_pool2d_backward(mean, x.shape, (2, 3))
    want = backend.numpy(out).copy()
    assert want.shape == x.shape
    out[...] = 9
    assert pycnn.avg_pool2d_backward(mean, x.shape, (2, 3), out=out) is out
    np.testing.assert_array_equal(backend.numpy(out), want)


@pytest.mark.parametrize("images", [(0, 3), (2, 0)])
def test_empty(backend, images):
    x = backend.array(np.zeros((*images, 5, 7), np.float32))
    y, indices = pycnn.max_pool2d(x, 2, return_indices=True)
    assert y.shape == indices.shape == pycnn.avg_pool2d(x, 2).shape == (*images, 2, 3)
    for dx in (
        pycnn.max_pool2d_backward(y, indices, x.shape, 2),
        pycnn.avg_pool2d_backward(y, x.shape, 2),
    ):
        assert dx.shape == x.shape
        assert dx.dtype == np.float32


def test_out(backend, rng):
    x = backend.array(rng.standard_normal((2, 3, 5, 4)))
    for pool in (pycnn.max_pool2d, pycnn.avg_pool2d):
        want = backend.numpy(pool(x, 2)).copy()
        out = pool(x, 2)
        out[...] = 9
        assert pool(x, 2, out=out) is out
        np.testing.assert_array_equal(backend.numpy(out), want)


def test_deterministic(backend, rng, monkeypatch):
    x = backend.array(rng.standard_normal((3, 5, 11, 9)).astype(np.float32))
    y, indices = pycnn.max_pool2d(x, 3, 1, 1, return_indices=True)
    same_under_all_schedules(
        backend,
        monkeypatch,
        lambda: pycnn.max_pool2d_backward(y, indices, x.shape, 3, 1, 1),
    )
    same_under_all_schedules(
        backend, monkeypatch, lambda: pycnn.avg_pool2d_backward(y, x.shape, 3, 1, 1)
    )


def test_offsets_beyond_2_to_the_31(rng):
    x = far_apart(rng.standard_normal((2, 3, 4, 5)).astype(np.float32))
    args = ((2, 2), (2, 2), ((0, 0), (0, 0)))
    want, where = oracle.max_pool2d(x, *args, (1, 1), False)
    dy = far_apart(want.astype(np.float32))
    with pycnn.use_backend("emulator", checked=False):
        assert_matches(pycnn.max_pool2d(x, 2), want, "float32")
        dx = pycnn.max_pool2d_backward(dy, where, x.shape, 2)
        assert_matches(dx, oracle.max_pool2d_backward(dy, where, x.shape), "float32")
        mean = oracle.avg_pool2d(x, *args, False, True, None)
        assert_matches(pycnn.avg_pool2d(x, 2), mean, "float32", 4)
        dx = pycnn.avg_pool2d_backward(dy, x.shape, 2)
        want = oracle.avg_pool2d_backward(dy, x.shape, *args, False, True, None)
        assert_matches(dx, want, "float32", 4)


X = np.zeros((2, 3, 5, 6), np.float32)
Y, WHERE = np.zeros((2, 3, 2, 3), np.float32), np.zeros((2, 3, 2, 3), np.int64)

BAD = {
    "rank": (lambda: pycnn.max_pool2d(X[0, 0], 2), ValueError, r"x has shape \(5, 6\) \(rank 2\)"),
    "integers": (lambda: pycnn.avg_pool2d(X.astype(int), 2), TypeError, "x has dtype int64"),
    "complex": (lambda: pycnn.max_pool2d(X + 1j, 2), TypeError, "x has dtype complex64"),
    "kernel 0": (lambda: pycnn.max_pool2d(X, 0), ValueError, "kernel_size=0; allowed: int >= 1"),
    "kernel float": (lambda: pycnn.avg_pool2d(X, 2.0), TypeError, "kernel_size=2.0 is of type"),
    "kernel triple": (lambda: pycnn.max_pool2d(X, (1, 2, 3)), ValueError, "kernel_size="),
    "kernel large": (
        lambda: pycnn.max_pool2d(X, 6),
        ValueError,
        r"kernel_size=\(6, 6\) .*x of shape \(2, 3, 5, 6\); allowed: a window no larger",
    ),
    "dilation large": (lambda: pycnn.max_pool2d(X, 3, dilation=3), ValueError, r"dilation=\(3, 3"),
    "stride 0": (lambda: pycnn.avg_pool2d(X, 2, 0), ValueError, "stride=0; allowed: int >= 1"),
    "stride nan": (lambda: pycnn.max_pool2d(X, 2, NAN), TypeError, "stride=nan is of type float"),
    "dilation 0": (lambda: pycnn.max_pool2d(X, 2, dilation=0), ValueError, "dilation=0"),
    "padding negative": (lambda: pycnn.avg_pool2d(X, 2, padding=-1), ValueError, "padding=-1"),
    "padding large": (
        lambda: pycnn.max_pool2d(X, 3, padding=2),
        ValueError,
        "padding=2 with kernel_size=3; allowed: at most half",
    ),
    "one side large": (
        lambda: pycnn.avg_pool2d(X, 3, padding=((0, 0), (0, 2))),
        ValueError,
        "padding=.*at most half",
    ),
    "ceil mode": (lambda: pycnn.max_pool2d(X, 2, ceil_mode=1), TypeError, "ceil_mode=1"),
    "indices flag": (lambda: pycnn.max_pool2d(X, 2, return_indices=1), TypeError, "return_indices"),
    "include pad": (
        lambda: pycnn.avg_pool2d(X, 2, count_include_pad=None),
        TypeError,
        "count_include_pad=None",
    ),
    "divisor 0": (
        lambda: pycnn.avg_pool2d(X, 2, divisor_override=0),
        ValueError,
        "divisor_override=0; allowed: int >= 1",
    ),
    "no height": (lambda: pycnn.max_pool2d(X[:, :, :0], 1), ValueError, r"x has shape .*H and W"),
    "out shape": (lambda: pycnn.max_pool2d(X, 2, out=X.copy()), ValueError, "out has shape"),
    "out overlaps": (lambda: pycnn.avg_pool2d(X, 1, out=X), ValueError, "out shares memory with x"),
    "dy shape": (
        lambda: pycnn.avg_pool2d_backward(Y[:, :, 1:], X.shape, 2),
        ValueError,
        r"dy has shape \(2, 3, 1, 3\); allowed: \(2, 3, 2, 3\)",
    ),
    "x_shape rank": (
        lambda: pycnn.avg_pool2d_backward(Y, (5, 6), 2),
        ValueError,
        r"x_shape=\(5, 6\)",
    ),
    "x_shape float": (
        lambda: pycnn.avg_pool2d_backward(Y, (2, 3, 5.0, 6), 2),
        TypeError,
        "x_shape=5.0",
    ),
    "indices dtype": (
        lambda: pycnn.max_pool2d_backward(Y, WHERE.astype("i4"), X.shape, 2),
        TypeError,
        "indices has dtype int32; allowed: int64",
    ),
    "indices shape": (
        lambda: pycnn.max_pool2d_backward(Y, WHERE[:1], X.shape, 2),
        ValueError,
        "indices has shape",
    ),
    "indices high": (
        lambda: pycnn.max_pool2d_backward(Y, WHERE + 30, X.shape, 2),
        ValueError,
        "indices holds 30; allowed: -1 to",
    ),
    "indices low": (
        lambda: pycnn.max_pool2d_backward(Y, WHERE - 2, X.shape, 2),
        ValueError,
        "indices holds -2; allowed: -1 to",
    ),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("selected", ["reference", "emulator"])
def test_bad_input(selected, case):
    call, error, message = BAD[case]
    with pycnn.use_backend(selected), pytest.raises(error, match=message):
        call()
