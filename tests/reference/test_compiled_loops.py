"""The compiled loops of the CPU path, by every instruction set that this processor has."""

import numpy as np
import pytest
from conv_shapes import ALL, METHODS, SAME, Case, assert_close

from pycnn.reference.cpu import _direct, _loops, _norm_loops, conv as cpu, norm, pool
from pycnn.reference.cpu._elementwise import in_blocks, is_finite
from pycnn.reference.cpu._geometry import Conv
from pycnn.reference.cpu.activation import relu, relu_backward
from pycnn.reference.oracle import conv as oracle

pytestmark = pytest.mark.skipif(_loops.compiled is None, reason="built without a C++ compiler")
SETS = _loops.compiled.sets() if _loops.compiled else ["none"]
#: Bands of rows, chunks of channels, blocks of filters, rows that end in the padding of the next.
CASES = [
    *(case for case in [*ALL, *(c for _, c in METHODS)] if 0 < np.prod(case.x) < 1e5),
    Case((1, 9, 41, 67), (5, 3, 3), padding=SAME),
    Case((2, 130, 7, 6), (70, 3, 3), padding=SAME),
    Case((5, 7, 6, 5), (9, 4, 2), padding=((0, 3), (3, 0))),
    Case((3, 4, 5, 6), (6, 2, 3), padding=((2, 3), (4, 1)), dilation=(1, 2)),
    Case((2, 6, 9, 8), (9, 3, 3), stride=(2, 3), padding=SAME, dilation=(2, 1), groups=3),
    Case((1, 40, 3, 3), (520, 1, 1)),
]
TAKEN = [case for case in CASES if _direct.applies(Conv(case.x, case.weight, *case.geometry))]


@pytest.fixture(params=SETS)
def instructions(request):
    before = _loops.compiled.chosen()
    _loops.compiled.choose(request.param)
    yield request.param
    _loops.compiled.choose(before)


def test_most_cases_are_taken():
    assert len(TAKEN) > 0.8 * len(CASES)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", TAKEN, ids=str)
def test_convolution_and_gradients_are_those_of_the_oracle(case, dtype, rng, instructions):
    x, w, b = case.arrays(rng, dtype)
    conv = Conv(x.shape, w.shape, *case.geometry)
    want = oracle.convolve(x, w, b, *case.geometry)
    y = np.full(conv.y_shape, np.nan, dtype)
    _direct.forward(conv, x, w, b, y)
    assert_close(y, want, dtype, w[0].size)
    dy = rng.standard_normal(want.shape).astype(dtype)
    dx, dw, _ = oracle.convolve_backward(dy, x, w, *case.geometry)
    assert_close(_direct.input_gradient(conv, dy, w), dx, dtype, w[:, 0].size)
    assert_close(_direct.weight_gradient(conv, dy, x), dw, dtype, dy[:, 0].size)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_where_it_belongs(value, rng):
    case = Case((2, 3, 8, 9), (4, 3, 3), padding=SAME)
    assert cpu.conv_method(case.x, case.weight, *case.geometry) == "direct"
    x, w, b = case.arrays(rng, np.float32)
    x[1, 1, 0, 8] = value
    dy = rng.standard_normal((2, 4, 8, 9)).astype(np.float32)
    assert_close(cpu.conv2d(x, w, b, *case.geometry), oracle.convolve(x, w, b, *case.geometry),
                 np.float32, 27)  # fmt: skip
    wants = oracle.convolve_backward(dy, x, w, *case.geometry)
    for got, want in zip(cpu.conv2d_backward(dy, x, w, *case.geometry), wants, strict=True):
        assert_close(got, want, np.float32, 144)


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_a_filter_that_is_not_finite_stays_within_its_window(value):
    weight = np.ones((1, 1, 3, 3))
    weight[0, 0, 0, 0] = value
    ones = np.ones((1, 1, 2, 2))
    dx, *_ = cpu.conv2d_backward(
        ones, ones, weight, *Case((1, 1, 2, 2), (1, 3, 3), padding=SAME).geometry
    )
    np.testing.assert_array_equal(dx, [[[[value, 4], [4, 4]]]])


def test_who_has_few_channels_takes_them_and_who_has_many_does_not():
    def method(*shape, **more):
        case = Case(*shape, **more)
        return cpu.conv_method(case.x, case.weight, *case.geometry)

    assert method((64, 16, 32, 32), (16, 3, 3), padding=SAME) == "direct"
    assert method((4, 512, 14, 14), (512, 3, 3), padding=SAME, groups=512) == "direct"
    assert method((64, 6, 14, 14), (16, 1, 1)) == "direct"
    assert method((64, 64, 8, 8), (64, 3, 3), padding=SAME) == "direct"
    assert method((8, 128, 56, 56), (128, 3, 3), padding=SAME) == "winograd"
    assert method((8, 256, 14, 14), (512, 3, 3), stride=(2, 2), padding=SAME) == "im2col"
    assert method((4, 64, 56, 56), (64, 1, 1)) == "gemm"


