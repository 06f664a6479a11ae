"""Convolution: the oracle against hand-worked values, finite differences and PyTorch, and the CPU
path, by each of its methods, against the oracle."""

import tracemalloc

import numpy as np
import pytest
from conv_shapes import ALL, METHODS, SAME, SMALL, Case, assert_close

from pycnn.reference.cpu import conv as cpu, conv_axes
from pycnn.reference.oracle import conv as oracle
from pycnn.testing.tolerance import compare


def expected_from_torch(torch, case, x, w, b, dy=None):
    """(y, dx, dw, db) in float64, gradients only when `dy` is given."""
    tensors = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in (x, w, b)]
    (top, bottom), (left, right) = case.padding
    padded = torch.nn.functional.pad(tensors[0], (left, right, top, bottom))
    y = torch.nn.functional.conv2d(padded, *tensors[1:], case.stride, 0, case.dilation, case.groups)
    if dy is None:
        return (y.detach().numpy(),)
    y.backward(torch.tensor(dy))
    return (y.detach().numpy(), *(t.grad.numpy() for t in tensors))


def test_oracle_by_hand():
    """Taps two rows apart, one row of padding above, two columns of it on the right."""
    x = np.array([[[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]], np.float32)
    w = np.array([[[[1], [10]]]], np.float32)
    y = oracle.convolve(x, w, np.array([0.5]), (1, 2), ((1, 0), (0, 2)), (2, 1), 1)
    assert y.dtype == np.float64
    assert y[0, 0].tolist() == [[40.5, 60.5, 0.5], [71.5, 93.5, 0.5]]


def test_oracle_groups_by_hand():
    x = np.array([2.0, 3.0, 5.0, 7.0]).reshape(1, 4, 1, 1)
    w = np.array([[1.0, 1.0], [1.0, -1.0]]).reshape(2, 2, 1, 1)
    y = oracle.convolve(x, w, None, (1, 1), ((0, 0), (0, 0)), (1, 1), 2)
    assert y.ravel().tolist() == [5.0, -2.0]


def test_oracle_backward_by_hand():
    """y = w0 * x[0:2] + w1 * x[1:3] for x = 2, 3, 5, w = 10, 1 and dy = 1, 7."""
    x, w = np.array([2.0, 3, 5]).reshape(1, 1, 1, 3), np.array([10.0, 1]).reshape(1, 1, 1, 2)
    dy = np.array([1.0, 7]).reshape(1, 1, 1, 2)
    geometry = (1, 1), ((0, 0), (0, 0)), (1, 1), 1
    dx, dw, db = oracle.convolve_backward(dy, x, w, *geometry)
    assert [a.ravel().tolist() for a in (dx, dw, db)] == [[10, 71, 7], [23, 38], [8]]
    assert oracle.convolve_backward(dy, x, w, *geometry, (False, True, False))[::2] == (None, None)


@pytest.mark.parametrize("case", ALL, ids=str)
def test_oracle_matches_torch(case, rng, torch):
    x, w, b = case.arrays(rng)
    y = oracle.convolve(x, w, b, *case.geometry)
    dy = rng.standard_normal(y.shape)
    actual = (y, *oracle.convolve_backward(dy, x, w, *case.geometry))
    for got, want in zip(actual, expected_from_torch(torch, case, x, w, b, dy), strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_oracle_backward_matches_finite_differences(case, rng, finite_difference):
    x, w, b = case.arrays(rng)
    dy = rng.standard_normal(oracle.convolve(x, w, b, *case.geometry).shape)
    gradients = oracle.convolve_backward(dy, x, w, *case.geometry)
    arguments = [x, w, b]
    for i, gradient in enumerate(gradients):

        def scalar(moved, i=i):
            x, w, b = (*arguments[:i], moved, *arguments[i + 1 :])
            return float((dy * oracle.convolve(x, w, b, *case.geometry)).sum())

        numeric = finite_difference(scalar, arguments[i])
        np.testing.assert_allclose(gradient, numeric, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_oracle_keeps_special_values_where_they_belong(value, rng, torch):
    case = Case((2, 3, 8, 9), (4, 3, 3), padding=((1, 1), (1, 1)))
    x, w, b = case.arrays(rng)
    x[1, 2, 4, 5] = value
    y = oracle.convolve(x, w, b, *case.geometry)
    reached = ~np.isfinite(y)
    assert reached[1, :, 3:6, 4:7].all()
    assert reached.sum() == 4 * 9
    np.testing.assert_allclose(y, expected_from_torch(torch, case, x, w, b)[0], rtol=1e-11)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", [*ALL, *(case for _, case in METHODS)], ids=str)
def test_cpu_matches_oracle(case, dtype, rng, both_ways):
    x, w, b = case.arrays(rng, dtype)
    expected = oracle.convolve(x, w, b, *case.geometry)
    assert_close(cpu.conv2d(x, w, b, *case.geometry), expected, dtype, w[0].size)
    dy = rng.standard_normal(expected.shape).astype(dtype)
    gradients = cpu.conv2d_backward(dy, x, w, *case.geometry)
    lengths = w[:, 0].size, dy[:, 0].size, dy[:, 0].size
    for got, want, length in zip(
        gradients, oracle.convolve_backward(dy, x, w, *case.geometry), lengths, strict=True
    ):
        assert_close(got, want, dtype, length)


def test_cpu_gradients_with_the_batch_innermost(rng, without_loops):
    """Three blocks of images, the last of them not full, strides, groups and uneven padding."""
    case = Case((29, 6, 31, 26), (8, 3, 5), stride=(2, 1), padding=((3, 1), (0, 2)), groups=2)
    assert cpu.conv_method(case.x, case.weight, *case.geometry) == "batched"
    x, w, b = case.arrays(rng, np.float32)
    want_y = oracle.convolve(x, w, b, *case.geometry)
    dy = rng.standard_normal(want_y.shape).astype(np.float32)
    gradients = cpu.conv2d_backward(dy, x, w, *case.geometry)
    lengths = (w[:, 0].size, dy[:, 0].size, dy[:, 0].size)
    for got, want, length in zip(
        gradients, oracle.convolve_backward(dy, x, w, *case.geometry), lengths, strict=True
    ):
        assert_close(got, want, np.float32, length)


@pytest.mark.parametrize(("method", "case"), METHODS, ids=str)
def test_cpu_method_matches_oracle(method, case, rng):
    x, w, b = case.arrays(rng, np.float32)
    expected = oracle.convolve(x, w, b, *case.geometry)
    y = cpu.conv2d(x, w, b, *case.geometry, method=method)
    assert_close(y, expected, np.float32, w[0].size)


@pytest.mark.parametrize("channels", [64, 256])
def test_winograd_loses_few_digits(channels, rng):
    """A quarter of what the tolerance allows: the points, not the tolerance, do the work."""
    case = Case((1, channels, 19, 22), (24, 3, 3), padding=SAME)
    x, w, b = case.arrays(rng, np.float32)
    y = cpu.conv2d(x, w, b, *case.geometry, method="winograd")
    error, allowed = compare(y, oracle.convolve(x, w, b, *case.geometry), np.float32, 9 * channels)
    assert error <= allowed / 4


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("method", ["im2col", "batched", "winograd", "taps"])
def test_cpu_keeps_special_values_where_they_belong(method, value, rng):
    case = Case((2, 3, 8, 9), (4, 3, 3), padding=SAME)
    x, w, b = case.arrays(rng, np.float32)
    x[1, 2, 4, 5] = value
    expected = oracle.convolve(x, w, b, *case.geometry)
    y = cpu.conv2d(x, w, b, *case.geometry, method=method)
    assert_close(y, expected, np.float32, 27)


def test_cpu_input_gradient_through_winograd(rng):
    case = Case((2, 128, 28, 31), (128, 3, 3), padding=((0, 1), (2, 1)))
    assert cpu.conv_method(case.x, case.weight, *case.geometry) == "winograd"
    x, w, b = case.arrays(rng, np.float32)
    dy = rng.standard_normal(cpu.conv2d(x, w, b, *case.geometry).shape).astype(np.float32)
    for special in (1.0, np.nan):
        dy[1, 3, 5, 7] = special
        dx, dw, db = cpu.conv2d_backward(dy, x, w, *case.geometry, (True, False, False))
        want = oracle.convolve_backward(dy, x, w, *case.geometry)[0]
        assert_close(dx, want, np.float32, w[:, 0].size)
        assert (dw, db) == (None, None)


@pytest.mark.parametrize(("method", "case"), METHODS, ids=str)
def test_cpu_reads_views_and_writes_into_out(method, case, rng):
    """Channels of a wider array in, every second column of another out."""
    x, w, b = case.arrays(rng, np.float32)
    expected = oracle.convolve(x, w, b, *case.geometry)
    wide = np.zeros((x.shape[0], 2 * x.shape[1], *x.shape[2:]), np.float32)
    wide[:, ::2] = x
    out = np.full((*expected.shape[:3], 2 * expected.shape[3]), 7, np.float32)[..., ::2]
    y = cpu.conv2d(wide[:, ::2], w, b, *case.geometry, method=method, out=out)
    assert y is out
    assert_close(y, expected, np.float32, w[0].size)
    assert (out.base[..., 1::2] == 7).all()


@pytest.mark.parametrize(
    ("case", "dtype", "method"),
    [
        (Case((1, 64, 56, 56), (64, 1, 1)), "float32", "gemm"),
        (Case((1, 64, 56, 56), (64, 1, 1), stride=(2, 2)), "float32", "gemm"),
        (Case((1, 64, 56, 56), (64, 1, 1), padding=SAME), "float32", "im2col"),
        (Case((1, 128, 56, 56), (128, 3, 3), padding=SAME), "float32", "winograd"),
        (Case((1, 128, 56, 56), (128, 3, 3), padding=SAME), "float64", "im2col"),
        (Case((1, 128, 56, 56), (128, 3, 3), padding=SAME, dilation=(2, 2)), "float32", "im2col"),
        (Case((1, 3, 224, 224), (64, 3, 3), padding=SAME), "float32", "im2col"),
        (Case((1, 512, 7, 7), (512, 3, 3), padding=SAME), "float32", "im2col"),
        (Case((1, 32, 56, 56), (32, 3, 3), padding=SAME, groups=32), "float32", "im2col"),
        (Case((1, 1, 28, 28), (8, 5, 5)), "float32", "im2col"),
        (Case((64, 1, 28, 28), (8, 5, 5)), "float32", "batched"),
        (Case((64, 1, 28, 28), (26, 5, 5)), "float32", "im2col"),
        (Case((8, 64, 56, 56), (64, 3, 3)), "float64", "im2col"),
    ],
    ids=str,
)
def test_conv_method_without_loops(case, dtype, method, without_loops):
    assert cpu.conv_method(case.x, case.weight, *case.geometry, dtype) == method


@pytest.mark.parametrize("method", ["gemm", "winograd", "fft"])
def test_a_method_that_does_not_apply_is_refused(method, rng):
    case = Case((1, 4, 9, 9), (4, 3, 3), stride=(2, 2), groups=2)
    x, w, b = case.arrays(rng)
    with pytest.raises(ValueError, match=f"method='{method}'; .* allowed are im2col"):
        cpu.conv2d(x, w, b, *case.geometry, method=method)


def test_working_memory_is_bounded(rng):
    """The columns of the whole batch would take 115 MB; a block takes 8."""
    case = Case((16, 16, 112, 112), (4, 3, 3), padding=SAME)
    x, w, b = case.arrays(rng, np.float32)
    for method in ("im2col", "winograd"):
        tracemalloc.start()
        cpu.conv2d(x, w, b, *case.geometry, method=method)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4 * 2**20 * 8


AXES = [
    ((2, 4, 1, 6), (6, 2, 1, 3), (1, 2), ((0, 0), (1, 2)), (1, 1)),
    ((2, 4, 6, 7), (6, 2, 3, 2), (2, 1), ((1, 2), (2, 2)), (1, 2)),
    ((1, 4, 6, 7, 5), (6, 2, 3, 2, 3), (2, 1, 2), ((1, 1), (2, 2), (1, 0)), (1, 2, 1)),
]


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize(("x", "w", "stride", "padding", "dilation"), AXES, ids=str)
def test_other_axes_and_modes(rng, torch, x, w, stride, padding, dilation, mode):
    """The oracle against PyTorch, and the CPU path against the oracle."""
    x, w, b = (rng.standard_normal(s) for s in (x, w, w[:1]))
    geometry = stride, padding, dilation, 2
    y = oracle.convolve(x, w, b, *geometry, mode)
    dy = rng.standard_normal(y.shape)
    grads = oracle.convolve_backward(dy, x, w, *geometry, mode=mode)
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, w, b)]
    pads = [p for pair in padding[::-1] for p in pair]
    padded = torch.nn.functional.pad(tensors[0], pads, "constant" if mode == "zeros" else mode)
    function = getattr(torch.nn.functional, f"conv{len(stride)}d")
    function(padded, *tensors[1:], stride, 0, dilation, 2).backward(torch.tensor(dy))
    for got, tensor in zip(grads, tensors, strict=True):
        np.testing.assert_allclose(got, tensor.grad.numpy(), rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(conv_axes.convolve(x, w, b, *geometry, mode=mode), y, rtol=1e-11)
    found = conv_axes.convolve_backward(dy, x, w, *geometry, mode=mode)
    for got, want in zip(found, grads, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("threads", ["1", "2", "3"])
def test_threads_change_no_bit(threads, rng, monkeypatch, both_ways):
    """More blocks than threads, and blocks that do not divide evenly among them."""
    case = Case((61, 3, 57, 41), (5, 3, 3), stride=(1, 2), dilation=(2, 1))
    x, w, b = case.arrays(rng, np.float32)
    dy = rng.standard_normal(oracle_shape(case)).astype(np.float32)
    monkeypatch.setenv("PYCNN_CPU_THREADS", "1")
    want = [cpu.conv2d(x, w, b, *case.geometry), *cpu.conv2d_backward(dy, x, w, *case.geometry)]
    monkeypatch.setenv("PYCNN_CPU_THREADS", threads)
    got = [cpu.conv2d(x, w, b, *case.geometry), *cpu.conv2d_backward(dy, x, w, *case.geometry)]
    assert [a.tobytes() for a in got] == [a.tobytes() for a in want]


def oracle_shape(case):
    """Of the result: by hand, for strides (1, 2) and dilations (2, 1) of a 3x3 filter."""
    n, _, h, w = case.x
    return n, case.weight[0], h - 4, (w - 3) // 2 + 1
