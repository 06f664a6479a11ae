"""The algorithm depthwise: shapes around its vectors and strips, and what it moves."""

from functools import partial

import numpy as np
import pytest
from op_checks import VIEWS, assert_matches, counted, same_under_all_schedules, view_of

import pycnn
from pycnn.plan import depthwise_strips
from pycnn.reference.oracle import conv as oracle
from pycnn.testing.tested import normal

#: (N, C, H, W), side, stride, padding, dtype: short and long rows, several strips, padding on one
#: side only, more padding than the image.
CASES = [
    ((2, 3, 9, 7), 3, 1, ((1, 1), (1, 1)), "float32"),
    ((2, 3, 9, 7), 3, 2, ((1, 1), (1, 1)), "float32"),
    ((1, 3, 9, 17), 5, 1, ((2, 2), (2, 2)), "float64"),
    ((1, 3, 9, 18), 5, 2, ((2, 2), (2, 2)), "float64"),
    ((1, 2, 31, 33), 3, 1, ((0, 2), (2, 0)), "float32"),
    ((1, 2, 17, 70), 5, 2, ((1, 2), (4, 3)), "float32"),
    ((2, 2, 31, 135), 3, 1, ((1, 1), (1, 1)), "float16"),
    ((2, 2, 31, 134), 3, 2, ((0, 0), (0, 0)), "bfloat16"),
    ((2, 35, 10, 37), 3, 2, ((2, 0), (1, 0)), "float16"),
    ((1, 3, 31, 18), 5, 2, ((0, 2), (3, 4)), "bfloat16"),
    ((1, 5, 4, 5), 5, 1, ((4, 4), (4, 4)), "float32"),
    ((1, 5, 4, 5), 5, 2, ((4, 4), (4, 4)), "float32"),
    ((1, 35, 16, 65), 3, 1, ((1, 1), (1, 1)), "float32"),
    ((1, 6, 12, 11), 5, 1, ((2, 1), (2, 2)), "bfloat16"),
    ((3, 4, 9, 13), 3, 2, ((1, 0), (1, 1)), "float32"),
    ((0, 3, 6, 5), 3, 1, ((1, 1), (1, 1)), "float32"),
    # Rows of whole vectors of 16, 8 and 4 bytes.
    ((2, 3, 31, 24), 3, 1, ((1, 1), (1, 1)), "bfloat16"),
    ((1, 3, 9, 12), 3, 1, ((0, 1), (1, 1)), "float16"),
    ((1, 3, 9, 14), 5, 1, ((2, 1), (2, 2)), "bfloat16"),
    ((2, 3, 10, 24), 5, 2, ((2, 2), (2, 2)), "float16"),
    ((1, 2, 9, 12), 3, 2, ((1, 1), (1, 1)), "bfloat16"),
    ((1, 2, 9, 14), 3, 2, ((2, 1), (1, 1)), "float16"),
    ((1, 3, 8, 16), 5, 1, ((2, 2), (2, 2)), "float32"),
    ((1, 2, 7, 12), 3, 2, ((1, 1), (1, 1)), "float32"),
    ((1, 2, 6, 16), 3, 1, ((1, 1), (2, 0)), "float32"),  # vectors padded otherwise
    # Small maps, some in a last block that is not full.
    ((3, 37, 7, 7), 3, 1, ((1, 1), (1, 1)), "bfloat16"),
    ((1, 5, 7, 7), 5, 1, ((2, 2), (2, 2)), "float32"),
    ((2, 19, 14, 14), 3, 1, ((1, 1), (1, 1)), "float32"),
    ((1, 3, 14, 14), 5, 1, ((2, 2), (2, 2)), "float16"),
    ((0, 2, 14, 14), 3, 1, ((1, 1), (1, 1)), "float32"),
    ((1, 3, 7, 7), 3, 1, ((0, 2), (1, 1)), "float32"),  # not padded alike
]


def arranged(array, layout):
    """(N, C, H, W) in the order of a layout."""
    last = np.ascontiguousarray(array.transpose(0, 2, 3, 1))
    return last if layout == "NHWC" else array


