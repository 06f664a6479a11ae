"""Matrix product: the oracle against hand-worked values and a sum written out, and the CPU path
against the oracle."""

import numpy as np
import pytest

from pycnn.reference.cpu import gemm as cpu
from pycnn.reference.oracle import gemm as oracle
from pycnn.testing.tolerance import compare

TRANSPOSES = [(False, False), (False, True), (True, False), (True, True)]
SIZES = [(3, 5, 7), (1, 9, 1), (17, 1, 6), (4, 0, 3), (0, 5, 2)]


def operands(rng, m, k, n, transpose_a, transpose_b, batch=()):
    a = rng.standard_normal((*batch, *((k, m) if transpose_a else (m, k))))
    b = rng.standard_normal((*batch, *((n, k) if transpose_b else (k, n))))
    return a, b


def test_gemm_by_hand():
    a, b = np.array([[1, 2], [3, 4]], np.float32), np.array([[5, -6], [7, 8]], np.float32)
    assert oracle.gemm(a, b).tolist() == [[19, 10], [43, 14]]
    assert oracle.gemm(a, b, transpose_a=True).tolist() == [[26, 18], [38, 20]]
    assert oracle.gemm(a, b, transpose_b=True).tolist() == [[-7, 23], [-9, 53]]
    column, row = np.array([-20.0, 1]), np.array([[-20.0], [1]])
    assert oracle.gemm(a, b, column, relu=True).tolist() == [[0, 11], [23, 15]]
    assert oracle.gemm(a, b, row, relu=True).tolist() == [[0, 0], [44, 15]]
    assert oracle.gemm(a, b).dtype == np.float64


@pytest.mark.parametrize("transposes", TRANSPOSES)
@pytest.mark.parametrize("batch", [(), (3,), (0,)])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_gemm_matches_the_sum(size, batch, transposes, rng):
    a, b = operands(rng, *size, *transposes, batch)
    bias = rng.standard_normal(size[2])
    subscripts = f"...{'km' if transposes[0] else 'mk'},...{'nk' if transposes[1] else 'kn'}->...mn"
    want = np.maximum(np.einsum(subscripts, a, b) + bias, 0)
    got = oracle.gemm(a, b, bias, True, *transposes)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_gemm_keeps_special_values_in_their_row(value, rng):
    a, b = operands(rng, 4, 5, 3, False, False)
    a[2, 1] = value
    y = oracle.gemm(a, b, relu=True)
    assert np.isfinite(y[[0, 1, 3]]).all()
    np.testing.assert_array_equal(y[2], np.maximum(value * np.sign(b[1]), 0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transposes", TRANSPOSES)
@pytest.mark.parametrize("batch", [(), (3,), (0,)])
@pytest.mark.parametrize("size", [*SIZES, (33, 129, 65)], ids=str)
def test_cpu_gemm_matches_oracle(size, batch, transposes, dtype, rng):
    a, b = (v.astype(dtype) for v in operands(rng, *size, *transposes, batch))
    column, row = (rng.standard_normal(n).astype(dtype) for n in ((size[0], 1), size[2]))
    for options in ((None, False), (None, True), (column, False), (row, True)):
        want = oracle.gemm(a, b, *options, *transposes)
        out = np.full_like(want, 7, dtype)
        for y in (
            cpu.gemm(a, b, *options, *transposes),
            cpu.gemm(a, b, *options, *transposes, out=out),
        ):
            assert y.dtype == dtype
            error, allowed = compare(y, want, dtype, size[1])
            assert error <= allowed
        assert y is out
