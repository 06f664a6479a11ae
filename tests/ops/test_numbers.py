"""What everyday tests do not try: extremes, special values, odd arrays, alike on every backend.

Each was found by use or by `make fuzz`, and stands for a kind.
"""

import warnings

import numpy as np
import pytest

import pycnn

INF, NAN = np.inf, np.nan
ONES = np.ones((1, 1, 8), np.float32)


@pytest.fixture(autouse=True)
def strict():
    """No warning leaks, and no error that NumPy was told to raise."""
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        yield


def f4(*values):
    return np.array(values, np.float32)


def equal(backend, found, wanted, rtol=2e-6):
    got = backend.numpy(found).astype(np.float64)
    np.testing.assert_allclose(got, wanted, rtol=rtol, atol=0)


@pytest.mark.parametrize(("a", "b"), [((1, 3), (3,)), ((3,), (1, 1, 3)), ((1, 1), ()), ((), (1,))])
def test_gradients_have_the_shapes_of_their_operands(backend, a, b):
    dy, x, y = (backend.array(np.ones(s, "f4")) for s in (np.broadcast_shapes(a, b), a, b))
    assert [g.shape for g in pycnn.add_backward(dy, a, b)] == [a, b]
    assert [g.shape for g in pycnn.mul_backward(dy, x, y)] == [a, b]
    assert [g.shape for g in pycnn.add_n_backward(dy, [a, b, a])] == [a, b, a]


@pytest.mark.parametrize(
    ("function", "x", "wanted"),
    [
        ("silu", (-89, -95), (-1.9823536e-37, -5.2450282e-40)),
        ("sigmoid", (-89, -95), (2.2273636e-39, 5.5210823e-42)),
        ("mish", (-89, -95), (-1.9823536e-37, -5.2450282e-40)),
        ("softplus", (-89, -95), (2.2273636e-39, 5.5210823e-42)),
    ],
)
def test_small_results_are_kept(backend, function, x, wanted):
    found = getattr(pycnn, function)(backend.array(f4(*x)))
    equal(backend, found, wanted, rtol=2e-3)  # below 1e-38 there are few bits


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        ("silu_backward", (-1.9600799e-37, -5.1898173e-40)),
        ("sigmoid_backward", (2.2273636e-39, 5.5210823e-42)),
        ("mish_backward", (-1.9600799e-37, -5.1898173e-40)),
        ("softplus_backward", (2.2273636e-39, 5.5210823e-42)),
    ],
)
def test_small_gradients_are_kept(backend, function, wanted):
    x, one = backend.views(f4(-89, -95), f4(1, 1))
    equal(backend, getattr(pycnn, function)(one, x), wanted, rtol=2e-3)


def test_gelu_keeps_small_results(backend):
    x = backend.array(f4(-9, -10))
    # x s(2 u) of u = sqrt(2 / pi) (x + 0.044715 x^3), worked out with 50 digits
    equal(backend, pycnn.gelu(x, approximate="tanh"), (-1.3364596e-28, -1.2040923e-37), rtol=3e-5)


def test_infinite_gradients_end_where_hardswish_is_flat(backend):
    """PyTorch's gradient is 0 there whatever comes from above."""
    dy, x = backend.views(f4(NAN, INF, -INF, NAN), f4(-4, -3, -5, 4))
    equal(backend, pycnn.hardswish_backward(dy, x), (0, 0, 0, NAN))


# x, target, and max(x, 0) - x t + log1p(exp(-|x|)); infinities of no consequence cost nothing
COSTS = [
    (-10, 0, 4.5398899217e-05),
    (-17, 0, 4.1399376704e-08),
    (17, 1, 4.1399376704e-08),
    (-100, 0, 3.7200759760e-44),
    (0, 0.25, 0.6931471806),
    (3, 0.5, 1.5485873516),
    (INF, 1, 0),
    (-INF, 0, 0),
    (INF, 0, INF),
    (-INF, 1, INF),
    (1, INF, -INF),
    (1, -INF, INF),
    (-1, INF, INF),
    (NAN, 1, NAN),
    (1, NAN, NAN),
]