def needs_emulator(backend):
    if backend.name == "reference":
        pytest.skip("the reference backend has no kernel algorithms")


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(("case", "dtype"), [(case[:-1], case[-1]) for case in CASES], ids=str)
def test_all_directions(backend, rng, case, dtype, layout):
    needs_emulator(backend)
    shape, side, stride, padding = case
    channels = shape[1]
    x, weight = normal(rng, shape, dtype), normal(rng, (channels, 1, side, side), dtype)
    bias = normal(rng, (channels,), dtype)
    geometry = (stride, stride), padding, (1, 1), channels
    want = oracle.convolve(x, weight, bias, *geometry)
    dy = normal(rng, want.shape, dtype)
    grads = oracle.convolve_backward(dy, x, weight, *geometry)
    given = {"layout": layout, "algo": "depthwise"}
    last = layout == "NHWC"

    def first(array):
        return array.transpose(0, 3, 1, 2) if last and array.ndim == 4 else array

    views = backend.views(arranged(x, layout), weight, bias)
    y = backend.numpy(pycnn.conv2d(*views, *geometry, **given))
    assert_matches(first(y), want, dtype, side**2)
    views = backend.views(arranged(dy, layout), arranged(x, layout), weight)
    needs = True, True, False
    dx, dweight, _ = pycnn.conv2d_backward(*views, *geometry, needs=needs, **given)
    assert_matches(dweight, grads[1], dtype, want[:, 0].size, backend)
    assert_matches(first(backend.numpy(dx)), grads[0], dtype, side**2)


@pytest.mark.parametrize(
    ("layout", "padding", "dtype"),
    [("NCHW", 0, "float64"), ("NCHW", 1, "float32"), ("NHWC", 0, "float64")],
)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_special_values_stay_in_their_windows(backend, rng, value, layout, padding, dtype):
    """Also where strips and vectors meet: no output that is not there counts."""
    needs_emulator(backend)
    x, weight = normal(rng, (1, 2, 31, 36), dtype), normal(rng, (2, 1, 3, 3), dtype)
    geometry = (1, 1), ((padding, padding),) * 2, (1, 1), 2
    for place in ((0, 1, 0, 0), (0, 1, 30, 34), (0, 0, 14, 31), (0, 0, 15, 13)):
        changed = x.copy()
        changed[place] = value
        want = oracle.convolve(changed, weight, None, *geometry)
        dy = normal(rng, want.shape, dtype)
        views = backend.views(arranged(changed, layout), weight)
        given = {"layout": layout, "algo": "depthwise"}
        y = backend.numpy(pycnn.conv2d(*views, None, *geometry, **given))
        assert_matches(y.transpose(0, 3, 1, 2) if layout == "NHWC" else y, want, dtype, 9)
        _, dweight, _ = oracle.convolve_backward(dy, changed, weight, *geometry)
        gradient = backend.array(arranged(dy, layout))
        _, got, _ = pycnn.conv2d_backward(
            gradient, *views, *geometry, needs=(False, True, False), **given
        )
        assert_matches(got, dweight, dtype, want[0, 0].size, backend)


@pytest.mark.parametrize("side", [7, 14, 16])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_an_infinite_filter_meets_the_zeros_around_x(backend, rng, layout, side):
    """And makes no number of them."""
    needs_emulator(backend)
    x, weight = normal(rng, (1, 2, side, side), "float32"), normal(rng, (2, 1, 3, 3), "float32")
    weight[0, 0, 0, 2] = weight[1, 0, 1, 0] = np.inf
    geometry = (1, 1), ((1, 1), (1, 1)), (1, 1), 2
    with np.errstate(invalid="ignore"):
        want = oracle.convolve(x, weight, None, *geometry)
    views = backend.views(arranged(x, layout), weight)
    y = backend.numpy(pycnn.conv2d(*views, None, *geometry, layout=layout, algo="depthwise"))
    assert np.isnan(want[:, 0, 0]).all()
    assert_matches(y.transpose(0, 3, 1, 2) if layout == "NHWC" else y, want, "float32", 9)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("before", [0, 1, 2])
