"""Pooling: what is special to it. Right results on every backend: test_every_operation.py."""

from functools import partial

import numpy as np
import pytest
from op_checks import assert_matches, behind, far_apart, numeric_gradient, refused_on_both, view_of

import pycnn
from pycnn.define._pool_lp import LP_POOL_BACKWARD
from pycnn.define._pool_max import MAX_POOL_BACKWARD
from pycnn.dtypes import numpy_dtype
from pycnn.emulator import counting
from pycnn.plan import pool_planes
from pycnn.reference.oracle import _window, pool as oracle
from pycnn.runtime.occupancy import occupancy
from pycnn.runtime.plan import SCALAR, Kernel
from pycnn.testing import TESTED
from pycnn.testing.case import Case
from pycnn.testing.tested import normal

NAN, INF = np.nan, np.inf


def test_special_values(backend):
    x = np.array([[-INF, -INF, 1, INF, NAN, 2, 2, NAN, -1, NAN]], np.float32)
    y, indices = pycnn.max_pool1d(backend.array(x), 2, stride=1, return_indices=True)
    want = [-INF, 1, INF, NAN, NAN, 2, NAN, NAN, NAN]
    np.testing.assert_array_equal(backend.numpy(y)[0], want)
    assert backend.numpy(indices)[0].tolist() == [0, 2, 3, 4, 4, 5, 7, 7, 9]
    want = [-INF, -INF, INF, NAN, NAN, 2, NAN, NAN, NAN]
    y = pycnn.avg_pool1d(backend.array(x), 2, stride=1)
    np.testing.assert_array_equal(backend.numpy(y)[0], want)
    y = pycnn.lp_pool1d(backend.array(x), 2, 2, stride=1)
    want = [INF, INF, INF, NAN, NAN, np.float32(np.sqrt(8)), NAN, NAN, NAN]
    np.testing.assert_allclose(backend.numpy(y)[0], want, rtol=1e-6)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("extents", [(6, 7), (43, 50)])
def test_global_maximum_takes_the_first_maximum_or_the_last_nan(backend, extents, layout):
    x = np.zeros((1, 3, *extents), np.float32)
    x[0, 0].flat[[3, 11, 40]] = 1
    x[0, 1].flat[[2, 9, 38]] = NAN, INF, NAN
    x[0, 2] = -INF
    if layout == "NHWC":
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    x = backend.array(x)
    y, indices = pycnn.global_max_pool(x, return_indices=True, layout=layout)
    np.testing.assert_array_equal(backend.numpy(y).ravel(), [1, NAN, -INF])
    assert backend.numpy(indices).ravel().tolist() == [3, 38, 0]
    again = pycnn.adaptive_max_pool2d(x, 1, return_indices=True, layout=layout)
    np.testing.assert_array_equal(backend.numpy(again[1]), backend.numpy(indices))


def test_several_maxima_send_the_gradient_to_the_first(backend):
    x = backend.array(np.ones((1, 2, 3)))
    y, indices = pycnn.max_pool2d(x, 2, stride=1, return_indices=True)
    dx = pycnn.max_pool2d_backward(y, indices, (1, 2, 3), 2, stride=1)
    assert backend.numpy(dx).tolist() == [[[1, 1, 0], [0, 0, 0]]]


def test_a_window_that_dilation_leaves_empty(backend):
    """Taps at rows -1 and 4 of 4 rows: nothing to take, nowhere to send the gradient."""
    x = backend.array(np.zeros((1, 4, 1)))
    window = {"kernel_size": (2, 1), "stride": 1, "padding": (1, 0), "dilation": (5, 1)}
    y, indices = pycnn.max_pool2d(x, **window, return_indices=True)
    assert (backend.numpy(y).tolist(), backend.numpy(indices).tolist()) == ([[[-INF]]], [[[-1]]])
    dy = backend.array(np.ones((1, 1, 1)))
    dx = pycnn.max_pool2d_backward(dy, indices, x.shape, **window)
    assert not backend.numpy(dx).any()
    y = pycnn.avg_pool2d(x, **window, count_include_pad=False)
    assert backend.numpy(y).tolist() == [[[0]]]
    dx = pycnn.avg_pool2d_backward(dy, x.shape, **window, count_include_pad=False)
    assert not backend.numpy(dx).any()