@pytest.mark.parametrize(("x", "target", "cost"), COSTS)
@pytest.mark.parametrize("weighted", [False, True])
def test_binary_cross_entropy_keeps_digits_and_infinities(backend, x, target, cost, weighted):
    x, target, one = backend.views(f4(x), f4(target), f4(1))
    weights = {"weight": one, "pos_weight": one} if weighted else {}
    loss = pycnn.binary_cross_entropy_with_logits(x, target, reduction="none", **weights)
    equal(backend, loss, [cost], rtol=1e-6 if cost > 1e-40 else 0.05)


@pytest.mark.parametrize(
    ("x", "target", "slope"),  # s(x) - t
    [
        (-17, 0, 4.1399375e-08),
        (17, 1, -4.1399375e-08),
        (-95, 0, 5.5210823e-42),
        (INF, 1, 0),
        (-INF, 0, 0),
        (1, INF, -INF),
        (-1, -INF, INF),
        (0, 0.25, 0.25),
        (2, 0, 0.8807970780),
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_gradient_of_binary_cross_entropy_keeps_digits(backend, x, target, slope, weighted):
    x, target, one = backend.views(f4(x), f4(target), f4(1))
    weights = {"weight": one, "pos_weight": one} if weighted else {}
    dx = pycnn.binary_cross_entropy_with_logits_backward(
        one, x, target, reduction="none", **weights
    )
    equal(backend, dx, [slope], rtol=1e-6 if abs(slope) > 1e-37 else 1e-3)


@pytest.mark.parametrize("first", [-0.0, 0.0])
def test_zeros_of_either_sign_are_remembered_apart(backend, first):
    """-0.0 == 0.0: what was planned for the one must not serve the other."""
    x, zero = backend.views(f4(1), f4(0))
    for value in (first, -first):
        padded = backend.numpy(pycnn.pad(x, (1, 0), value=value))
        assert np.signbit(padded[0]) == np.signbit(value)
        scaled = backend.numpy(pycnn.leaky_relu(-x, negative_slope=value))
        assert np.signbit(scaled[0]) == np.signbit(-value)
        added = backend.numpy(pycnn.add(-zero, x, alpha=value))
        assert np.signbit(added[0]) == np.signbit(value)


@pytest.mark.parametrize("kind", ["MaskedArray", "matrix"])
@pytest.mark.parametrize("function", [pycnn.sum, pycnn.softmax, pycnn.relu])
def test_arrays_with_a_meaning_of_their_own_are_refused(backend, kind, function):
    if backend.name == "cuda":
        pytest.skip("NumPy's subclasses are never CuPy's arrays")
    kinds = {"MaskedArray": np.ma.MaskedArray, "matrix": np.matrix}
    x = np.ones((2, 3), np.float32).view(kinds[kind])
    with pytest.raises(TypeError, match=f"x is of type {kind}; allowed: .*asarray"):
        function(x)


def test_arrays_in_files_are_plain(backend, tmp_path):
    """np.memmap is a subclass that means nothing else."""
    if backend.name == "cuda":
        pytest.skip("NumPy's subclasses are never CuPy's arrays")
    x = np.memmap(tmp_path / "x", np.float32, "w+", shape=(2, 3))
    x[...] = [[1, 2, 3], [4, 5, 6]]
    out = np.memmap(tmp_path / "out", np.float32, "w+", shape=(2, 3))
    assert type(pycnn.add(x, x)) is np.ndarray
    assert type(pycnn.softmax(x)) is np.ndarray
    assert pycnn.add(x, x, out=out) is out
    assert out.tolist() == [[2, 4, 6], [8, 10, 12]]


@pytest.mark.parametrize("value", [2**31, 2**32, 2**63, 2**64])
@pytest.mark.parametrize(
    ("function", "settings"),
    [
        (pycnn.max_pool1d, {"kernel_size": 1, "stride": 1, "dilation": "huge"}),
        (pycnn.max_pool1d, {"kernel_size": 2, "stride": "huge"}),
        (pycnn.avg_pool1d, {"kernel_size": 2, "padding": "huge"}),
        (pycnn.lp_pool1d, {"norm_type": 2, "kernel_size": "huge"}),
        (lambda x, **s: pycnn.conv1d(x, x[..., :3], **s), {"dilation": "huge"}),
        (lambda x, **s: pycnn.conv1d(x, x[..., :3], **s), {"padding": "huge"}),
        (lambda x, **s: pycnn.conv_transpose1d(x, x, **s), {"stride": "huge"}),
        (lambda x, **s: pycnn.unfold(x[None], 1, **s), {"stride": "huge"}),
    ],
)
def test_huge_settings_are_refused_at_once(backend, function, settings, value):
    given = {name: value if s == "huge" else s for name, s in settings.items()}
    with pytest.raises(ValueError, match="allowed"):
        function(backend.array(ONES), **given)


def test_large_settings_without_effect_are_none(backend):
    """Nothing lies between the taps of a single one, nor behind the last window."""
    x, most = backend.array(ONES), 2**31 - 1
    for pool in (pycnn.max_pool1d, pycnn.avg_pool1d):
        equal(backend, pool(x, 1, most), [[[1]]])
    equal(backend, pycnn.max_pool1d(x, 1, 1, 0, most), ONES)


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"dilation": 2**29, "padding": 2**29, "stride": 2**20}, [2]),
        ({"dilation": 2**29, "padding": 2**29, "stride": 2**29}, [2]),
        ({"dilation": 2**28, "padding": 2**29, "stride": 2**28}, [4, 2, 1]),
    ],
)
def test_padding_far_beyond_the_input_is_never_made(backend, settings, wanted):
    """Filter 1, 2, 4: which of its taps meets the one element, window by window."""
    x, w = backend.views(np.ones((1, 1, 1), "f4"), f4(1, 2, 4)[None, None])
    y = pycnn.conv1d(x, w, **settings)
    equal(backend, y, [[wanted]])
    dx, dw, _ = pycnn.conv1d_backward(
        backend.array(np.ones_like(backend.numpy(y))), x, w, **settings
    )
    equal(backend, dx, [[[sum(wanted)]]])
    equal(backend, dw, [[[float(tap in wanted) for tap in (1, 2, 4)]]])


