"""What is special to activations: NaN, infinities and tails, settings, how elements are reached."""

import numpy as np
import pytest
from op_checks import counted, far_apart, refused_on_both, view_of

import pycnn
from pycnn.define.activation import ACTIVATIONS
from pycnn.dtypes import FLOATS, numpy_dtype
from pycnn.testing import TESTED

NAN, INF = np.nan, np.inf
NAMES = [name for name in ACTIVATIONS if not name.endswith("_backward")]
#: Settings beside the defaults under which special values are looked at.
TRIED = {
    "clip": [{}, {"min": -1, "max": 3}, {"min": 3, "max": -1}, {"max": 0.5}],
    "hardtanh": [{}, {"min_val": -3, "max_val": 8}],
    "gelu": [{}, {"approximate": "tanh"}],
    "softplus": [{}, {"beta": 2, "threshold": 6}],
}
EACH = [(name, settings) for name in NAMES for settings in TRIED.get(name, [{}])]
SPECIAL = [NAN, -INF, INF, -0.0, 0.0, -6, -3, -1, 1, 3, 6, -20, -8, -5, 5, 8, 20, 60]

#: How far results may be off relative to themselves, tails included.
RELATIVE = {"float16": 2e-3, "bfloat16": 1e-2, "float32": 2e-5, "float64": 2e-13}


def expected(name, arrays, settings):
    tested = TESTED[name]
    with np.errstate(all="ignore"):
        (found,) = tested.oracle(settings, arrays).values()
    return found


def assert_close(actual, want, dtype):
    got = actual.astype(np.float64)
    tiny = max(FLOATS[dtype].tiny, 1e-300)
    np.testing.assert_allclose(got, want, rtol=RELATIVE[dtype], atol=tiny)


@pytest.mark.parametrize("via", ["source", "ptx"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_gelu_of_every_number_of_16_bits(dtype, via):
    """Which is no error function, but a polynomial, as the compiler has it and as g++ has."""
    x = np.arange(2**16, dtype=np.uint16).view(numpy_dtype(dtype))
    x = x[np.isfinite(x.astype(np.float32))]
    dy = np.ones_like(x)
    for name, arrays in (("gelu", {"x": x}), ("gelu_backward", {"dy": dy, "x": x})):
        with pycnn.use_backend("emulator", checked=False, via=via):
            got = getattr(pycnn, name)(*arrays.values())
        want = expected(name, arrays, {})
        # A slope near its zero is the difference of two terms.
        apart = np.abs(got.astype(np.float64) - want)
        assert (
            apart
            <= RELATIVE[dtype] * np.abs(want)
            + 3e-6 * (name != "gelu")
            + max(FLOATS[dtype].tiny, 1e-37)
        ).all()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("name", "settings"), EACH, ids=str)
def test_special_values_and_tails(backend, name, settings, dtype):
    largest = 6e4 if dtype == "float16" else 1e30
    x = np.array([*SPECIAL, -largest, largest]).astype(numpy_dtype(dtype))
    dy = np.full_like(x, 7)
    y = getattr(pycnn, name)(*backend.views(x), **settings)
    assert_close(backend.numpy(y), expected(name, {"x": x}, settings), dtype)
    dx = getattr(pycnn, f"{name}_backward")(*backend.views(dy, x), **settings)
    want = expected(f"{name}_backward", {"dy": dy, "x": x}, settings)
    assert_close(backend.numpy(dx), want, dtype)


def test_prelu_special_values(backend):
    x = np.array([NAN, -INF, INF, -0.0, 0.0, -2.0, 3.0])
    y = pycnn.prelu(*backend.views(x, np.array([0.5])))
    np.testing.assert_array_equal(backend.numpy(y), [NAN, -INF, INF, -0.0, 0, -1, 3])
    given = np.array([[4.0, -2.0], [0.0, -8.0]])
    dx, dweight = pycnn.prelu_backward(
        *backend.views(np.ones((2, 2)), given, np.array([0.5, 0.25]))
    )
    np.testing.assert_array_equal(backend.numpy(dx), [[1, 0.25], [0.5, 0.25]])
    np.testing.assert_array_equal(backend.numpy(dweight), [0, -10])


def test_prelu_sums_in_parts(backend, rng):
    """So many terms that a sum is cut; where channels are last, too."""
    x = rng.standard_normal((3, 5, 37, 29)).astype(np.float32)
    dy = rng.standard_normal(x.shape).astype(np.float32)
    weight = rng.standard_normal(5).astype(np.float32)
    for kind in ("contiguous", "channels last"):
        if kind == "channels last":
            x, dy = (
                np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) for a in (x, dy)
            )
        _, dweight = pycnn.prelu_backward(*backend.views(dy, x, weight))
        below = np.where(x > 0, 0, x.astype(np.float64) * dy)
        np.testing.assert_allclose(
            backend.numpy(dweight), below.sum(axis=(0, 2, 3)), rtol=1e-5, atol=1e-4
        )


