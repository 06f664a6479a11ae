"""What is special to interpolation."""

import numpy as np
import pytest
from op_checks import assert_matches, behind, far_apart, numeric_gradient, refused_on_both, view_of

import pycnn
from pycnn.define._resize import COORDINATES
from pycnn.dtypes import numpy_dtype
from pycnn.emulator import counting
from pycnn.plan import resize
from pycnn.reference.oracle import resize as oracle
from pycnn.reference.oracle.resize import Resized
from pycnn.testing import TESTED
from pycnn.testing.case import Case

NAN, INF = np.nan, np.inf
ROW = np.array([[[1.0, 2.0, 4.0, 8.0]]])

#: Worked by hand: 4 elements to 7.
TO_SEVEN = {
    "asymmetric": {"floor": [1, 1, 2, 2, 4, 4, 8], "ceil": [1, 2, 4, 4, 8, 8, 8]},
    "half_pixel": {
        "round_prefer_floor": [1, 1, 2, 2, 4, 8, 8],
        "round_prefer_ceil": [1, 1, 2, 4, 4, 8, 8],
    },
    "align_corners": {
        "round_prefer_floor": [1, 1, 2, 2, 4, 4, 8],
        "round_prefer_ceil": [1, 2, 2, 4, 4, 8, 8],
    },
}


@pytest.mark.parametrize(
    ("coordinate", "nearest"), [(c, n) for c, modes in TO_SEVEN.items() for n in modes]
)
def test_roundings_by_hand(backend, coordinate, nearest):
    y = pycnn.interpolate(
        backend.array(ROW), size=7, coordinate_mode=coordinate, nearest_mode=nearest
    )
    assert backend.numpy(y).ravel().tolist() == TO_SEVEN[coordinate][nearest]


@pytest.mark.parametrize(
    ("settings", "want"),
    [
        ({"size": 2, "mode": "bilinear", "antialias": True}, [13 / 7, 38 / 7]),
        ({"size": 4, "mode": "bicubic"}, [1, 2, 4, 8]),
        ({"size": 4, "mode": "bicubic", "antialias": True}, [1, 2, 4, 8]),
        ({"size": 2, "mode": "bicubic"}, [1.3125, 6.1875]),
    ],
    ids=str,
)
def test_filters_by_hand(backend, settings, want):
    """The antialiased triangle to half is [3, 3, 1] / 7 at the edge."""
    x = backend.array(ROW[:, :, None])
    y = pycnn.interpolate(x, **{**settings, "size": (1, settings["size"])})
    np.testing.assert_allclose(backend.numpy(y).ravel(), want, rtol=1e-7)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("size", [(3, 40), (40, 3)])
def test_gradients_of_filters_are_transposed(backend, rng, size, antialias):
    """<y, A x> = <A' y, x>, where many elements of y reach one of x, and the other way round."""
    settings = {"mode": "bicubic", "antialias": antialias}
    x, dy = rng.standard_normal((1, 2, 11, 13)), rng.standard_normal((1, 2, *size))
    y = pycnn.interpolate(backend.array(x), size, **settings)
    dx = pycnn.interpolate_backward(backend.array(dy), (11, 13), **settings)
    np.testing.assert_allclose((backend.numpy(y) * dy).sum(), (backend.numpy(dx) * x).sum())


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("antialias", [False, True])
def test_infinity_spreads_as_far_as_a_filter_reaches(backend, mode, antialias):
    x = np.ones((1, 1, 9, 9))
    x[..., 2, 7] = INF
    settings = {"size": (4, 13), "mode": mode, "antialias": antialias}
    y = pycnn.interpolate(backend.array(x), **settings)
    want = TESTED["interpolate"].oracle(settings, {"x": x})["y"]
    np.testing.assert_array_equal(np.isfinite(backend.numpy(y)), np.isfinite(want))
    assert not np.isfinite(want).all()


