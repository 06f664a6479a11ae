"""Pooling: the oracle against hand-worked values, finite differences and PyTorch, and the CPU path
against the oracle."""

from dataclasses import astuple, dataclass

import numpy as np
import pytest

from pycnn.reference.cpu import pool as cpu
from pycnn.reference.oracle import pool as oracle
from pycnn.tolerance import compare

NAN, INF = np.nan, np.inf


@dataclass(frozen=True)
class Case:
    x: tuple[int, int, int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    dilation: tuple[int, int] = (1, 1)
    ceil_mode: bool = False

    def __str__(self) -> str:
        return "-".join(str(v).replace(" ", "") for v in astuple(self))

    @property
    def max_geometry(self) -> tuple:
        return self.kernel, self.stride, self.padding, self.dilation, self.ceil_mode

    @property
    def avg_geometry(self) -> tuple:
        return self.kernel, self.stride, self.padding, self.ceil_mode

    @property
    def symmetric(self) -> tuple[int, int] | None:
        """Padding as PyTorch takes it."""
        (top, bottom), (left, right) = self.padding
        return (top, left) if top == bottom and left == right else None


ONE = ((1, 1), (1, 1))
UNDILATED = [
    Case((2, 3, 6, 7), (2, 2), (2, 2)),
    Case((2, 3, 6, 7), (2, 2), (2, 2), ceil_mode=True),
    Case((1, 2, 9, 11), (3, 2), (2, 3), ONE),
    Case((1, 2, 9, 11), (3, 2), (2, 3), ONE, ceil_mode=True),
    Case((2, 1, 5, 8), (3, 4), (4, 5), ((1, 1), (2, 2)), ceil_mode=True),
    Case((3, 5, 13, 10), (3, 3), (1, 1), ONE),
    Case((1, 1, 3, 3), (3, 3), (3, 3)),
    Case((0, 3, 6, 7), (3, 3), (2, 2), ONE),
]
DILATED = [
    Case((2, 3, 9, 12), (2, 3), (1, 2), ((0, 0), (1, 1)), (3, 2)),
    Case((2, 3, 9, 12), (3, 2), (2, 2), ONE, (2, 4), ceil_mode=True),
]
ASYMMETRIC = [
    Case((2, 3, 7, 9), (3, 2), (2, 2), ((1, 0), (0, 1))),
    Case((2, 3, 8, 9), (3, 4), (3, 2), ((0, 1), (2, 1)), ceil_mode=True),
]
#: More planes than one block holds, more taps than a byte counts, a window off the input.
BLOCKED = [
    Case((3, 37, 56, 50), (3, 2), (2, 2), ONE),
    Case((2, 3, 40, 30), (19, 17), (3, 2), ((9, 9), (8, 8)), ceil_mode=True),
]
OFF = Case((2, 3, 4, 6), (2, 2), (1, 1), ONE, (5, 3))
DIVISORS = [(True, None), (False, None), (True, 7), (False, 3)]


def image(rng, shape):
    """Few distinct values, so that windows hold ties."""
    return rng.integers(-3, 4, shape).astype(np.float64)


def test_max_pool_by_hand():
    x = np.array([[[[1, 5, 2], [5, 0, 2], [3, 3, -1]]]], np.float32)
    y, indices = oracle.max_pool2d(x, (2, 2), (1, 1), ((0, 0), (0, 0)), (1, 1), False)
    assert (y.dtype, indices.dtype) == (np.float64, np.int64)
    assert y[0, 0].tolist() == [[5, 5], [5, 3]]
    assert indices[0, 0].tolist() == [[1, 1], [3, 7]]
    dy = np.array([[[[1.0, 2.0], [4.0, 8.0]]]])
    dx = oracle.max_pool2d_backward(dy, indices, x.shape)
    assert dx[0, 0].tolist() == [[0, 3, 0], [4, 0, 0], [0, 8, 0]]


def test_max_pool_takes_the_last_nan_and_never_the_padding():
    x = np.array([[[[-INF, NAN, NAN], [-INF, NAN, INF], [-INF, -INF, INF]]]])
    y, indices = oracle.max_pool2d(x, (2, 2), (1, 1), ((0, 0), (0, 0)), (1, 1), False)
    np.testing.assert_array_equal(y[0, 0], [[NAN, NAN], [NAN, NAN]])
    assert indices[0, 0].tolist() == [[4, 4], [4, 4]]
    y, indices = oracle.max_pool2d(x, (2, 2), (3, 3), ONE, (2, 2), False)
    assert np.isnan(y).all()
    assert indices.tolist() == [[[[4]]]]
    y, indices = oracle.max_pool2d(x[..., :1], (3, 1), (1, 1), ((1, 1), (0, 0)), (1, 1), False)
    assert (y.ravel().tolist(), indices.ravel().tolist()) == ([-INF] * 3, [0, 0, 1])


def test_max_pool_window_that_steps_over_the_input():
    """Taps at rows -1 and 4 of 4 rows: nothing to take, nowhere to send the gradient."""
    y, indices = oracle.max_pool2d(
        np.zeros((1, 1, 4, 1)), (2, 1), (1, 1), ((1, 1), (0, 0)), (5, 1), False
    )
    assert (y.ravel().tolist(), indices.ravel().tolist()) == ([-INF], [-1])
    assert not oracle.max_pool2d_backward(np.ones_like(y), indices, (1, 1, 4, 1)).any()


def test_avg_pool_by_hand():
    """Three windows over five values with one zero in front; the last hangs over by one."""
    x = np.array([[[[1.0, 2, 6, 12, 5]]]])
    geometry = (1, 3), (1, 2), ((0, 0), (1, 0)), True
    for include, override, expected in [
        (True, None, [1, 20 / 3, 8.5]),
        (False, None, [1.5, 20 / 3, 8.5]),
        (True, 2, [1.5, 10, 8.5]),
    ]:
        y = oracle.avg_pool2d(x, *geometry, include, override)
        assert y.ravel().tolist() == pytest.approx(expected)
    dy = np.array([[[[3.0, 6, 5]]]])
    dx = oracle.avg_pool2d_backward(dy, x.shape, *geometry, True, None)
    assert dx.ravel().tolist() == pytest.approx([1, 3, 2, 4.5, 2.5])


@pytest.mark.parametrize("case", UNDILATED + DILATED, ids=str)
@pytest.mark.parametrize("special", [0.0, NAN, INF, -INF])
def test_max_pool_oracle_matches_torch(case, special, rng, torch):
    x = image(rng, case.x)
    x[x == 2] = special
    source = torch.tensor(x, requires_grad=True)
    want, want_indices = torch.nn.functional.max_pool2d(
        source, case.kernel, case.stride, case.symmetric, case.dilation, case.ceil_mode, True
    )
    y, indices = oracle.max_pool2d(x, *case.max_geometry)
    np.testing.assert_array_equal(y, want.detach().numpy())
    np.testing.assert_array_equal(indices, want_indices.numpy())
    dy = rng.standard_normal(y.shape)
    want.backward(torch.tensor(dy))
    dx = oracle.max_pool2d_backward(dy, indices, x.shape)
    np.testing.assert_allclose(dx, source.grad.numpy(), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("case", ASYMMETRIC, ids=str)
def test_max_pool_oracle_with_asymmetric_padding_matches_torch(case, rng, torch):
    x = image(rng, case.x)
    (top, _), (left, _) = case.padding
    padded = np.pad(x, ((0, 0), (0, 0), *case.padding), constant_values=-INF)
    want, index = torch.nn.functional.max_pool2d(
        torch.tensor(padded), case.kernel, case.stride, 0, 1, case.ceil_mode, True
    )
    y, indices = oracle.max_pool2d(x, *case.max_geometry)
    p, q = y.shape[2:]
    np.testing.assert_array_equal(y, want.numpy()[..., :p, :q])
    rows, cols = np.divmod(index.numpy()[..., :p, :q], padded.shape[3])
    np.testing.assert_array_equal(indices, (rows - top) * case.x[3] + cols - left)


@pytest.mark.parametrize(("include", "override"), DIVISORS)
@pytest.mark.parametrize("case", UNDILATED, ids=str)
def test_avg_pool_oracle_matches_torch(case, include, override, rng, torch):
    x = rng.standard_normal(case.x)
    source = torch.tensor(x, requires_grad=True)
    want = torch.nn.functional.avg_pool2d(
        source, case.kernel, case.stride, case.symmetric, case.ceil_mode, include, override
    )
    y = oracle.avg_pool2d(x, *case.avg_geometry, include, override)
    np.testing.assert_allclose(y, want.detach().numpy(), rtol=1e-13, atol=1e-13)
    dy = rng.standard_normal(y.shape)
    want.backward(torch.tensor(dy))
    dx = oracle.avg_pool2d_backward(dy, x.shape, *case.avg_geometry, include, override)
    np.testing.assert_allclose(dx, source.grad.numpy(), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("value", [NAN, INF])
def test_avg_pool_oracle_keeps_special_values_where_they_belong(value):
    x = np.ones((1, 1, 5, 5))
    x[0, 0, 2, 3] = value
    y = oracle.avg_pool2d(x, (2, 2), (1, 1), ((0, 0), (0, 0)), False, True, None)[0, 0]
    assert not np.isfinite(y[1:3, 2:4]).any()
    assert (y == 1).sum() == 16 - 4


@pytest.mark.parametrize("case", UNDILATED[:5] + DILATED + ASYMMETRIC, ids=str)
def test_pool_oracle_backward_matches_finite_differences(case, rng, finite_difference):
    x = rng.permutation(np.arange(np.prod(case.x), dtype=np.float64)).reshape(case.x)
    y, indices = oracle.max_pool2d(x, *case.max_geometry)
    dy = rng.standard_normal(y.shape)
    numeric = finite_difference(
        lambda moved: float((dy * oracle.max_pool2d(moved, *case.max_geometry)[0]).sum()), x
    )
    dx = oracle.max_pool2d_backward(dy, indices, x.shape)
    np.testing.assert_allclose(dx, numeric, rtol=1e-6, atol=1e-6)
    if case.dilation != (1, 1):
        return
    for divisor in DIVISORS:
        geometry = (*case.avg_geometry, *divisor)
        numeric = finite_difference(
            lambda moved, g=geometry: float((dy * oracle.avg_pool2d(moved, *g)).sum()), x
        )
        dx = oracle.avg_pool2d_backward(dy, x.shape, *geometry)
        np.testing.assert_allclose(dx, numeric, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("special", [0.0, NAN, INF, -INF])
@pytest.mark.parametrize("case", [*UNDILATED, *DILATED, *ASYMMETRIC, *BLOCKED, OFF], ids=str)
def test_cpu_max_pool_matches_oracle(case, special, dtype, rng):
    x = image(rng, case.x).astype(dtype)
    x[x == 2] = special
    want, want_indices = oracle.max_pool2d(x, *case.max_geometry)
    y, indices = cpu.max_pool2d(x, *case.max_geometry)
    assert (y.dtype, indices.dtype) == (dtype, np.int64)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(indices, want_indices)
    alone, none = cpu.max_pool2d(x, *case.max_geometry, with_indices=False)
    np.testing.assert_array_equal(alone, want)
    assert none is None
    dy = rng.standard_normal(y.shape).astype(dtype)
    dx = cpu.max_pool2d_backward(dy, indices, x.shape)
    assert dx.dtype == dtype
    error, allowed = compare(dx, oracle.max_pool2d_backward(dy, indices, x.shape), dtype)
    assert error <= allowed


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("divisor", DIVISORS)
@pytest.mark.parametrize("case", [*UNDILATED, *ASYMMETRIC, *BLOCKED], ids=str)
def test_cpu_avg_pool_matches_oracle(case, divisor, dtype, rng):
    x = rng.standard_normal(case.x).astype(dtype)
    x[x > 2.5] = INF
    geometry = (*case.avg_geometry, *divisor)
    want = oracle.avg_pool2d(x, *geometry)
    y = cpu.avg_pool2d(x, *geometry)
    dy = rng.standard_normal(y.shape).astype(dtype)
    dx = cpu.avg_pool2d_backward(dy, x.shape, *geometry)
    want_dx = oracle.avg_pool2d_backward(dy, x.shape, *geometry)
    for got, expected in ((y, want), (dx, want_dx)):
        assert got.dtype == dtype
        error, allowed = compare(got, expected, dtype, case.kernel[0] * case.kernel[1])
        assert error <= allowed


def test_cpu_pool_reads_views_and_writes_into_out(rng):
    x = rng.standard_normal((6, 13, 14)).transpose(2, 0, 1)[None, :, :, ::2]
    geometry = (3, 2), (2, 1), ONE
    out = np.empty((1, 14, 3, 16))[..., ::2]
    y, _ = cpu.max_pool2d(x, *geometry, (1, 1), False, out=out)
    assert y is out
    np.testing.assert_array_equal(y, oracle.max_pool2d(x, *geometry, (1, 1), False)[0])
    assert cpu.avg_pool2d(x, *geometry, False, True, None, out=out) is out
    np.testing.assert_allclose(out, oracle.avg_pool2d(x, *geometry, False, True, None), atol=1e-15)