def test_operands_of_different_strides(backend, rng):
    x = view_of(rng.standard_normal((5, 3, 7)), "transposed")
    dy = np.broadcast_to(rng.standard_normal((1, 3, 1)), x.shape)
    dx = pycnn.relu_backward(*backend.views(dy, x))
    np.testing.assert_array_equal(backend.numpy(dx), np.where(x > 0, dy, 0))


@pytest.mark.parametrize("dtype", FLOATS)
def test_loads_are_16_bytes_wide(backend, rng, dtype):
    """Contiguous, and in rows of a larger array that are whole vectors."""
    whole = rng.standard_normal((53, 2048)).astype(numpy_dtype(dtype))
    for x in (whole, whole[:, 512:1536], np.broadcast_to(whole[:1], whole.shape)):
        with counted(backend) as traffic:
            y = pycnn.relu(*backend.views(x))
        np.testing.assert_array_equal(backend.numpy(y), np.maximum(x, 0))
        assert traffic.total.sectors_per_load == pytest.approx(16, rel=0.05)  # 32 lanes x 16 bytes


def test_offsets_beyond_2_to_the_31():
    x = far_apart(np.array([[1, -2, 3], [-4, 5, -6]], np.float32))
    with pycnn.use_backend("emulator", checked=False):
        assert pycnn.relu(x).tolist() == [[1, 0, 3], [0, 5, 0]]
        assert pycnn.relu_backward(x, x).tolist() == [[1, 0, 3], [0, 5, 0]]
        dx, dweight = pycnn.prelu_backward(x, x, np.zeros(3, np.float32))
        assert dx.tolist() == [[1, 0, 3], [0, 5, 0]]
        assert dweight.tolist() == [16, 4, 36]


X = np.zeros((2, 6), np.float32)
UNALIGNED = np.zeros(9, np.uint8)[1:].view(np.float32)

BAD = {
    "unaligned": (lambda: pycnn.relu(UNALIGNED), ValueError, "x has strides .* aligned=False"),
    "out strides": (
        lambda: pycnn.relu(X, out=np.zeros((6, 2), "f4").T),
        ValueError,
        "out has strides",
    ),
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
    "bounds": (
        lambda: pycnn.hardtanh(X, 1, 1),
        ValueError,
        "min_val=1.0 and max_val=1.0; allowed: min_val < max_val",
    ),
    "infinite bound": (lambda: pycnn.hardtanh(X, -INF), ValueError, "min_val=-inf"),
    "NaN bound": (lambda: pycnn.clip(X, NAN), ValueError, "min=nan; allowed: a number"),
    "text bound": (lambda: pycnn.clip(X, max="1"), TypeError, "max='1' is of type str"),
    "infinite slope": (
        lambda: pycnn.leaky_relu(X, INF),
        ValueError,
        "negative_slope=inf; allowed: a finite number",
    ),
    "bool alpha": (lambda: pycnn.elu(X, True), TypeError, "alpha=True is of type bool"),
    "alpha zero": (
        lambda: pycnn.celu_backward(X, X, 0),
        ValueError,
        "alpha=0; allowed: .* other than zero",
    ),
    "beta zero": (lambda: pycnn.softplus(X, 0.0), ValueError, "beta=0.0; allowed"),
    "threshold": (lambda: pycnn.softplus(X, 1, NAN), ValueError, "threshold=nan"),
    "form": (lambda: pycnn.gelu(X, "erf"), ValueError, "approximate='erf'; allowed: none, tanh"),
    "slopes": (
        lambda: pycnn.prelu(X, np.zeros(5, "f4")),
        ValueError,
        r"weight has shape \(5,\); allowed: one slope, or one for each of the 6 channels",
    ),
    "slopes of a vector": (
        lambda: pycnn.prelu(X[0], np.zeros(6, "f4")),
        ValueError,
        "each of the 1 channels",
    ),
}


test_bad_input = refused_on_both(BAD)