def test_linear_by_hand(backend):
    x = backend.array(ROW)
    y = pycnn.interpolate(x, scale_factor=2, mode="linear")
    assert backend.numpy(y).ravel().tolist() == [1, 1.25, 1.75, 2.5, 3.5, 5, 7, 8]
    y = pycnn.interpolate(x, scale_factor=2, mode="linear", coordinate_mode="asymmetric")
    assert backend.numpy(y).ravel().tolist() == [1, 1.5, 2, 3, 4, 6, 8, 8]
    y = pycnn.interpolate(x, size=7, mode="linear", align_corners=True)
    assert backend.numpy(y).ravel().tolist() == [1, 1.5, 2, 3, 4, 6, 8]
    y = pycnn.interpolate(x, size=1, mode="linear", coordinate_mode="pytorch_half_pixel")
    assert backend.numpy(y).ravel().tolist() == [1]


def test_the_symmetric_middle_stays_in_the_middle(backend):
    """0.6 of 4 is 2.4, made 2: both elements are as far from the middle of x."""
    x = backend.array(np.arange(4.0).reshape(1, 1, 4))
    y = pycnn.interpolate(
        x, scale_factor=0.6, mode="linear", coordinate_mode="half_pixel_symmetric"
    )
    first, second = backend.numpy(y).ravel()
    assert first + second == pytest.approx(3)
    assert second - first == pytest.approx(1 / 0.6)


@pytest.mark.parametrize("factor", [49, 7, 3])
def test_coordinates_that_are_integers_come_out_as_such(backend, factor):
    """49 times float64's 1 / 49 is below one."""
    x = np.arange(5.0).reshape(1, 1, 5)
    for how in ({"size": 5 * factor}, {"scale_factor": factor}):
        y = backend.numpy(pycnn.interpolate(backend.array(x), **how))
        np.testing.assert_array_equal(y.ravel(), np.repeat(np.arange(5.0), factor))


def test_not_a_number_spreads_no_further_than_its_weight(backend):
    x = backend.array(np.array([[[1.0, NAN, 2.0, INF]]]))
    nearest = backend.numpy(pycnn.interpolate(x, scale_factor=2))
    np.testing.assert_array_equal(nearest.ravel(), [1, 1, NAN, NAN, 2, 2, INF, INF])
    linear = backend.numpy(pycnn.interpolate(x, scale_factor=2, mode="linear"))
    np.testing.assert_array_equal(linear.ravel(), [1, NAN, NAN, NAN, NAN, INF, INF, INF])
    dy = backend.array(np.array([[[1.0, NAN, 2.0, INF, 3.0, 4.0, 5.0, 6.0]]]))
    dx = backend.numpy(pycnn.interpolate_backward(dy, 4, 2))
    np.testing.assert_array_equal(dx.ravel(), [NAN, INF, 7, 11])


@pytest.mark.parametrize("coordinate", COORDINATES)
@pytest.mark.parametrize("nearest", [None, "floor", "round_prefer_ceil"])
def test_gradient_of_the_oracle_by_differences(rng, coordinate, nearest):
    axes = [
        (1, Resized(3, 5, 1.7, coordinate, nearest)),
        (2, Resized(5, 3, None, coordinate, nearest)),
    ]
    x, dy = rng.standard_normal((1, 3, 5)), rng.standard_normal((1, 5, 3))
    wanted = numeric_gradient(lambda moved: (oracle.interpolate(moved, axes) * dy).sum(), x)
    np.testing.assert_allclose(oracle.interpolate_backward(dy, axes), wanted, atol=1e-8)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_a_row_wider_than_shared_memory(backend, layout):
    """The kernels without it; the gradient of ones counts what every element was given to."""
    x = np.zeros((1, 1, 2, 13000), np.float32)
    x[..., 6000:] = 1
    x = x if layout == "NCHW" else x.transpose(0, 2, 3, 1).copy()
    how = {"mode": "bilinear", "layout": layout}
    y = backend.numpy(pycnn.interpolate(backend.array(x), size=(3, 13000), **how)).ravel()
    assert y[5999] == 0
    assert y[6000] == 1
    ones = backend.array(np.ones((1, 1, 3, 13000) if layout == "NCHW" else (1, 3, 13000, 1)))
    dx = backend.numpy(pycnn.interpolate_backward(ones, (2, 13000), **how))
    np.testing.assert_allclose(dx, 1.5)