def test_lp_takes_elements_with_their_sign(backend):
    x = backend.array(np.array([[-1.0, 3, -4, 1, 0, 0]]))
    assert backend.numpy(pycnn.lp_pool1d(x, 1, 2)).tolist() == [[2, -3, 0]]
    np.testing.assert_allclose(
        backend.numpy(pycnn.lp_pool1d(x, 3, 2)), [[26 ** (1 / 3), NAN, 0]], rtol=1e-12
    )
    y = pycnn.lp_pool1d(x, 2, 2)
    dx = pycnn.lp_pool1d_backward(backend.array(np.ones((1, 3))), x, y, 2, 2)
    want = [-1 / 10**0.5, 3 / 10**0.5, -4 / 17**0.5, 1 / 17**0.5, 0, 0]
    np.testing.assert_allclose(backend.numpy(dx), [want], rtol=1e-12)


def test_unpool_keeps_the_last_of_several_with_one_index(backend):
    x = backend.array(np.array([[1.0, 2, 3, 4]]))
    indices = backend.array(np.array([[5, 1, 5, -1]]))
    y = pycnn.max_unpool1d(x, indices, 2)
    assert backend.numpy(y).tolist() == [[0, 2, 0, 0, 0, 3, 0, 0]]
    dx = pycnn.max_unpool1d_backward(y, indices)
    assert backend.numpy(dx).tolist() == [[3, 2, 3, 0]]


def test_unpool_inverts_pool_where_windows_do_not_overlap(backend, rng):
    x = rng.standard_normal((2, 3, 8, 6))
    y, indices = pycnn.max_pool2d(backend.array(x), 2, return_indices=True)
    back = pycnn.max_unpool2d(y, indices, 2)
    twice, where = pycnn.max_pool2d(back, 2, return_indices=True)
    positive = backend.numpy(y) > 0  # else a zero beside it wins
    np.testing.assert_array_equal(backend.numpy(twice)[positive], backend.numpy(y)[positive])
    np.testing.assert_array_equal(backend.numpy(where)[positive], backend.numpy(indices)[positive])


TILED = {
    "max_pool2d": {"kernel_size": 3, "stride": 2, "padding": ((1, 0), (0, 1))},
    "avg_pool2d": {"kernel_size": 3, "stride": 2, "padding": ((1, 0), (0, 1))},
    "adaptive_avg_pool2d": {"output_size": (100, 31)},
    "adaptive_max_pool2d": {"output_size": (100, 31)},
}


@pytest.mark.parametrize("end", ["", "_backward"], ids=["forward", "backward"])
@pytest.mark.parametrize("name", TILED)
def test_planes_of_several_tiles(backend, rng, name, end):
    """What a tile brings into shared memory begins and ends where its windows do."""
    tested = TESTED[name + end]
    case = Case("tiles", {"x": (1, 2, 151, 133)}, TILED[name])
    given, settings = tested.draw(case, rng, "float32"), tested.settings(case)
    (launch,) = tested.op.plan(tested.op.describe(given, **settings)).launches
    assert launch.grid[0] > 2
    assert not launch.kernel.entry.endswith("direct")
    views = {n: backend.array(a) for n, a in given.items()}
    (got,) = tested.invoke(getattr(pycnn, tested.op.name), views, settings)
    (want,) = tested.oracle(settings, given).values()
    assert_matches(got, want, "float32", tested.terms(settings, given), backend)