def test_special_values_reach_what_their_windows_cover(backend, rng, before, layout):
    """At stride 2, where the places for taps that even and odd elements of dx lack stay empty."""
    needs_emulator(backend)
    x, weight = rng.standard_normal((1, 2, 31, 35)), rng.standard_normal((2, 1, 3, 3))
    geometry = (2, 2), ((before, 1), (2 - before, 0)), (1, 1), 2
    shape = oracle.convolve(x, weight, None, *geometry).shape
    for place in ((0, 1, 0, 0), (0, 1, -1, -1), (0, 0, 7, 7), (0, 0, 6, 8)):
        dy = rng.standard_normal(shape)
        dy[place] = np.inf
        want, _, _ = oracle.convolve_backward(dy, x, weight, *geometry)
        views = backend.views(arranged(dy, layout), arranged(x, layout), weight)
        given = {"needs": (True, False, False), "layout": layout, "algo": "depthwise"}
        dx = backend.numpy(pycnn.conv2d_backward(*views, *geometry, **given)[0])
        assert_matches(dx.transpose(0, 3, 1, 2) if layout == "NHWC" else dx, want, "float64", 9)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_transposed_convolution_ends_with_its_epilogue(backend, rng, monkeypatch, layout):
    """It is dx at stride 2; the same bit for bit in every thread order, in arrays of any kind.

    In vectors of columns and pairs of channels, and one by one where addresses allow none.
    """
    needs_emulator(backend)
    x, weight = normal(rng, (2, 4, 5, 6), "float32"), normal(rng, (4, 1, 5, 5), "float32")
    residual, bias = normal(rng, (2, 4, 10, 12), "float32"), normal(rng, (4,), "float32")
    settings = {"stride": 2, "padding": 2, "output_padding": 1, "groups": 4}
    shape, rest = residual.shape, ((2, 2), ((2, 2), (2, 2)), (1, 1), 4)
    sums, _, _ = oracle.convolve_backward(x, np.zeros(shape), weight, *rest)
    want = np.maximum(sums + bias[:, None, None] + residual, 0)
    for kind in VIEWS:
        given = (arranged(x, layout), weight, bias, arranged(residual, layout))
        *views, beside = backend.views(*(view_of(array, kind) for array in given))
        finish = {"residual": beside, "activation": "relu", "layout": layout}
        call = partial(pycnn.conv_transpose2d, *views, **settings, **finish, algo="depthwise")
        y = backend.numpy(call())
        assert_matches(y.transpose(0, 3, 1, 2) if layout == "NHWC" else y, want, "float32", 27)
    out = backend.array(view_of(np.zeros_like(y), "misaligned"))
    assert backend.numpy(call(out=out)).tobytes() == y.tobytes()
    same_under_all_schedules(backend, monkeypatch, call)


@pytest.mark.parametrize(
    ("channels", "columns", "layout"), [(66, 9, "NHWC"), (3, 9, "NHWC"), (3, 8, "NCHW")]
)
def test_sums_of_many_strips_are_the_same_in_every_order(
    backend, rng, monkeypatch, channels, columns, layout
):
    """Of teams that add up in a block, in vectors and one by one; of many parts."""
    needs_emulator(backend)
    x, weight = (
        normal(rng, (2, channels, 16, columns), "float32"),
        np.zeros((channels, 1, 3, 3), np.float32),
    )
    geometry = (1, 1), ((1, 1), (1, 1)), (1, 1), channels
    dy = normal(rng, x.shape, "float32")
    _, want, _ = oracle.convolve_backward(dy, x, weight, *geometry)
    apart = (view_of(arranged(a, layout), "misaligned") for a in (dy, x))
    apart = (*backend.views(*apart), backend.array(weight))
    views = backend.views(arranged(dy, layout), arranged(x, layout), weight)
    given = {"needs": (False, True, False), "layout": layout, "algo": "depthwise"}

    def call(views=views):
        return pycnn.conv2d_backward(*views, *geometry, **given)[1]

    for of in (views, apart):
        assert_matches(call(of), want, "float32", dy[:, 0].size, backend)
    same_under_all_schedules(backend, monkeypatch, call)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["contiguous", "misaligned", "stepped", "reversed"])