def test_offsets_beyond_2_to_the_31():
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
    with pycnn.use_backend("emulator", checked=False):
        for how in ({}, {"mode": "bilinear"}):
            y = pycnn.interpolate(far_apart(x), size=3, **how)
            np.testing.assert_array_equal(y, pycnn.interpolate(x, size=3, **how))
            dx = pycnn.interpolate_backward(far_apart(x), 3, **how)
            np.testing.assert_array_equal(dx, pycnn.interpolate_backward(x, 3, **how))


#: (N, C, H, W) and the size to come to: columns of 4, 2 and 1 a thread, strips that end early, one
#: row, one column; channels that are whole vectors and others; more columns than a gradient keeps.
TWICE = {
    "NCHW": [(2, 3, 9, 8), (1, 5, 3, 6), (1, 2, 11, 7), (3, 1, 1, 4), (1, 2, 4, 1), (0, 3, 4, 8)],
    "NHWC": [(2, 16, 5, 3), (1, 8, 8, 7), (1, 24, 1, 1), (0, 8, 2, 3)],
}
SIZES = {
    "NCHW": [((2, 3, 9, 8), (13, 12)), ((1, 5, 21, 6), (5, 14)), ((3, 1, 1, 9), (20, 5)),
             ((1, 2, 4, 1), (3, 31)), ((0, 3, 4, 8), (9, 9))],
    "NHWC": [((2, 16, 5, 3), (7, 11)), ((1, 8, 19, 7), (3, 2)), ((1, 24, 3, 1), (4, 9)),
             ((1, 7, 5, 3), (4, 7)), ((0, 8, 2, 3), (5, 2))],
}  # fmt: skip
TO = [(n, s, "double", {"scale_factor": 2}) for n, of in TWICE.items() for s in of] + [
    (n, s, "strips", {"size": to}) for n, of in SIZES.items() for s, to in of
]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize(("layout", "shape", "algo", "to"), TO)
def test_to_every_size(backend, rng, layout, shape, algo, to, mode, dtype):
    """Aligned, one element behind that, and with rows apart; NaN and infinity among them."""
    settings = {**to, "mode": mode, "layout": layout}
    for name in ("interpolate", "interpolate_backward"):
        tested = TESTED[name]
        n, c, h, w = shape
        case = Case("resized", {"x": (n, h, w, c) if layout == "NHWC" else shape}, settings)
        ((operand, values),) = tested.draw(case, rng, dtype).items()
        values.flat[:3] = [NAN, INF, 1][: values.size]
        chosen = tested.settings(case)
        with np.errstate(all="ignore"):
            (want,) = tested.oracle(chosen, {operand: values}).values()
        for view in (values, view_of(values, "misaligned"), behind(values)):
            described = tested.op.describe({operand: view}, **chosen)
            chosen_algo = tested.op.plan(described).algo
            assert not n or chosen_algo == algo or (algo, chosen_algo) == ("strips", "tiles")
            (got,) = tested.invoke(getattr(pycnn, name), {operand: backend.array(view)}, chosen)
            assert_matches(got, want, dtype, 16, backend)


def _channels_apart(values):
    """Whose images lie further apart than their channels would have it."""
    n, c, h, w = values.shape
    wide = np.zeros((n, c + 4, h, w), values.dtype)
    wide[:, :c] = values
    return wide[:, :c]


