"""`pycnn.gemm` on every backend, against the oracle; the rungs are in test_gemm_ladder.py."""

import numpy as np
import pytest
from gemm_cases import LAYOUTS, K, M, N, each_combination, operand
from op_checks import assert_matches, refused_on_both

import pycnn
from pycnn.plan.coarse import COARSE
from pycnn.plan.gemm import algorithms_of
from pycnn.reference.oracle.gemm import gemm as oracle
from pycnn.testing.tolerance import compare

INF, NAN = np.inf, np.nan


@each_combination
@pytest.mark.parametrize("batch", [(), (3,)], ids=str)
def test_matches_oracle(backend, rng, batch, dtype, transposes):
    a = operand(rng, (*batch, *((K, M) if transposes[0] else (M, K))), dtype)
    b = operand(rng, (*batch, *((N, K) if transposes[1] else (K, N))), dtype)
    flags = {"transpose_a": transposes[0], "transpose_b": transposes[1]}
    y = pycnn.gemm(*backend.views(a, b), **flags)
    assert_matches(y, oracle(a, b, **flags), dtype, K, backend)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("transposed", [False, True])
def test_views(backend, rng, layout, transposed):
    a = operand(rng, (2, 21, 35), "float32", layout, transposed)
    b = operand(rng, (2, 35, 19), "float32", layout, not transposed)
    bias = operand(rng, (21, 19), "float32", layout, transposed)
    for offset in (bias[5], bias[:, 3:4]):
        y = pycnn.gemm(*backend.views(a, b, offset))
        assert_matches(y, oracle(a, b, offset), "float32", 35, backend)


def test_batch_shared_by_a_zero_stride(backend, rng):
    a = np.broadcast_to(operand(rng, (21, 35), "float64"), (3, 21, 35))
    b = operand(rng, (3, 35, 19), "float64")
    if backend.name == "cuda":
        pytest.skip("backend.array copies a broadcast view whole")
    assert_matches(pycnn.gemm(*backend.views(a, b)), oracle(a, b), "float64", 35, backend)


@pytest.mark.parametrize("algo", ["auto", *algorithms_of("float32")])
def test_algorithms(backend, rng, algo):
    a, b = operand(rng, (21, 35), "float32"), operand(rng, (35, 19), "float32")
    if algo == "wgmma_tf32" and backend.name in ("emulator", "checked"):
        pytest.skip("sm_90a alone; run there by test_wgmma_tf32.py")
    y = backend.numpy(pycnn.gemm(*backend.views(a, b), algo=algo))
    error, allowed = compare(y, oracle(a, b), "float32", 35, COARSE.get(algo, 0.0))
    assert error <= allowed


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 67, 35), (67, 1, 35), (2, 3, 300)], ids=str)
def test_thin(backend, rng, shape):
    m, n, k = shape
    a, b = operand(rng, (m, k), "float64"), operand(rng, (k, n), "float64")
    assert_matches(pycnn.gemm(*backend.views(a, b)), oracle(a, b), "float64", k, backend)


def test_worked_by_hand(backend):
    a = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    b = np.array([[1, 0, -1, 2], [0, 1, 1, -2]], np.float32)
    y = pycnn.gemm(*backend.views(a, b, np.array([10, 0, 0, 1], np.float32)), relu=True)
    want = [[11, 2, 1, 0], [13, 4, 1, 0], [15, 6, 1, 0]]
    assert backend.numpy(y).tolist() == want


def test_special_values(backend):
    a = np.array([[1, 0], [NAN, 1], [INF, 1], [-INF, 1], [0, 1]], np.float32)
    b = np.array([[1, -1, 0], [2, 2, -INF]], np.float32)
    y = backend.numpy(pycnn.gemm(*backend.views(a, b)))
    want = [[1, -1, NAN], [NAN, NAN, NAN], [INF, -INF, NAN], [-INF, INF, NAN], [2, 2, -INF]]
    np.testing.assert_array_equal(y, want)
    y = backend.numpy(pycnn.gemm(*backend.views(a, b), relu=True))
    np.testing.assert_array_equal(y, np.where(np.array(want) < 0, 0, want))


@pytest.mark.parametrize("bias", [None, "row", "col"])
def test_nothing_to_sum(backend, bias):
    """K = 0: the bias, or zeros."""
    a, b = np.zeros((3, 0), np.float32), np.zeros((0, 5), np.float32)
    row, col = np.arange(-1, 2, dtype=np.float32)[:, None], np.arange(-2, 3, dtype=np.float32)
    offset = {None: None, "row": row, "col": col}[bias]
    y = pycnn.gemm(*backend.views(a, b, offset), relu=True)
    want = np.zeros((3, 5)) if offset is None else np.broadcast_to(offset, (3, 5)).clip(0)
    np.testing.assert_array_equal(backend.numpy(y), want)


