"""What is special to padding."""

from itertools import product

import numpy as np
import pytest
from op_checks import far_apart, numeric_gradient, refused_on_both, view_of

import pycnn
from pycnn.dtypes import numpy_dtype
from pycnn.emulator import counting
from pycnn.reference.oracle import pad as oracle

NAN, INF = np.nan, np.inf
MODES = ("constant", "reflect", "replicate", "circular")


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("int64", -(2**62) + 1), ("int32", -5), ("int8", -128), ("uint8", 255), ("bool", True)],
)
def test_integers_and_their_constants(backend, dtype, value):
    x = np.arange(6).reshape(2, 3).astype(dtype)
    y = pycnn.pad(backend.array(x), (1, 2, 0, 1), value=value)
    assert y.dtype == dtype
    expected = np.full((3, 6), value, dtype)
    expected[:2, 1:4] = x
    np.testing.assert_array_equal(backend.numpy(y), expected)


@pytest.mark.parametrize("value", [NAN, INF, -INF, -0.0, None, 1e300, np.float32(2.5)])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_constants(backend, dtype, value):
    y = backend.numpy(pycnn.pad(backend.array(np.zeros(3, dtype)), (2, 1), value=value))
    with np.errstate(over="ignore"):
        expected = np.asarray(0.0 if value is None else value).astype(dtype)
    np.testing.assert_array_equal(y[[0, 1, 5]], [expected] * 3)
    assert np.signbit(y[0]) == np.signbit(expected)


def test_the_plan_for_zero_is_not_that_for_minus_zero(backend):
    x = backend.array(np.ones(1, np.float32))
    borders = [backend.numpy(pycnn.pad(x, (1, 0), value=v))[0] for v in (0.0, -0.0, 0.0)]
    assert [bool(np.signbit(b)) for b in borders] == [False, True, False]


@pytest.mark.parametrize("mode", MODES)
def test_not_a_number_is_copied_and_added_only_where_it_belongs(backend, mode):
    x = np.array([NAN, 1.0, -INF, 2.0, 3.0])
    y = backend.numpy(pycnn.pad(backend.array(x), (2, 1), mode))
    np.testing.assert_array_equal(y, oracle.pad(x, [(2, 1)], mode, 0.0))
    dx = backend.numpy(pycnn.pad_backward(backend.array(y), (2, 1), mode))
    np.testing.assert_array_equal(dx, oracle.pad_backward(y, [(2, 1)], mode))


@pytest.mark.parametrize("mode", MODES)
def test_gradient_of_the_oracle_by_differences(rng, mode):
    x, pads = rng.standard_normal((3, 4)), [(1, 2), (-1, 2)]
    dy = rng.standard_normal((6, 5))
    dx = oracle.pad_backward(dy, pads, mode)
    wanted = numeric_gradient(lambda moved: (oracle.pad(moved, pads, mode, 0.5) * dy).sum(), x)
    np.testing.assert_allclose(dx, wanted, atol=1e-8)


@pytest.mark.parametrize("mode", MODES)
def test_any_number_of_axes(backend, rng, mode):
    """More than the three that PyTorch's modes take."""
    x = rng.standard_normal((2, 3, 2, 4, 3))
    padding, pads = (1, 2, 0, 1, 1, 0, 2, 1, 1, 1), [(1, 1), (2, 1), (1, 0), (0, 1), (1, 2)]
    y = pycnn.pad(backend.array(x), padding, mode)
    np.testing.assert_array_equal(backend.numpy(y), oracle.pad(x, pads, mode, 0.0))
    dx = pycnn.pad_backward(y, padding, mode)
    expected = oracle.pad_backward(backend.numpy(y), pads, mode)
    np.testing.assert_allclose(backend.numpy(dx), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_offsets_beyond_2_to_the_31(mode):
    values = np.arange(1, 13, dtype=np.float32).reshape(2, 2, 3)
    x = far_apart(values)
    with pycnn.use_backend("emulator", checked=False):
        y = pycnn.pad(x, (1, 1), mode)
        dx = pycnn.pad_backward(x, (1, 0), mode)
    np.testing.assert_array_equal(y, oracle.pad(values, [(0, 0), (0, 0), (1, 1)], mode, 0.0))
    np.testing.assert_array_equal(dx, oracle.pad_backward(values, [(0, 0), (0, 0), (1, 0)], mode))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["int8", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(3, 8, 16), (2, 5, 7)])
def test_tiles_are_stored_by_vectors(rng, shape, dtype, mode):
    """Wherever rows begin; and loaded, where these are whole vectors."""
    x = rng.integers(0, 99, shape).astype(numpy_dtype(dtype))
    with pycnn.use_backend("emulator", checked=True), counting() as log:
        y = pycnn.pad(x, (1, 2, 2, 1), mode)
    np.testing.assert_array_equal(y, oracle.pad(x, [(0, 0), (2, 1), (1, 2)], mode, 0.0))
    ((_, counters),) = log.launches
    assert counters.global_store_requests <= y.nbytes / 512 + 4  # ends of a tile go one by one
    assert counters.global_store_sectors * 32 <= y.nbytes + 4 * 32
    assert counters.global_load_requests <= x.nbytes / (256 if shape[-1] == 16 else 128) * 1.5 + 4