#: Planes that fill no block, bands of rows, of which some begin within a piece, more columns than a
#: warp has, and no row more. Bytes of shared memory so that there are bands, where there can be.
TILED = [
    ((3, 5, 20, 6), (31, 8), 2500),
    ((2, 8, 7, 12), (9, 40), 6000),
    ((1, 3, 4, 6), (4, 10), 2500),
]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize(("shape", "to", "space"), TILED)
@pytest.mark.parametrize("small", [False, True])
def test_tiles_of_planes(backend, rng, monkeypatch, small, shape, to, space, mode, dtype):
    """Whole planes and once, and by bands and in turns; vectors, elements, and images apart."""
    if small:
        monkeypatch.setattr(resize, "TILE_BYTES", space)
        monkeypatch.setattr(resize, "TILE_BLOCKS", 1)
    settings = {"size": to, "mode": mode}
    for name in ("interpolate", "interpolate_backward"):
        tested = TESTED[name]
        case = Case("tiled", {"x": shape}, settings)
        ((operand, values),) = tested.draw(case, rng, dtype).items()
        values.flat[-3:] = [INF, NAN, 1]
        chosen = tested.settings(case)
        with np.errstate(all="ignore"):
            (want,) = tested.oracle(chosen, {operand: values}).values()
        for view in (values, view_of(values, "misaligned"), _channels_apart(values)):
            plan = tested.op.plan(tested.op.describe({operand: view}, **chosen))
            if shape[1] == 8 or view.flags.c_contiguous:
                assert plan.algo == "tiles"
                v = next(a for a in plan.launches[0].args if isinstance(a, np.void))
                assert (v["strips"] > 1) == (v["turns"] > 1) == (small and shape[2] != to[0])
            (got,) = tested.invoke(getattr(pycnn, name), {operand: backend.array(view)}, chosen)
            assert_matches(got, want, dtype, 16, backend)


