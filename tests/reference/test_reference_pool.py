"""Pooling: the oracle by hand-worked values, and the CPU path against it where the table of cases
does not reach: blocks of planes, many taps, special values."""

import numpy as np
import pytest

from pycnn.reference.cpu import _axis, pool as cpu
from pycnn.reference.oracle import _window, pool as oracle
from pycnn.shapes import conv_out
from pycnn.testing.tolerance import compare

NAN, INF = np.nan, np.inf

#: Shape of x and, for each axis, kernel, stride, (low, high), dilation, ceil mode.
SLIDING = {
    "halves": ((2, 3, 6, 7), [(2, 2, (0, 0), 1, False)] * 2),
    "ceil": ((2, 1, 5, 8), [(3, 4, (1, 1), 1, True), (4, 5, (2, 2), 1, True)]),
    "asymmetric": ((2, 3, 7, 9), [(3, 2, (1, 0), 1, False), (2, 2, (0, 1), 1, False)]),
    "dilated": ((2, 3, 9, 12), [(2, 1, (0, 0), 3, False), (3, 2, (1, 1), 2, True)]),
    "over the input": ((2, 3, 4, 6), [(2, 1, (1, 1), 5, False), (2, 1, (1, 1), 3, False)]),
    "volume": ((1, 2, 5, 4, 6), [(3, 2, (1, 1), 1, False)] * 3),
    "line": ((2, 3, 11), [(4, 3, (2, 1), 1, True)]),
    "more planes than a block": ((3, 37, 56, 50), [(3, 2, (1, 1), 1, False)] * 2),
    "many taps": ((2, 3, 40, 30), [(19, 3, (9, 9), 1, True), (17, 2, (8, 8), 1, True)]),
    "no images": ((0, 3, 6, 7), [(3, 2, (1, 1), 1, False)] * 2),
}


def described(name):
    """(shape, windows for the oracle, axes for the CPU path)."""
    shape, along = SLIDING[name]
    windows, axes = [], []
    for extent, (kernel, stride, pad, dilation, ceil_mode) in zip(shape[2:], along, strict=True):
        out = conv_out(extent, *pad, kernel, stride, dilation, ceil_mode)
        windows.append(_window.sliding(extent, out, kernel, stride, pad[0], dilation))
        axes.append(_axis.Sliding(extent, out, kernel, stride, *pad, dilation))
    return shape, windows, axes


def test_max_pool_by_hand():
    x = np.array([[[[1, 5, 2], [5, 0, 2], [3, 3, -1]]]], np.float32)
    y, indices = oracle.max_pool(x, [_window.sliding(3, 2, 2)] * 2)
    assert (y.dtype, indices.dtype) == (np.float64, np.int64)
    assert y[0, 0].tolist() == [[5, 5], [5, 3]]
    assert indices[0, 0].tolist() == [[1, 1], [3, 7]]
    dy = np.array([[[[1.0, 2.0], [4.0, 8.0]]]])
    dx = oracle.max_pool_backward(dy, indices, x.shape)
    assert dx[0, 0].tolist() == [[0, 3, 0], [4, 0, 0], [0, 8, 0]]


def test_max_pool_takes_the_last_nan_and_never_the_padding():
    x = np.array([[[[-INF, NAN, NAN], [-INF, NAN, INF], [-INF, -INF, INF]]]])
    y, indices = oracle.max_pool(x, [_window.sliding(3, 2, 2)] * 2)
    np.testing.assert_array_equal(y[0, 0], [[NAN, NAN], [NAN, NAN]])
    assert indices[0, 0].tolist() == [[4, 4], [4, 4]]
    rows, one = _window.sliding(3, 3, 3, 1, 1), _window.sliding(1, 1, 1)
    y, indices = oracle.max_pool(x[..., :1], [rows, one])
    assert (y.ravel().tolist(), indices.ravel().tolist()) == ([-INF] * 3, [0, 0, 1])


def test_windows_by_hand():
    assert _window.sliding(4, 1, 2, 1, 1, 5) == [range(0)]  # taps at -1 and 4
    assert _window.sliding(5, 3, 3, 2, 1, 2) == [range(1, 4, 2), range(1, 4, 2), range(3, 4, 2)]
    assert _window.adaptive(3, 5) == [
        range(1), range(2), range(1, 2), range(1, 3), range(2, 3)
    ]  # fmt: skip


def test_avg_pool_by_hand():
    """Three windows over five values with one zero in front; the last hangs over by one."""
    x = np.array([[[1.0, 2, 6, 12, 5]]])
    windows = [_window.sliding(5, 3, 3, 2, 1)]

    def divisors(include):
        return oracle.divisors((5,), windows, (3,), (2,), ((1, 0),), (1,), include)

    for divisor, expected in [
        (divisors(True), [1, 20 / 3, 8.5]),
        (divisors(False), [1.5, 20 / 3, 8.5]),
        (2.0, [1.5, 10, 8.5]),
        (oracle.sizes(windows), [1.5, 20 / 3, 8.5]),
    ]:
        y = oracle.avg_pool(x, windows, divisor)
        assert y.ravel().tolist() == pytest.approx(expected)
    dx = oracle.avg_pool_backward(np.array([[[3.0, 6, 5]]]), x.shape, windows, divisors(True))
    assert dx.ravel().tolist() == pytest.approx([1, 3, 2, 4.5, 2.5])