@pytest.mark.parametrize("shape", [(0, 3, 5), (3, 0, 5), (0, 0, 0)], ids=str)
@pytest.mark.parametrize("batch", [(), (2,), (0,)], ids=str)
def test_empty(backend, batch, shape):
    m, n, k = shape
    a, b = np.zeros((*batch, m, k)), np.zeros((*batch, k, n))
    y = pycnn.gemm(*backend.views(a, b))
    assert y.shape == (*batch, m, n)
    assert y.dtype == np.float64


def test_out(backend, rng):
    a, b = operand(rng, (21, 35), "float32"), operand(rng, (35, 19), "float32")
    out = backend.array(np.full((21, 19), NAN, np.float32))
    assert pycnn.gemm(*backend.views(a, b), out=out) is out
    assert_matches(out, oracle(a, b), "float32", 35, backend)


A, B = np.zeros((3, 4), np.float32), np.zeros((4, 5), np.float32)

BAD = {
    "batches": (
        lambda: pycnn.bmm(np.zeros((1, 2, 3)), np.zeros((4, 3, 5))),
        ValueError,
        r"b has shape \(4, 3, 5\); allowed: \(1, 3, N\), for a of shape \(1, 2, 3\)",
    ),
    "two axes": (
        lambda: pycnn.bmm(np.zeros((2, 3)), np.zeros((4, 3, 5))),
        ValueError,
        r"a has shape \(2, 3\) \(rank 2\); allowed: \(B, M, K\)",
    ),
    "gradient of a product": (
        lambda: pycnn.bmm_backward(*[np.zeros((2, 3, 3))] * 2, np.zeros((2, 3, 5))),
        ValueError,
        r"dy has shape \(2, 3, 3\); allowed: \(2, 3, 5\)",
    ),
    "list": (lambda: pycnn.gemm([[1.0]], B), TypeError, "a is of type list"),
    "integers": (lambda: pycnn.gemm(A.astype(int), B), TypeError, "a has dtype int64"),
    "complex": (lambda: pycnn.gemm(A, B + 1j), TypeError, "b has dtype complex64"),
    "mixed": (lambda: pycnn.gemm(A, B.astype("f8")), TypeError, "b has dtype float64 but a has"),
    "rank": (
        lambda: pycnn.gemm(A[0], B),
        ValueError,
        r"a has shape \(4,\) \(rank 1\); allowed: \(M",
    ),
    "rank of b": (
        lambda: pycnn.gemm(A, B[None]),
        ValueError,
        r"b .*rank 3\); allowed: as many axes",
    ),
    "k": (
        lambda: pycnn.gemm(A, B.T),
        ValueError,
        r"b has shape \(5, 4\); allowed: \(4, N\) with transpose_b=False, for a of shape \(3, 4\)",
    ),
    "k transposed": (
        lambda: pycnn.gemm(A, B, transpose_a=True, transpose_b=True),
        ValueError,
        r"b has shape \(4, 5\); allowed: \(N, 3\) with .* \(3, 4\) with transpose_a=True",
    ),
    "batch": (
        lambda: pycnn.gemm(np.stack([A, A]), B[None]),
        ValueError,
        r"b has shape \(1, 4, 5\); allowed: \(2, 4, N\)",
    ),
    "bias per row": (
        lambda: pycnn.gemm(A, B, A[:, 0]),
        ValueError,
        r"bias has shape \(3,\); allowed: \(5,\) \(one value per column\)",
    ),
    "bias matrix": (
        lambda: pycnn.gemm(A, B, np.zeros((3, 5), "f4")),
        ValueError,
        r"bias has shape \(3, 5\); allowed: \(3, 1\) \(one value per row\)",
    ),
    "bias rank": (lambda: pycnn.gemm(A, B, A[None]), ValueError, r"bias .*allowed: \(N,\), one"),
    "flag": (lambda: pycnn.gemm(A, B, relu=1), TypeError, "relu=1 is of type int; allowed: True"),
    "algo": (
        lambda: pycnn.gemm(A, B, algo="fast"),
        ValueError,
        "algo='fast'; allowed: auto, naive",
    ),
    "out shape": (lambda: pycnn.gemm(A, B, out=A), ValueError, r"out has shape \(3, 4\).*\(3, 5\)"),
    "out dtype": (
        lambda: pycnn.gemm(A, B, out=np.zeros((3, 5))),
        TypeError,
        "out has dtype float64",
    ),
    "out overlaps": (
        lambda: pycnn.gemm(B[:3, :3], B[:3], out=B[:3]),
        ValueError,
        "out shares memory with a",
    ),
}


test_bad_input = refused_on_both(BAD)


def test_linear_refuses_a_slope_that_its_activation_has_not():
    x = np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match=r"negative_slope=0\.3; allowed with activation=None"):
        pycnn.linear(x, x, negative_slope=0.3)
    assert pycnn.linear(x, x, activation="leaky_relu", negative_slope=0.3).shape == (2, 2)