def test_windows_beyond_shared_memory(rng):
    """Too large for a tile: read where they lie."""
    x = rng.standard_normal((1, 2, 130, 131)).astype(np.float32)
    window = [_window.sliding(n, 2, 128, n - 128) for n in (130, 131)]
    want, where = oracle.max_pool(x, window)
    dy = rng.standard_normal(want.shape).astype(np.float32)
    settings = {"kernel_size": 128, "stride": (2, 3)}
    with pycnn.use_backend("emulator", checked=True):
        with counting() as log:
            y, indices = pycnn.max_pool2d(x, **settings, return_indices=True)
        assert log.entries == ["max_pool_direct"]
        np.testing.assert_array_equal(indices, where)
        assert_matches(y, want, "float32")
        dx = pycnn.max_pool2d_backward(dy, where, x.shape, **settings)
        assert_matches(dx, oracle.max_pool_backward(dy, where, x.shape), "float32", 4)
        with counting() as log:
            mean = pycnn.avg_pool2d(x, **settings)
            norm = pycnn.lp_pool2d(np.abs(x), 2, **settings)
        assert log.entries == ["avg_pool_direct", "lp_pool_direct"]
        assert_matches(mean, oracle.avg_pool(x, window, 128.0**2), "float32", 128**2)
        assert_matches(norm, oracle.lp_pool(np.abs(x), window, 2), "float32", 128**2)


def test_gradients_beyond_shared_memory(rng):
    """An element under so many windows that they do not fit into a tile."""
    shape, kernel = (1, 1, 160, 159), 80
    window = [_window.sliding(n, n - kernel + 1, kernel) for n in shape[2:]]
    x = rng.random(shape).astype(np.float32) + 0.5
    want, where = oracle.max_pool(x, window)
    dy = rng.standard_normal(want.shape).astype(np.float32)
    norm = oracle.lp_pool(x, window, 2).astype(np.float32)
    settings = {"kernel_size": kernel, "stride": 1}
    of_max, of_norm = {"dy": dy, "indices": where}, {"dy": dy, "x": x, "y": norm}
    for op, given, also in (
        (MAX_POOL_BACKWARD[2], of_max, {"x_shape": shape}),
        (LP_POOL_BACKWARD[2], of_norm, {"norm_type": 2}),
    ):
        assert op.plan(op.describe(given, **settings, **also)).algo == "direct"
        want = TESTED[op.name].oracle({**settings, **also}, given)["dx"]
        with pycnn.use_backend("emulator", checked=False):
            dx = op.run(given, **settings, **also)
        assert_matches(dx, want, "float32", kernel**2)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_unpool_in_pieces(backend, rng, layout):
    """Planes larger than shared memory."""
    small, large = (60, 55), (120, 110)
    x = rng.standard_normal((1, 2, *small))
    indices = rng.permuted(np.tile(np.arange(120 * 110), (2, 1)), axis=1)[:, : 60 * 55]
    indices = indices.reshape(1, 2, *small)
    want = oracle.max_unpool(x, indices, large)
    dy = rng.standard_normal(want.shape)
    back = oracle.max_unpool_backward(dy, indices)
    if layout == "NHWC":
        x, indices, want, dy, back = (
            np.ascontiguousarray(a.transpose(0, 2, 3, 1)) for a in (x, indices, want, dy, back)
        )
    y = pycnn.max_unpool2d(*backend.views(x, indices), 2, layout=layout)
    np.testing.assert_array_equal(backend.numpy(y), want)
    dx = pycnn.max_unpool2d_backward(*backend.views(dy, indices), layout=layout)
    np.testing.assert_array_equal(backend.numpy(dx), back)