def test_padding_of_volumes_is_never_made(backend):
    x, w = backend.views(np.ones((1, 1, 1, 2, 2), "f4"), np.ones((1, 1, 3, 2, 2), "f4"))
    y = pycnn.conv3d(x, w, dilation=(2**28, 1, 1), padding=(2**28, 0, 0), stride=(2**28, 1, 1))
    equal(backend, y, [[[[[4]]]]])


@pytest.mark.parametrize("pool", [pycnn.max_pool1d, pycnn.avg_pool1d])
def test_a_window_far_larger_than_the_input(backend, pool):
    """Only 8 of its taps meet anything."""
    most = 2**31 - 1
    settings = {} if pool is pycnn.max_pool1d else {"count_include_pad": False}
    y = pool(backend.array(ONES), most, 1, most // 2, **settings)
    assert backend.numpy(y).ravel().tolist() == [1] * 8


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("crop", [(-1, -1), (-2, 0), (0, -2)])
def test_a_crop_that_leaves_nothing(backend, mode, crop):
    x = backend.array(np.ones((3, 2), np.float32))
    y = pycnn.pad(x, crop, mode)
    assert y.shape == (3, 0)
    assert backend.numpy(pycnn.pad_backward(y, crop, mode)).tolist() == [[0, 0]] * 3


def test_ignore_index_is_any_int64(backend):
    logits, target = backend.views(np.zeros((2, 3), "f4"), np.array([0, 1]))
    for most in (2**63 - 1, -(2**63)):
        equal(backend, pycnn.cross_entropy(logits, target, ignore_index=most), np.log(3))
    for beyond in (2**63, -(2**63) - 1):
        for loss in (pycnn.cross_entropy, pycnn.nll_loss):
            with pytest.raises(ValueError, match=f"ignore_index={beyond}; allowed"):
                loss(logits, target, ignore_index=beyond)


BIG = np.array([60000, 60000], np.float16)
IMAGE = np.full((1, 1, 4, 4), 60000, np.float16)


@pytest.mark.parametrize(
    "call",
    [
        lambda put: pycnn.add(put(BIG), put(BIG)),
        lambda put: pycnn.mul(put(BIG), put(BIG)),
        lambda put: pycnn.add_n([put(BIG), put(BIG)]),
        lambda put: pycnn.sum(put(BIG)),
        lambda put: pycnn.selu(put(np.array([65504, 65504], np.float16))),
        lambda put: pycnn.mse_loss(put(BIG), put(-BIG)),
        lambda put: pycnn.gemm(put(BIG[None]), put(BIG[:, None])),
        lambda put: pycnn.conv2d(put(IMAGE), put(IMAGE[..., :3, :3])),
        lambda put: pycnn.linear_backward(
            put(np.array([[INF]], np.float16)), put(BIG[None, :1]), put(BIG[None, :1])
        )[0],
        lambda put: pycnn.add(put(BIG), put(BIG), alpha=1e300),
    ],
    ids=[
        "add",
        "mul",
        "add_n",
        "sum",
        "selu",
        "mse_loss",
        "gemm",
        "conv2d",
        "linear_backward",
        "alpha",
    ],
)
def test_overflow_is_infinite_and_silent(backend, call):
    """As in the kernels: nothing warns, and nothing raises (see `strict`)."""
    found = backend.numpy(call(backend.array))
    assert np.isinf(found.astype(np.float64)).all()


def test_underflow_is_silent(backend):
    equal(backend, pycnn.softmax(backend.array(f4(0, -1000))), (1, 0))
    equal(backend, pycnn.mul(*backend.views(f4(1e-30), f4(1e-30))), [0])


def normalised(x, eps=1e-5):
    """By hand, where the squares of float64 are none of float32."""
    x = np.asarray(x, np.float64)
    off = x - x.mean()
    return off / np.sqrt((off**2).mean() + eps)


WIDE = [
    (-3e30, 1e30, 2e30, 0),
    (3.4e38, -3.4e38, -3.4e38, -3.4e38),
    (3.4e38, 3.3e38, 3.4e38, 3.4e38),
    (1e19, 2e19, 3e19, 5e19),
    (3e38,) * 4,
]


@pytest.mark.parametrize("values", WIDE, ids=str)
@pytest.mark.parametrize("length", [4, 36])
def test_normalisation_of_any_finite_values(backend, values, length):
    """Their squares overflow; z is right all the same, forward and in every gradient."""
    row = np.resize(f4(*values), length)
    z = normalised(row)
    other = np.arange(length) / length - 0.5  # an everyday neighbour
    both = np.stack([row, other.astype("f4")])
    wanted = np.stack([z, normalised(other.astype("f4"))])
    close = {"rtol": 3e-5, "atol": 3e-6}

    def check(found, want):
        np.testing.assert_allclose(backend.numpy(found).astype(np.float64), want, **close)

    x = backend.array(both)
    check(pycnn.layer_norm(x, length), wanted)
    images = backend.array(both[None])  # (1, 2, length)
    check(pycnn.instance_norm(images), wanted[None])
    check(pycnn.group_norm(images, 2), wanted[None])
    check(pycnn.batch_norm_train(images)[0], wanted[None])
    last = backend.array(np.ascontiguousarray(both.T[None]))
    check(pycnn.batch_norm_train(last, layout="NHWC")[0], wanted.T[None])
    check(pycnn.group_norm(last, 2, layout="NHWC"), wanted.T[None])


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("large", [1.0, 1e20, 1e30, 3e38])
def test_responses_to_any_finite_values(backend, large, layout):
    x = f4(1, large, 3, 4, -large / 2, 6)
    v = x.astype(np.float64)
    squares = np.convolve(v**2, np.ones(3), "same")
    d = 2 + 1e-4 / 3 * squares
    dy = np.arange(1, 7) / 4
    terms = np.convolve(dy * v * d**-1.75, np.ones(3), "same")
    dx = dy * d**-0.75 - 2 * 1e-4 / 3 * 0.75 * v * terms
    shape = (1, 6, 1, 1) if layout == "NCHW" else (1, 1, 1, 6)
    x, g = backend.views(x.reshape(shape), dy.astype("f4").reshape(shape))
    settings = {"size": 3, "k": 2.0, "layout": layout}
    y = pycnn.local_response_norm(x, **settings)
    found = pycnn.local_response_norm_backward(g, x, **settings)
    # below 1e-38 numbers have few bits
    np.testing.assert_allclose(backend.numpy(y).ravel(), v * d**-0.75, rtol=1e-5, atol=1e-44)
    np.testing.assert_allclose(backend.numpy(found).ravel(), dx, rtol=1e-3, atol=3e-38)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_a_response_of_minus_infinity_divides_to_zero(backend, layout):
    shape = (1, 3, 1, 1) if layout == "NCHW" else (1, 1, 1, 3)
    x = backend.views(f4(-2, np.inf, 4).reshape(shape))[0]
    y = backend.numpy(pycnn.local_response_norm(x, 3, alpha=-1.0, layout=layout)).ravel()
    np.testing.assert_array_equal(y[[0, 2]], [0, 0])
    assert list(np.signbit(y[[0, 2]])) == [True, False]


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_windows_far_wider_than_the_channels(backend, layout):
    x = f4(*range(1, 31)).reshape(2, 3, 5)
    dy = f4(*range(30)).reshape(2, 3, 5)
    axis = 1 if layout == "NCHW" else 2
    view, g = backend.views(x, dy)
    settings = {"size": 2**40, "alpha": 2.0**40, "beta": 2.0, "layout": layout}
    y = backend.numpy(pycnn.local_response_norm(view, **settings))
    dx = backend.numpy(pycnn.local_response_norm_backward(g, view, **settings))
    x, dy = x.astype("f8"), dy.astype("f8")
    d = 1 + (x * x).sum(axis, keepdims=True)
    np.testing.assert_allclose(y, x / d**2, rtol=1e-5)
    want = dy / d**2 - 4 * x * (dy * x / d**3).sum(axis, keepdims=True)
    np.testing.assert_allclose(dx, want, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("values", WIDE[:2] + WIDE[3:4], ids=str)
def test_gradient_of_normalisation_of_any_finite_values(backend, values):
    row = f4(*values)
    dy = f4(0.5, -1, 2, 1)
    x64, g = row.astype(np.float64), dy.astype(np.float64)
    z = normalised(x64)
    rstd = 1 / np.sqrt(x64.var() + 1e-5)
    want = rstd * (g - g.mean() - z * (g * z).mean())

    def check(found, want):
        got = backend.numpy(found).astype(np.float64)
        close = 1e-5 * np.abs(want).max() + 1e-44  # rstd may be subnormal, and dx is
        np.testing.assert_allclose(got.ravel(), np.ravel(want), rtol=1e-3, atol=close)

    g, x = backend.views(dy[None], row[None])
    dx, dweight, _ = pycnn.layer_norm_backward(g, x, 4)
    check(dx, want)
    check(dweight, dy * z)
    g, x = backend.views(dy[None, None], row[None, None])
    for backward in (
        pycnn.instance_norm_backward,
        lambda dy, x: pycnn.group_norm_backward(dy, x, 1),
        lambda dy, x: pycnn.batch_norm_train_backward(dy, x, *pycnn.batch_norm_train(x)[1:3]),
    ):
        dx, dweight, _ = backward(g, x)
        check(dx, want)
        check(dweight, (dy * z).sum())


def test_nothing_has_results_of_its_shape(backend):
    """No channels, no groups, no elements to reduce and none to return."""
    x = backend.array(np.zeros((2, 0, 4, 8), np.float32))
    assert pycnn.instance_norm(x).shape == pycnn.group_norm(x, 3).shape == x.shape
    for gradients in (
        pycnn.instance_norm_backward(x, x),
        pycnn.group_norm_backward(x, x, 3),
    ):
        assert [g.shape for g in gradients] == [x.shape, (0,), (0,)]
    y = backend.array(np.zeros((3, 0, 5, 0), np.float32))
    for reduce in (pycnn.amax, pycnn.amin, pycnn.argmax):
        assert reduce(y, axis=1).shape == (3, 5, 0)


@pytest.mark.parametrize("pool", [pycnn.adaptive_avg_pool2d, pycnn.adaptive_max_pool2d])
def test_no_results_of_any_extent(backend, pool):
    """Nothing is gone through for a result without elements; what no array can be is refused."""
    x = backend.array(np.zeros((0, 3, 4, 3), np.float32))
    assert pool(x, (2**29, 3)).shape == (0, 3, 2**29, 3)
    with pytest.raises(ValueError, match=r"y would have shape .*allowed: below 2\^63 bytes"):
        pool(x, 2**31 - 1)


def test_a_constant_too_small_for_the_dtype_is_zero(backend):
    x = backend.array(np.ones(1, np.float16))
    assert backend.numpy(pycnn.pad(x, (1, 0), value=1e-30)).tolist() == [0, 1]


def test_the_gradient_of_tanh_does_not_overflow(backend):
    dy, x = backend.views(f4(3e38), f4(0.1))
    equal(backend, pycnn.tanh_backward(dy, x), [2.9701975e38], rtol=1e-5)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_weights_of_other_classes_do_not_count(backend, reduction):
    logits, target, weight = backend.views(np.zeros((2, 3), "f4"), np.array([0, 1]), f4(1, 1, INF))
    loss = pycnn.cross_entropy(logits, target, weight, reduction=reduction)
    one = backend.array(np.ones_like(backend.numpy(loss)))
    dx = pycnn.cross_entropy_backward(one, logits, target, weight, reduction=reduction)
    assert np.isfinite(backend.numpy(dx)).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_an_infinite_weight_costs_infinitely_much(backend, smoothing):
    """As in PyTorch: the cost is infinite, and of two infinities the target's slope is none."""
    logits, target, weight = backend.views(np.zeros((1, 3), "f4"), np.array([2]), f4(1, 1, INF))
    settings = {"reduction": "sum", "label_smoothing": smoothing}
    equal(backend, pycnn.cross_entropy(logits, target, weight, **settings), INF)
    one = backend.array(f4(1).reshape(()))
    dx = pycnn.cross_entropy_backward(one, logits, target, weight, **settings)
    equal(backend, dx, [[INF, INF, NAN]])


def test_the_share_of_a_class_of_infinite_weight_is_infinite(backend):
    logits, target, weight = backend.views(np.zeros((1, 3), "f4"), np.array([0]), f4(1, 1, INF))
    equal(backend, pycnn.cross_entropy(logits, target, weight, label_smoothing=0.1), INF)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_probability_that_is_none_is_refused_by_one_error(backend, dtype):
    if backend.name == "cuda":
        pytest.skip("values on a GPU are looked at later")
    x = backend.array(np.array([0.5, NAN], dtype))
    with pytest.raises(ValueError, match="x holds nan; allowed: 0 to 1"):
        pycnn.binary_cross_entropy(x, backend.array(np.array([0, 1], dtype)))