@pytest.mark.parametrize("rectified", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(5, 7, 6, 9), (3, 2, 70, 71), (9, 4), (2, 3, 1)])
def test_batch_norm_says_what_numpy_says(shape, dtype, rectified, rng, instructions, monkeypatch):
    x, dy = (3 * rng.standard_normal((2, *shape)) + 40).astype(dtype)
    residual = rng.standard_normal(shape).astype(dtype) if rectified else None
    weight, bias = rng.standard_normal((2, shape[1])).astype(dtype)
    monkeypatch.setattr(_loops, "fast", lambda: True)
    assert _norm_loops.take(1, x)
    results, rectified_y = [], None
    for _ in range(2):
        y, *moments = norm.batch_norm_train(x, weight, bias, 1, 1e-5, residual, rectified)
        if rectified:
            rectified_y = y if rectified_y is None else rectified_y  # the same mask
        grads = norm.batch_norm_train_backward(dy, x, *moments[:2], weight, 1, rectified_y)
        fixed = norm.batch_norm(x, *moments[::2], weight, bias, 1, 1e-5)
        results.append((y, *moments, *grads, fixed))
        monkeypatch.setattr(_loops, "fast", lambda: False)
    for got, want in zip(*results, strict=True):
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        scale = max(1, np.abs(want).max())
        np.testing.assert_allclose(got, want, rtol=0, atol=300 * np.finfo(dtype).eps * scale)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 15, 16, 37, 70_001])
def test_relu_says_what_numpy_says(size, dtype, rng, instructions, monkeypatch):
    """Not a number, infinities and zeros of both signs among them, and over itself."""
    x, dy = rng.choice([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, -2.5], (2, size)).astype(dtype)
    monkeypatch.setattr(_loops, "fast", lambda: True)
    got = in_blocks(relu, (x,), (), None), in_blocks(relu_backward, (dy, x), (), None)
    y, g = x.copy(), dy.copy()
    in_blocks(relu, (y,), (), y)
    in_blocks(relu_backward, (g, x), (), g)
    monkeypatch.setattr(_loops, "fast", lambda: False)
    want = in_blocks(relu, (x,), (), None), in_blocks(relu_backward, (dy, x), (), None)
    for a, b, c in zip(got, want, (y, g), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(c, b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0, 1, 33, 70_001])
def test_what_is_not_finite_is_found_wherever_it_is(size, dtype, rng, instructions, monkeypatch):
    monkeypatch.setattr(_loops, "fast", lambda: True)
    x = np.full(size, np.finfo(dtype).max, dtype)  # whose sum is not finite
    assert is_finite(x)
    for place, value in zip(
        {0, size // 2, size - 1} & {*range(size)}, [np.nan, np.inf, -np.inf], strict=False
    ):
        x[place] = value
        assert not is_finite(x)
        x[place] = 0


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_batch_norm_leaves_what_overflows_to_numpy(value, rng, monkeypatch):
    x = rng.standard_normal((4, 3, 5, 5)).astype(np.float32)
    x[1, 1, 2, 3] = value
    assert _norm_loops.take(1, x)
    got = norm.batch_norm_train(x, None, None, 1, 1e-5)
    monkeypatch.setattr(_loops, "compiled", None)
    for a, b in zip(got, norm.batch_norm_train(x, None, None, 1, 1e-5), strict=True):
        assert a.tobytes() == b.tobytes()


def test_batch_norm_that_overflows_on_the_way_alone(rng):
    """Large weights of a small spread; and a weight of zero, of which zero comes out."""
    x = (1000 + 1e-3 * rng.standard_normal((2, 3, 4))).astype(np.float32)
    assert np.isfinite(norm.batch_norm_train(x, np.full(3, 1e37, "f4"), None, 1, 0.0)[0]).all()
    dy = np.sign(x - 1000) * np.float32(1e38)
    mean, rstd = norm.batch_norm_train(x, None, None, 1, 0.0)[1:3]
    weight = np.zeros(3, np.float32)
    assert _norm_loops.take(1, dy, x)
    assert not norm.batch_norm_train_backward(dy, x, mean, rstd, weight, 1)[0].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3, 2, 7, 5), (2, 3, 6), (1, 2, 4, 3, 5)])
def test_gradient_of_max_pool_says_what_numpy_says(shape, dtype, rng, monkeypatch):
    """Windows that share a maximum, and such as have none."""
    windows = (*shape[:2], 4, 9)
    dy = rng.standard_normal(windows).astype(dtype)
    indices = rng.integers(-1, np.prod(shape[2:]), windows)
    monkeypatch.setattr(_loops, "fast", lambda: True)
    got = pool.max_pool_backward(dy, indices, shape)
    monkeypatch.setattr(_loops, "fast", lambda: False)
    assert got.tobytes() == pool.max_pool_backward(dy, indices, shape).tobytes()