def test_gradients_by_differences(backend, rng):
    x, dy = rng.random((1, 2, 5, 4)) + 0.5, rng.standard_normal((1, 2, 3, 3))
    window = {"kernel_size": 3, "stride": 2, "ceil_mode": True}
    padded = {**window, "padding": 1}
    dilated = {**padded, "kernel_size": 2, "dilation": 2}
    _, indices = pycnn.max_pool2d(backend.array(x), **padded, return_indices=True)

    def check(dx, upstream, pool, *args, **settings):
        def loss(moved):
            y = pool(backend.array(moved), *args, **settings)
            return float((backend.numpy(y) * upstream).sum())

        np.testing.assert_allclose(backend.numpy(dx), numeric_gradient(loss, x), atol=1e-8)

    dx = pycnn.max_pool2d_backward(backend.array(dy), indices, x.shape, **padded)
    check(dx, dy, pycnn.max_pool2d, **padded)
    for settings in (padded, {**dilated, "count_include_pad": False}):
        dx = pycnn.avg_pool2d_backward(backend.array(dy), x.shape, **settings)
        check(dx, dy, pycnn.avg_pool2d, **settings)
    dx = pycnn.adaptive_avg_pool2d_backward(backend.array(dy), x.shape)
    check(dx, dy, pycnn.adaptive_avg_pool2d, 3)
    y = pycnn.lp_pool2d(backend.array(x), 2.5, **dilated)
    dx = pycnn.lp_pool2d_backward(backend.array(dy), backend.array(x), y, 2.5, **dilated)
    check(dx, dy, pycnn.lp_pool2d, 2.5, **dilated)


#: Every pooling of sliding windows, and what comes between x and the kernel's extent.
SLIDING = {
    f"{kind}_pool{axes}d": (2.0,) if kind == "lp" else ()
    for kind in ("max", "avg", "sum", "lp")
    for axes in (1, 2, 3)
}


@pytest.mark.parametrize("stride", [None, (), []], ids=repr)
@pytest.mark.parametrize("name", SLIDING)
def test_without_a_stride_windows_do_not_overlap(backend, rng, name, stride):
    x = backend.array(rng.random((2, 2, *(9,) * int(name[-2]))))
    pool = partial(getattr(pycnn, name), x, *SLIDING[name], 3)
    np.testing.assert_array_equal(backend.numpy(pool(stride)), backend.numpy(pool(3)))


@pytest.mark.parametrize("name", SLIDING)
def test_half_a_window_of_padding_is_allowed(backend, name):
    x = backend.array(np.ones((1, 1, *(4,) * int(name[-2]))))
    assert getattr(pycnn, name)(x, *SLIDING[name], 4, padding=2).shape == x.shape[:2] + (2,) * (
        x.ndim - 2
    )


def test_offsets_beyond_2_to_the_31(rng):
    x = far_apart(rng.standard_normal((2, 3, 4, 5)).astype(np.float32))
    window = [_window.sliding(4, 2, 2, 2), _window.sliding(5, 2, 2, 2)]
    want, where = oracle.max_pool(x, window)
    dy = far_apart(want.astype(np.float32))
    with pycnn.use_backend("emulator", checked=False):
        assert_matches(pycnn.max_pool2d(x, 2), want, "float32")
        dx = pycnn.max_pool2d_backward(dy, where, x.shape, 2)
        assert_matches(dx, oracle.max_pool_backward(dy, where, x.shape), "float32")
        assert_matches(pycnn.avg_pool2d(x, 2), oracle.avg_pool(x, window, 4.0), "float32", 4)
        dx = pycnn.avg_pool2d_backward(dy, x.shape, 2)
        assert_matches(dx, oracle.avg_pool_backward(dy, x.shape, window, 4.0), "float32", 4)
        top = pycnn.global_max_pool(x)
        np.testing.assert_array_equal(top, x.max(axis=(2, 3), keepdims=True))
        y = pycnn.max_unpool2d(dy, where, 2, output_size=(4, 5))
        np.testing.assert_array_equal(y, oracle.max_unpool(dy, where, (4, 5)))


X = np.zeros((2, 3, 5, 6), np.float32)
Y, WHERE = np.zeros((2, 3, 2, 3), np.float32), np.zeros((2, 3, 2, 3), np.int64)