@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((2, 4, 7, 9), "NHWC"),
        ((2, 5, 7, 9), "NHWC"),
        ((2, 3, 7, 8), "NCHW"),
        ((2, 3, 7, 7), "NCHW"),
    ],
)
def test_ends_with_its_epilogue(backend, rng, dtype, kind, shape, layout):
    """In vectors, and one by one where sizes or addresses allow none."""
    needs_emulator(backend)
    channels = shape[1]
    x, weight = normal(rng, shape, dtype), normal(rng, (channels, 1, 3, 3), dtype)
    bias, scale, shift = (normal(rng, (channels,), dtype) for _ in range(3))
    residual = normal(rng, shape, dtype)
    geometry = (1, 1), ((1, 1), (1, 1)), (1, 1), channels

    def over(array):
        return array.astype(np.float64)[:, None, None]

    sums = oracle.convolve(x, weight, None, *geometry) + over(bias)
    given = (view_of(arranged(a, layout), kind) for a in (x, residual))
    x, residual, *rest = backend.views(*given, weight, bias, scale, shift)
    weight, bias, scale, shift = rest
    settings = {"padding": 1, "groups": channels, "layout": layout, "algo": "depthwise"}
    call = partial(pycnn.conv2d, x, weight, bias, scale=scale, shift=shift, **settings)
    whole = sums * over(backend.numpy(scale)) + over(backend.numpy(shift))

    def first(array):
        array = backend.numpy(array)
        return array.transpose(0, 3, 1, 2) if layout == "NHWC" else array

    beside = first(residual).astype(np.float64)
    finished = {
        None: (whole, {}),
        "relu": (np.maximum(whole + beside, 0), {"residual": residual}),
        "relu6": (np.clip(whole, 0, 6), {}),
        "leaky_relu": (np.where(whole < 0, 0.125 * whole, whole), {"negative_slope": 0.125}),
        "silu": (whole / (1 + np.exp(-whole)), {}),
        "sigmoid": (1 / (1 + np.exp(-whole)), {}),
    }
    for activation, (want, more) in finished.items():
        y = call(activation=activation, **more)
        assert_matches(first(y), want, dtype, 27)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(
    ("direction", "stride"), [(d, s) for d in ("y", "dx", "dweight") for s in (1, 2)]
)
def test_moves_nothing_unnecessary(backend, rng, monkeypatch, direction, stride, layout):
    """The layer of MobileNet; every tensor once. (Of one image `auto` takes `direct`.)

    Strips of rows as many images have them; a thread of 4 columns asks for 6, or of stride 2 for 9
    in place of 8, and of its dx for 3 in place of 2 of dy.
    """
    monkeypatch.setattr(depthwise_strips, "strip", lambda *given: 28)
    x = normal(rng, (1, 128, 56, 56), "float32")
    weight = normal(rng, (128, 1, 3, 3), "float32")
    dy = normal(rng, (1, 128, 56 // stride, 56 // stride), "float32")
    settings = {"stride": stride, "padding": 1, "groups": 128, "layout": layout}
    with counted(backend) as traffic:
        if direction == "y":
            pycnn.conv2d(arranged(x, layout), weight, **settings, algo="depthwise")
        else:
            needs = direction == "dx", direction == "dweight", False
            given = arranged(dy, layout), arranged(x, layout), weight
            pycnn.conv2d_backward(*given, needs=needs, **settings)
    sides = layout == "NCHW"  # which share sectors of L1
    most = 2.2 if sides else 1.45
    if (direction, stride) == ("dx", 2):  # four fifths of which are stores
        most = 1.32 if sides else 1.22
    assert traffic.total.bytes_moved <= most * (x.nbytes + dy.nbytes + weight.nbytes)


@pytest.mark.parametrize(
    ("shapes", "settings", "words"),
    [
        (((1, 4, 9, 9), (4, 2, 3, 3)), {"groups": 2}, "2 channels and 2 filters a group; allowed"),
        (((1, 4, 9, 9), (4, 1, 3, 4)), {"groups": 4}, "filter 3x4; allowed: 3x3, 5x5"),
        (((1, 4, 9, 9), (4, 1, 3, 3)), {"groups": 4, "stride": 3}, "stride .3, 3., dilation"),
        (((1, 4, 9, 9), (4, 1, 3, 3)), {"groups": 4, "padding": 3}, "allowed: less than the"),
        (
            ((1, 4, 9, 9), (4, 1, 3, 3)),
            {"groups": 4, "padding": 1, "padding_mode": "reflect"},
            "padding mode reflect; allowed: zeros",
        ),
    ],
    ids=str,
)
def test_says_what_does_not_fit(backend, shapes, settings, words):
    needs_emulator(backend)
    views = backend.views(*(np.ones(shape, np.float32) for shape in shapes))
    with pytest.raises(ValueError, match=f"'depthwise' does not fit; depthwise: .*{words}"):
        pycnn.conv2d(*views, algo="depthwise", **settings)