@pytest.mark.parametrize("along", ["rows", "columns"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_large_neighbours_do_not_overflow_on_the_way(backend, along, layout):
    """Two whose sum is no float32, though the gradient is: it has three quarters of each."""
    dy = np.zeros((1, 8, 8, 4), np.float32)
    if along == "rows":  # across, the two others of a square
        dy[:, 2:4] = 1e38
    else:
        dy[:, 2, 2:4] = 2e38
    dy = dy if layout == "NHWC" else np.ascontiguousarray(dy.transpose(0, 3, 1, 2))
    given = {"input_size": 4, "scale_factor": 2, "mode": "bilinear", "layout": layout}
    (want,) = TESTED["interpolate_backward"].oracle(given, {"dy": dy}).values()
    got = pycnn.interpolate_backward(backend.array(dy), **given)
    assert_matches(got, want, "float32", 16, backend)


def test_doubling_asks_for_vectors(rng):
    """Whole sectors are stored, 16 bytes a thread are asked for, and nothing conflicts."""
    for layout, shape in (("NCHW", (1, 8, 32, 32)), ("NHWC", (1, 32, 32, 64))):
        x = rng.standard_normal(shape).astype(numpy_dtype("bfloat16"))
        for mode in ("nearest", "bilinear"):
            to = {"scale_factor": 2, "mode": mode, "layout": layout}
            with pycnn.use_backend("emulator", checked=True), counting() as log:
                y = pycnn.interpolate(x, **to)
                dx = pycnn.interpolate_backward(y, 32, **to)
            for (_, counters), result in zip(log.launches, (y, dx), strict=True):
                assert counters.global_store_sectors * 32 == result.nbytes
                assert counters.sectors_per_load > (4 if layout == "NCHW" else 14)
                assert counters.bank_conflicts == 0


#: Bytes that loads ask L1 for and that stores write, over those of the operand and of the result:
#: two rows and two columns make an element, and rows of 42 or 28 elements end within a sector.
OF_STRIPS = {
    "NCHW": ((10.5, 1.6), (6.5, 1.8)),
    "NHWC": ((3.3, 1), (2.7, 1)),
}


@pytest.mark.parametrize("layout", OF_STRIPS)
def test_strips_ask_for_a_row_once(rng, layout):
    """Channels by whole vectors and sectors; columns of a row of x for all rows made from it."""
    shape = (1, 64, 28, 28) if layout == "NCHW" else (1, 28, 28, 64)
    x = rng.standard_normal(shape).astype(numpy_dtype("bfloat16"))
    how = {"mode": "bilinear", "layout": layout}
    with pycnn.use_backend("emulator", checked=True), counting() as log:
        y = pycnn.interpolate(x, 42, **how)
        dx = pycnn.interpolate_backward(y, 28, **how)
    for (_, counters), read, made, (loads, stores) in zip(
        log.launches, (x, y), (y, dx), OF_STRIPS[layout], strict=True
    ):
        assert counters.global_load_sectors * 32 <= loads * read.nbytes
        assert counters.global_store_sectors * 32 <= stores * made.nbytes
        assert counters.sectors_per_load > (4 if layout == "NCHW" else 11)


X = np.zeros((2, 3, 4, 5), np.float32)

BAD = {
    "neither": (lambda: pycnn.interpolate(X), ValueError, "exactly one of the two"),
    "both": (lambda: pycnn.interpolate(X, 3, 2.0), ValueError, "size=3 and scale_factor=2.0"),
    "size": (lambda: pycnn.interpolate(X, 0), ValueError, "size=0; allowed: int >= 1"),
    "sizes": (lambda: pycnn.interpolate(X, (1, 2, 3)), ValueError, r"size=\(1, 2, 3\).*each of 2"),
    "float": (lambda: pycnn.interpolate(X, 2.0), TypeError, "size=2.0 is of type float"),
    "factor": (lambda: pycnn.interpolate(X, None, -1), ValueError, "scale_factor=-1; allowed"),
    "factor nan": (lambda: pycnn.interpolate(X, None, NAN), ValueError, "scale_factor=nan"),
    "factor text": (lambda: pycnn.interpolate(X, None, "2"), TypeError, "scale_factor='2'"),
    "to nothing": (lambda: pycnn.interpolate(X, None, 0.1), ValueError, r"makes \(0, 0\)"),
    "mode": (lambda: pycnn.interpolate(X, 3, mode="cubic"), ValueError, "mode='cubic'; allowed"),
    "axes": (
        lambda: pycnn.interpolate(X, 3, mode="linear"),
        ValueError,
        "mode='linear'; allowed with 2 spatial axes: nearest, nearest-exact, bilinear",
    ),
    "corners": (
        lambda: pycnn.interpolate(X, 3, align_corners=False),
        ValueError,
        "align_corners=False; allowed: None with mode='nearest'",
    ),
    "corners twice": (
        lambda: pycnn.interpolate(
            X, 3, mode="bilinear", align_corners=True, coordinate_mode="half_pixel"
        ),
        ValueError,
        "align_corners=True; allowed: None",
    ),
    "recompute": (
        lambda: pycnn.interpolate(X, 3, recompute_scale_factor=1),
        TypeError,
        "recompute_scale_factor=1 is of type int",
    ),
    "antialias": (
        lambda: pycnn.interpolate(X, 3, antialias=True),
        ValueError,
        "antialias=True with mode='nearest' and coordinate_mode=None; allowed: False",
    ),
    "coordinates": (
        lambda: pycnn.interpolate(X, 3, coordinate_mode="tf_crop_and_resize"),
        ValueError,
        "coordinate_mode='tf_crop_and_resize'; allowed: half_pixel",
    ),
    "exact coordinates": (
        lambda: pycnn.interpolate(X, 3, mode="nearest-exact", coordinate_mode="half_pixel"),
        ValueError,
        "coordinate_mode='half_pixel'; allowed with mode='nearest-exact': None",
    ),
    "rounding": (
        lambda: pycnn.interpolate(X, 3, nearest_mode="round"),
        ValueError,
        "nearest_mode='round'; allowed: floor",
    ),
    "linear rounding": (
        lambda: pycnn.interpolate(X, 3, mode="bilinear", nearest_mode="floor"),
        ValueError,
        "nearest_mode='floor'; allowed with mode='bilinear': None",
    ),
    "too large": (lambda: pycnn.interpolate(X, 2**31), ValueError, "allowed: below 2147483648"),
    "layout": (lambda: pycnn.interpolate(X, 3, layout="CNHW"), ValueError, "layout='CNHW'"),
    "empty": (lambda: pycnn.interpolate(X[:, :, :0], 3), ValueError, r"x has shape \(2, 3, 0, 5\)"),
    "gradient": (
        lambda: pycnn.interpolate_backward(X, (2, 2), 2),
        ValueError,
        r"dy has shape \(2, 3, 4, 5\); allowed: \(4, 4\)",
    ),
}


test_bad_input = refused_on_both(BAD)
