"""ReLU on every backend, against the oracle."""

import numpy as np
import pytest
from op_checks import (
    DTYPES,
    VIEWS,
    assert_matches,
    counted,
    far_apart,
    numeric_gradient,
    same_under_all_schedules,
    view_of,
)

import pycnn
from pycnn.reference.oracle import activation as oracle

NAN, INF = np.nan, np.inf
SHAPES = [(), (1,), (1027,), (3, 5, 7), (2, 3, 5, 7, 2)]
SPECIAL = [NAN, -INF, INF, -0.0, 0.0, -1e-45, 1e30, -1e30, 3.0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", VIEWS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_matches_oracle(backend, rng, shape, kind, dtype):
    x, dy = (view_of(rng.standard_normal(shape).astype(dtype), kind) for _ in range(2))
    y = pycnn.relu(*backend.views(x))
    assert_matches(y, oracle.relu(x), dtype, backend=backend)
    dx = pycnn.relu_backward(*backend.views(dy, x))
    assert_matches(dx, oracle.relu_backward(dy, x), dtype, backend=backend)


def test_operands_of_different_strides(backend, rng):
    x = view_of(rng.standard_normal((5, 3, 7)), "transposed")
    dy = np.broadcast_to(rng.standard_normal((1, 3, 1)), x.shape)
    dx = pycnn.relu_backward(*backend.views(dy, x))
    assert_matches(dx, oracle.relu_backward(dy, x), "float64", backend=backend)


@pytest.mark.parametrize("kind", ["contiguous", "stepped"])
def test_special_values(backend, kind):
    x = view_of(np.array(SPECIAL, np.float32), kind)
    dy = np.arange(1, 1 + x.size, dtype=np.float32)
    y, dx = pycnn.relu(*backend.views(x)), pycnn.relu_backward(*backend.views(dy, x))
    np.testing.assert_array_equal(backend.numpy(y), [NAN, 0, INF, 0, 0, 0, np.float32(1e30), 0, 3])
    np.testing.assert_array_equal(backend.numpy(dx), [1, 0, 3, 0, 0, 0, 7, 0, 9])


def test_gradient_by_differences(backend, rng):
    x = rng.standard_normal((3, 5))
    dy = rng.standard_normal(x.shape)

    def loss(moved):
        return float((backend.numpy(pycnn.relu(backend.array(moved))) * dy).sum())

    dx = backend.numpy(pycnn.relu_backward(*backend.views(dy, x)))
    np.testing.assert_allclose(dx, numeric_gradient(loss, x), atol=1e-8)


@pytest.mark.parametrize("shape", [(0,), (3, 0, 5)])
def test_empty(backend, shape):
    x = backend.array(np.zeros(shape, np.float32))
    for result in (pycnn.relu(x), pycnn.relu_backward(x, x)):
        assert result.shape == shape
        assert result.dtype == np.float32


def test_out_and_in_place(backend, rng):
    x, dy = rng.standard_normal((2, 7, 5))
    want = oracle.relu(x), oracle.relu_backward(dy, x)
    x, dy = backend.views(x.copy(), dy.copy())
    out = pycnn.relu(x)
    out[...] = 9
    assert pycnn.relu(x, out=out) is out
    assert_matches(out, want[0], "float64", backend=backend)
    assert pycnn.relu_backward(dy, x, out=dy) is dy
    assert_matches(dy, want[1], "float64", backend=backend)
    assert pycnn.relu(x, out=x) is x
    assert_matches(x, want[0], "float64", backend=backend)


def test_deterministic(backend, rng, monkeypatch):
    x = backend.array(rng.standard_normal((5, 301)).astype(np.float32))
    same_under_all_schedules(backend, monkeypatch, lambda: pycnn.relu(x))


def test_offsets_beyond_2_to_the_31():
    x = far_apart(np.array([[1, -2, 3], [-4, 5, -6]], np.float32))
    with pycnn.use_backend("emulator", checked=False):
        assert pycnn.relu(x).tolist() == [[1, 0, 3], [0, 5, 0]]
        assert pycnn.relu_backward(x, x).tolist() == [[1, 0, 3], [0, 5, 0]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_moves_nothing_unnecessary(backend, rng, dtype):
    x = backend.array(rng.standard_normal((53, 799)).astype(dtype))
    pycnn.relu(x)
    forward = counted(backend)
    pycnn.relu_backward(x, x + 1)
    backward = counted(backend)
    for counters in (forward, backward):
        assert counters.bytes_moved <= 1.1 * counters.bytes_necessary
        assert counters.sectors_per_load == pytest.approx(16, rel=0.05)  # 32 lanes x 16 bytes
        assert counters.bank_conflicts == 0
    assert forward.bytes_necessary == 2 * x.nbytes


X = np.zeros((2, 6), np.float32)
READ_ONLY = np.broadcast_to(np.float32(0), (1, 1))
UNALIGNED = np.zeros(9, np.uint8)[1:].view(np.float32)

BAD = {
    "list": (lambda: pycnn.relu([1.0]), TypeError, "x is of type list"),
    "integers": (lambda: pycnn.relu(X.astype(int)), TypeError, "x has dtype int64"),
    "complex": (lambda: pycnn.relu(X + 1j), TypeError, "x has dtype complex64"),
    "half": (lambda: pycnn.relu(X.astype("f2")), TypeError, "x has dtype float16"),
    "big endian": (lambda: pycnn.relu(X.astype(">f4")), TypeError, "x has dtype >f4"),
    "unaligned": (lambda: pycnn.relu(UNALIGNED), ValueError, "x has strides .* aligned=False"),
    "out shape": (
        lambda: pycnn.relu(X, out=X.T.copy()),
        ValueError,
        r"out has shape \(6, 2\).*\(2, 6\)",
    ),
    "out dtype": (
        lambda: pycnn.relu(X, out=X.astype("f8")),
        TypeError,
        "out has dtype float64.*float32",
    ),
    "out strides": (
        lambda: pycnn.relu(X, out=np.zeros((6, 2), "f4").T),
        ValueError,
        "out has strides",
    ),
    "out read-only": (lambda: pycnn.relu(X[:1, :1], out=READ_ONLY), ValueError, "out is read-only"),
    "out overlaps": (
        lambda: pycnn.relu(X.reshape(-1)[::-1], out=X.reshape(-1)),
        ValueError,
        "out shares memory with x",
    ),
    "shapes": (
        lambda: pycnn.relu_backward(X, X[:, :2]),
        ValueError,
        r"dy has shape \(2, 6\).*\(2, 2\)",
    ),
    "mixed dtypes": (
        lambda: pycnn.relu_backward(X, X.astype("f8")),
        TypeError,
        "x has dtype float64 but dy has float32",
    ),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("selected", ["reference", "emulator"])
def test_bad_input(selected, case):
    call, error, message = BAD[case]
    with pycnn.use_backend(selected), pytest.raises(error, match=message):
        call()