BAD = {
    "rank": (lambda: pycnn.max_pool2d(X[0, 0], 2), ValueError, r"x has shape \(5, 6\) \(rank 2\)"),
    "kernel 0": (lambda: pycnn.max_pool2d(X, 0), ValueError, "kernel_size=0; allowed: int >= 1"),
    "kernel float": (lambda: pycnn.avg_pool2d(X, 2.0), TypeError, "kernel_size=2.0 is of type"),
    "kernel triple": (
        lambda: pycnn.max_pool2d(X, (1, 2, 3)),
        ValueError,
        "kernel_size=.*an int or .vertical, hor",
    ),
    "kernel pair": (
        lambda: pycnn.sum_pool1d(X[0], (1, 2)),
        ValueError,
        "kernel_size=.*an int or .horizontal",
    ),
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
    **{
        f"padding large, {name}": (
            lambda name=name, more=more: getattr(pycnn, name)(X[0], *more, 3, padding=2),
            ValueError,
            "padding=2 with kernel_size=3; allowed: at most half of kernel_size",
        )
        for name, more in SLIDING.items()
        if name.endswith("1d")
    },
    "padding large, backward": (
        lambda: pycnn.avg_pool2d_backward(X, X.shape, 3, padding=(1, 2)),
        ValueError,
        "at most half of kernel_size",
    ),
    "one side large": (
        lambda: pycnn.avg_pool2d(X, 2, padding=((0, 0), (0, 2)), dilation=2),
        ValueError,
        "at most half of kernel_size",
    ),
    "padding sides": (
        lambda: pycnn.sum_pool2d(X, 3, padding=((0, 0), 1)),
        ValueError,
        r"padding=.*\(vertical, horizontal\) or \(\(top, bottom\), \(left, right\)\)",
    ),
    "ceil mode": (lambda: pycnn.max_pool2d(X, 2, ceil_mode=1), TypeError, "ceil_mode=1"),
    "indices flag": (lambda: pycnn.max_pool2d(X, 2, return_indices=1), TypeError, "return_indices"),
    "layout": (lambda: pycnn.max_pool2d(X, 2, layout="CHWN"), ValueError, "layout='CHWN'; allowed"),
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
    "norm 0": (lambda: pycnn.lp_pool2d(X, 0, 2), ValueError, "norm_type=0; allowed: a finite"),
    "norm infinite": (lambda: pycnn.lp_pool2d(X, INF, 2), ValueError, "norm_type=inf; allowed"),
    "norm text": (lambda: pycnn.lp_pool2d(X, "2", 2), TypeError, "norm_type='2' is of type str"),
    "output size 0": (
        lambda: pycnn.adaptive_avg_pool2d(X, (2, 0)),
        ValueError,
        "output_size=0; allowed: int >= 1",
    ),
    "output sizes": (
        lambda: pycnn.adaptive_max_pool2d(X, (2, 2, 2)),
        ValueError,
        r"output_size=\(2, 2, 2\); allowed: an int or None, or 2 of them",
    ),
    "no height": (lambda: pycnn.max_pool2d(X[:, :, :0], 1), ValueError, r"x has shape .*H, W of"),
    "no height in a mean": (
        lambda: pycnn.global_avg_pool(X[:, :, :0]),
        ValueError,
        "x has shape .*of at least 1",
    ),
    "out overlaps": (lambda: pycnn.avg_pool2d(X, 1, out=X), ValueError, "out shares memory with x"),
    "dy shape": (
        lambda: pycnn.avg_pool2d_backward(Y[:, :, 1:], X.shape, 2),
        ValueError,
        r"dy has shape \(2, 3, 1, 3\); allowed: \(2, 3, 2, 3\)",
    ),
    "dy rank": (
        lambda: pycnn.adaptive_avg_pool2d_backward(Y[0], X.shape),
        ValueError,
        r"dy has shape \(3, 2, 3\); allowed: 4 axes",
    ),
    "y shape": (
        lambda: pycnn.lp_pool2d_backward(Y, X, Y[:1], 2, 2),
        ValueError,
        r"y has shape \(1, 3, 2, 3\); allowed: \(2, 3, 2, 3\)",
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
    "indices shape": (
        lambda: pycnn.max_pool2d_backward(Y, WHERE[:1], X.shape, 2),
        ValueError,
        "indices has shape",
    ),
    "indices high": (
        lambda: pycnn.max_pool2d_backward(Y, WHERE + 30, X.shape, 2),
        ValueError,
        r"indices holds 30; allowed: -1 to 5 \* 6 - 1 = 29",
    ),
    "indices low": (
        lambda: pycnn.max_pool2d_backward(Y, WHERE - 2, X.shape, 2),
        ValueError,
        "indices holds -2; allowed: -1 to",
    ),
    "indices beyond the plane": (
        lambda: pycnn.max_unpool2d(Y, WHERE + 24, 2),
        ValueError,
        r"indices holds 24; allowed: -1 to 4 \* 6 - 1 = 23",
    ),
    "unpool shapes": (
        lambda: pycnn.max_unpool2d(Y, WHERE[:, :2], 2),
        ValueError,
        "indices has shape .*the shape of x",
    ),
    "unpool output size": (
        lambda: pycnn.max_unpool2d(Y, WHERE, 2, output_size=(4, 8)),
        ValueError,
        r"output_size=\(4, 8\); allowed: 2 extents between \(2, 4\) and \(6, 8\)",
    ),
    "unpool channels": (
        lambda: pycnn.max_unpool2d_backward(X, WHERE[:, :2]),
        ValueError,
        "indices has shape .*the same N and C",
    ),
}


test_bad_input = refused_on_both(BAD)


#: (N, H, W, C), window, settings: strips of several rows, ragged columns, padding on one side only,
#: a last window that hangs over; all with whole vectors of channels.
CHANNELS = [
    ((2, 37, 23, 8), 3, {"padding": 1}),
    ((1, 36, 22, 16), 3, {"ceil_mode": True}),
    ((2, 19, 25, 24), 2, {}),
    ((1, 18, 11, 8), 2, {"padding": 1, "ceil_mode": True}),
    ((1, 35, 17, 8), 3, {"padding": ((1, 0), (0, 1))}),
    ((1, 2, 1, 8), 3, {"padding": 1}),
]


#: (N, C, H, W), window, settings: rows of whole vectors and of none, several planes a thread,
#: padding in front, behind and on both sides, windows that hang over.
PLANES = [
    ((2, 5, 9, 16), 3, {"padding": 1}),
    ((1, 3, 8, 24), 3, {"ceil_mode": True}),
    ((2, 6, 9, 16), 2, {}),
    ((1, 2, 18, 16), 2, {"padding": 1}),
    ((1, 3, 7, 23), 3, {"padding": 1}),
    ((1, 2, 35, 17), 3, {"padding": ((1, 0), (0, 1))}),
    ((1, 1, 2, 2), 3, {"padding": 1}),
]
VECTORS = [("NHWC", *case) for case in CHANNELS] + [("NCHW", *case) for case in PLANES]


@pytest.mark.parametrize("side", [2, 3])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_channels_of_16_bits_order_as_their_values_do(backend, rng, dtype, side):
    """Which are compared as integers with their places: zeros are equal, of NaN the last counts."""
    kind = numpy_dtype(dtype)
    tiny = {"float16": 2.0**-24, "bfloat16": 2.0**-133}[dtype]
    some = [-INF, -2, -1.5, -tiny, -0.0, 0.0, tiny, 1.5, 2, INF, NAN, -NAN]
    few = rng.choice(np.array(some).astype(kind), (1, 13, 15, 16))
    few[..., :4] = np.copysign(kind.type(0), few[..., :4])
    few[:, :5, :5, 4:6] = -INF
    numbers = np.where(np.isnan(few), kind.type(-2), few)
    window = {"kernel_size": side, "stride": 2, "padding": side // 3, "layout": "NHWC"}
    tested = TESTED["max_pool2d"]
    for x in (few, numbers):
        case = Case("ranks", {"x": x.shape}, {**window, "return_indices": True})
        want, at = tested.oracle(tested.settings(case), {"x": x}).values()
        got = pycnn.max_pool2d(backend.array(x), **window, return_indices=True)
        np.testing.assert_array_equal(backend.numpy(got[0]).astype(np.float32), want)
        np.testing.assert_array_equal(backend.numpy(got[1]), at)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize(("layout", "shape", "side", "settings"), VECTORS, ids=str)
def test_by_vectors(backend, rng, monkeypatch, layout, shape, side, settings, dtype):
    """Aligned and not: the results are those of the oracle, NaN and infinities among them."""
    monkeypatch.setattr(pool_planes, "BUSY", 1)  # several planes a thread
    algo = {"NHWC": "channels", "NCHW": "planes"}[layout]
    x = normal(rng, shape, dtype)
    x.flat[rng.integers(0, x.size, 9)] = -INF
    x[0, 0, 0, :2] = NAN, -INF
    x[0, :2, :, 3 % shape[3]] = -INF
    window = {"kernel_size": side, "stride": 2, **settings, "layout": layout}
    for name, own in (
        ("max_pool2d", {"return_indices": True}),
        ("max_pool2d", {}),
        ("avg_pool2d", {"count_include_pad": False}),
        ("avg_pool2d", {}),
    ):
        tested = TESTED[name]
        chosen = tested.settings(Case("vectors", {"x": shape}, {**window, **own}))
        with np.errstate(all="ignore"):
            want = tested.oracle(chosen, {"x": x})
        for view in (x, behind(x)):
            assert tested.op.plan(tested.op.describe({"x": view}, **chosen)).algo == algo
            got = tested.invoke(getattr(pycnn, name), {"x": backend.array(view)}, chosen)
            for one, expected in zip(got, want.values(), strict=False):
                if expected.dtype.kind == "i":
                    np.testing.assert_array_equal(backend.numpy(one), expected)
                else:
                    assert_matches(one, expected, dtype, side * side, backend)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize(("layout", "shape", "side", "settings"), VECTORS, ids=str)
def test_gradients_by_vectors(backend, rng, layout, shape, side, settings, dtype):
    """Aligned and not, with NaN and a window that sends nothing: as the oracle has it."""
    algo = {"NHWC": "channels", "NCHW": "planes"}[layout]
    window = {"kernel_size": side, "stride": 2, **settings, "layout": layout}
    for name, own in (
        ("max_pool2d_backward", {}),
        ("avg_pool2d_backward", {"count_include_pad": False}),
        ("avg_pool2d_backward", {}),
    ):
        tested = TESTED[name]
        case = Case("vectors", {"x": shape}, {**window, **own})
        given, chosen = tested.draw(case, rng, dtype), tested.settings(case)
        given["dy"].flat[0] = NAN
        if "indices" in given:
            given["indices"].flat[-1] = -1  # sends nothing
        (want,) = tested.oracle(chosen, given).values()
        for moved in (False, True):
            views = {n: behind(a) if moved else a for n, a in given.items()}
            assert tested.op.plan(tested.op.describe(views, **chosen)).algo == algo
            views = {n: backend.array(a) for n, a in views.items()}
            (got,) = tested.invoke(getattr(pycnn, name), views, chosen)
            assert_matches(got, want, dtype, side * side, backend)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("side", [2, 3])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_vectors_move_little_more_than_they_must(rng, layout, side, dtype):
    """Whole sectors, wide accesses, and at most a quarter more than each array once."""
    x = normal(rng, (2, 64, 64, 64), dtype)
    settings = {"kernel_size": side, "stride": 2, "padding": side // 3, "layout": layout}
    name = {"NCHW": "planes", "NHWC": "channels"}[layout]
    with pycnn.use_backend("emulator", checked=True):
        for pool, entry, also in (
            (pycnn.max_pool2d, f"max_pool_{name}", {}),
            (pycnn.max_pool2d, f"max_pool_{name}_indices", {"return_indices": True}),
            (pycnn.avg_pool2d, f"avg_pool_{name}", {}),
        ):
            with counting() as log:
                results = pool(x, **settings, **also)
            ((found, counters),) = log.launches
            assert found == entry
            results = results if isinstance(results, tuple) else (results,)
            written = sum(result.nbytes for result in results)
            assert counters.global_store_sectors * 32 == written
            # Of 3x3 in planes L1 is asked for three rows of x for every two, and for as many
            # sectors beside the vectors.
            asked = {2: 1, 3: 1.57 if layout == "NHWC" else 3}[side] * x.nbytes
            assert counters.bytes_moved <= asked + written
            # Of a request 32 lanes have 512 bytes; at the edge of an image some have none.
            narrow = layout == "NCHW" and dtype == "bfloat16" and also
            assert counters.sectors_per_load > (7 if narrow else 14)
            assert counters.bank_conflicts == 0


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("side", [2, 3])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_gradients_by_vectors_move_little_more_than_they_must(rng, layout, side, dtype):
    """Whole sectors of dx; what neighbours share is asked of L1 twice."""
    of_x, of_y = (2, 64, 64, 64), ((2, 64, 32, 32) if layout == "NCHW" else (2, 32, 32, 64))
    settings = {"kernel_size": side, "stride": 2, "padding": side // 3, "layout": layout}
    dy, at = normal(rng, of_y, dtype), np.zeros(of_y, np.int64)
    with pycnn.use_backend("emulator", checked=True), counting() as log:
        dx = pycnn.max_pool2d_backward(dy, at, of_x, **settings)
        pycnn.avg_pool2d_backward(dy, of_x, **settings)
    name = {"NCHW": "planes", "NHWC": "channels"}[layout]
    for (entry, counters), read in zip(
        log.launches, (dy.nbytes + at.nbytes, dy.nbytes), strict=True
    ):
        assert entry.endswith(f"pool_{name}_backward")
        assert counters.global_store_sectors * 32 == dx.nbytes
        # A thread reads indices by vectors that are halves of sectors, and of 3x3 windows, of a few
        # images, three rows for every two and in each of them the windows of its neighbour.
        most = {"NCHW": (1.05, 3.1), "NHWC": (2.05, 6.2)}[layout][side - 2]
        assert counters.global_load_sectors * 32 <= most * read
        assert counters.bank_conflicts == 0


@pytest.mark.parametrize(
    ("file", "entry", "window", "blocks"),
    [
        ("channels", "max_pool_channels_indices", 2, 4),
        ("channels", "max_pool_channels", 3, 4),
        ("channels_backward", "avg_pool_channels_backward", 3, 7),
        ("channels_backward", "max_pool_channels_backward", 3, 5),
    ],
)
def test_registers_of_channels(file, entry, window, blocks):
    """So many blocks fit on a multiprocessor of an H200, and nothing leaves the registers."""
    pytest.importorskip("llvmlite")
    from pycnn.predict import code

    defines = (("SCALAR", SCALAR["bfloat16"]), ("WINDOW", str(window)))
    used = code.of_kernel(Kernel(f"pool/{file}.cu", entry, defines), "sm_90a").resources
    assert used.local == 0
    assert occupancy("sm_90a", 128, used.registers, used.shared).blocks >= blocks


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize(
    ("layout", "shape", "algo"),
    [
        ("NHWC", (2, 7, 7, 40), "channels"),
        ("NHWC", (1, 3, 5, 272), "channels"),
        ("NHWC", (1, 3, 5, 6), "in place"),
        ("NCHW", (3, 43, 5, 5), "odd planes"),
        ("NCHW", (7, 41, 7, 7), "odd planes"),
        ("NCHW", (2, 3, 7, 6), "staged"),
        ("NCHW", (1, 2, 40, 50), "staged"),
    ],
)
def test_global_means_by_vectors(backend, rng, layout, shape, algo, dtype):
    """Aligned, and one element behind that; some channels are of a tile that ends early."""
    tested = TESTED["global_avg_pool"]
    chosen = {"layout": layout}
    x = normal(rng, shape, dtype)
    x.flat[-1] = NAN
    (want,) = tested.oracle(chosen, {"x": x}).values()
    if dtype == "float64":
        algo = {"in place": "channels"}.get(algo, algo) if shape[-1] != 7 else "staged"
    for view in (x, view_of(x, "misaligned")):
        assert tested.op.plan(tested.op.describe({"x": view}, **chosen)).algo == algo
        (got,) = tested.invoke(pycnn.global_avg_pool, {"x": backend.array(view)}, chosen)
        assert_matches(got, want, dtype, 2000, backend)