def test_lp_pool_by_hand():
    """The last window has one of its two taps, and stands for both."""
    x, windows = np.array([[[3.0, 4, 5]]]), [_window.sliding(3, 2, 2, 2)]
    share = np.array([1, 0.5])
    y = oracle.lp_pool(x, windows, 2, share)
    assert y.ravel().tolist() == pytest.approx([5, 50**0.5])
    dx = oracle.lp_pool_backward(np.array([[[10.0, 1.0]]]), x, y, windows, 2, share)
    assert dx.ravel().tolist() == pytest.approx([6, 8, 2 * 5 / 50**0.5])


def test_max_unpool_by_hand():
    x, indices = np.array([[[1.0, 2, 3, 4]]]), np.array([[[5, 1, 5, -1]]])
    y = oracle.max_unpool(x, indices, (2, 3))
    assert y.tolist() == [[[[0, 2, 0], [0, 0, 3]]]]
    assert oracle.max_unpool_backward(y, indices).tolist() == [[[3, 2, 3, 0]]]
    np.testing.assert_array_equal(cpu.max_unpool(x, indices, (2, 3)), y)
    np.testing.assert_array_equal(cpu.max_unpool_backward(y, indices), [[[3, 2, 3, 0]]])


@pytest.mark.parametrize("special", [0.0, NAN, INF, -INF])
@pytest.mark.parametrize("name", SLIDING)
def test_cpu_max_pool_matches_oracle(name, special, rng):
    """Few distinct values, so that windows hold ties."""
    shape, windows, axes = described(name)
    x = rng.integers(-3, 4, shape).astype(np.float32)
    x[x == 2] = special
    want, want_indices = oracle.max_pool(x, windows)
    y, indices = cpu.max_pool(x, axes)
    assert (y.dtype, indices.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(indices, want_indices)
    alone, none = cpu.max_pool(x, axes, with_indices=False)
    np.testing.assert_array_equal(alone, want)
    assert none is None
    dy = rng.standard_normal(y.shape).astype(np.float32)
    dx = cpu.max_pool_backward(dy, indices, x.shape)
    assert dx.dtype == np.float32
    error, allowed = compare(dx, oracle.max_pool_backward(dy, indices, x.shape), "float32")
    assert error <= allowed


@pytest.mark.parametrize("include_pad", [True, False])
@pytest.mark.parametrize("name", SLIDING)
def test_cpu_avg_pool_matches_oracle(name, include_pad, rng):
    shape, windows, axes = described(name)
    x = rng.standard_normal(shape).astype(np.float32)
    x[x > 2.5] = INF
    of = SLIDING[name][1]
    kernel, stride, pad, dilation = ([a[i] for a in of] for i in range(4))
    divisor = oracle.divisors(shape[2:], windows, kernel, stride, pad, dilation, include_pad)
    np.testing.assert_array_equal(cpu.divisors(axes, include_pad), divisor)
    want = oracle.avg_pool(x, windows, divisor)
    dy = rng.standard_normal(want.shape).astype(np.float32)
    want_dx = oracle.avg_pool_backward(dy, x.shape, windows, divisor)
    y = cpu.avg_pool(x, axes, divisor)
    dx = cpu.avg_pool_backward(dy, x.shape, axes, divisor)
    for got, expected in ((y, want), (dx, want_dx)):
        assert got.dtype == np.float32
        error, allowed = compare(got, expected, "float32", int(np.prod(kernel)))
        assert error <= allowed


def test_cpu_pool_reads_views_and_writes_into_out(rng):
    x = rng.standard_normal((6, 13, 14)).transpose(2, 0, 1)[None, :, :, ::2]
    axes = [_axis.Sliding(6, 3, 3, 2, 1, 1), _axis.Sliding(7, 8, 2, 1, 1, 1)]
    windows = [_window.sliding(6, 3, 3, 2, 1), _window.sliding(7, 8, 2, 1, 1)]
    out = np.empty((1, 14, 3, 16))[..., ::2]
    y, _ = cpu.max_pool(x, axes, out=out)
    assert y is out
    np.testing.assert_array_equal(y, oracle.max_pool(x, windows)[0])
    divisor = cpu.divisors(axes, True)
    assert cpu.avg_pool(x, axes, divisor, out=out) is out
    np.testing.assert_allclose(out, oracle.avg_pool(x, windows, divisor), atol=1e-15)