@pytest.mark.parametrize("mode", MODES[1:])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("shape", [(9, 12, 16), (4, 9, 7)])
def test_tiles_of_the_gradient_are_stored_by_vectors(rng, shape, dtype, mode):
    """And what has one copy is moved: by pairs of 16 bits, where rows of dy are made of these."""
    dy = rng.integers(-9, 9, shape).astype(numpy_dtype(dtype))
    with pycnn.use_backend("emulator", checked=True), counting() as log:
        dx = pycnn.pad_backward(dy, (1, 1, 1, 2), mode)
    np.testing.assert_array_equal(dx, oracle.pad_backward(dy, [(0, 0), (1, 2), (1, 1)], mode))
    ((launch, counters),) = log.launches
    assert launch == "pad_backward_rows"
    assert counters.global_store_requests <= dx.nbytes / 512 + 16  # ends of tiles
    assert counters.global_store_sectors * 32 <= dx.nbytes + 16 * 32


@pytest.mark.parametrize("mode", MODES[1:])
def test_gradient_of_few_elements_that_have_many_copies(rng, mode):
    """Both edges of an axis reach the same elements, and more rows stand for one than are kept."""
    for height, width, around in product((4, 5), (4, 5, 6), product((0, 3), repeat=4)):
        pads = [(0, 0), around[:2], around[2:]]
        dy = rng.integers(-9, 9, (2, height + sum(pads[1]), width + sum(pads[2]))).astype("float32")
        with pycnn.use_backend("emulator", checked=True):
            dx = pycnn.pad_backward(dy, (*pads[2], *pads[1]), mode)
        np.testing.assert_array_equal(dx, oracle.pad_backward(dy, pads, mode))


#: (C, H, W) and padding of rows and of columns; the first with rows of whole vectors.
PLANES = [
    ((2, 29, 40), (1, 1), (1, 1)),
    ((3, 37, 31), (1, 0), (0, 1)),
    ((1, 33, 35), (1, 1), (0, 0)),
]


@pytest.mark.parametrize("mode", MODES[1:])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize(("shape", "rows", "columns"), PLANES)
def test_planes_of_the_gradient(rng, shape, rows, columns, mode, dtype):
    """Aligned, an element behind that, and planes apart; infinity spreads to one element alone."""
    if mode != "replicate":  # of which at most two stand for one
        rows, columns = ([3 * p for p in pads] for pads in (rows, columns))
    c, height, width = shape[0], shape[1] + sum(rows), shape[2] + sum(columns)
    dy = rng.integers(-9, 9, (c, height, width)).astype(numpy_dtype(dtype))
    dy[0, 0, 0], dy[0, height // 2, 1] = INF, NAN
    want = oracle.pad_backward(dy, [(0, 0), rows, columns], mode)
    apart = np.zeros((c, height + 1, width), dy.dtype)
    apart[:, :-1] = dy
    for view in (dy, view_of(dy, "misaligned"), apart[:, :-1]):
        with pycnn.use_backend("emulator", checked=True), counting() as log:
            dx = pycnn.pad_backward(view, (*columns, *rows), mode)
        np.testing.assert_array_equal(dx.astype(np.float64), want)
        ((launch, counters),) = log.launches
        assert launch == "pad_backward_planes"
        assert counters.global_load_requests <= dy.nbytes / 512 + 24 * c  # ends go one by one


X = np.zeros((2, 3, 4), np.float32)

BAD = {
    "no sequence": (lambda: pycnn.pad(X, 1), TypeError, "padding=1; allowed"),
    "odd": (lambda: pycnn.pad(X, (1,)), ValueError, r"padding=\(1,\); allowed: \(before"),
    "too many": (lambda: pycnn.pad(X, (1,) * 8), ValueError, "padding=.*x has 3"),
    "float": (lambda: pycnn.pad(X, (1.0, 1)), TypeError, "padding=1.0 is of type float"),
    "mode": (lambda: pycnn.pad(X, (1, 1), "edge"), ValueError, "mode='edge'; allowed: constant"),
    "too far": (lambda: pycnn.pad(X, (4, 0), "reflect"), ValueError, "mode='reflect': at most 3"),
    "around twice": (lambda: pycnn.pad(X, (0, 5), "circular"), ValueError, "at most 4"),
    "around cropped": (lambda: pycnn.pad(X, (-2, 3), "circular"), ValueError, "at most 2"),
    "cropped": (lambda: pycnn.pad(X, (-3, -2)), ValueError, "no more than there is, here 4"),
    "cropped and padded": (lambda: pycnn.pad(X, (-5, 3)), ValueError, "no more than there is"),
    "nothing": (lambda: pycnn.pad(X[:, :, :0], (1, 0), "replicate"), ValueError, "without elem"),
    "value": (lambda: pycnn.pad(X, (1, 1), value="0"), TypeError, "value='0' is of type str"),
    "value array": (lambda: pycnn.pad(X, (1, 1), value=X), TypeError, "of type ndarray"),
    "value unused": (lambda: pycnn.pad(X, (1, 1), "reflect", 1.0), ValueError, "value=1.0"),
    "value too large": (
        lambda: pycnn.pad(X.astype(np.uint8), (1, 1), value=256),
        ValueError,
        "value=256; allowed: what uint8 holds",
    ),
    "dy too small": (
        lambda: pycnn.pad_backward(X, (3, 2)),
        ValueError,
        r"padding=\(3, 2\).*no more than dy has",
    ),
    "dy impossible": (
        lambda: pycnn.pad_backward(X, (2, 1), "reflect"),
        ValueError,
        "mode='reflect': at most 0",
    ),
}


test_bad_input = refused_on_both(BAD)
