"""ReLU, softmax, log-softmax and cross-entropy: the oracle against hand-worked values, finite
differences and PyTorch, and the CPU path against the oracle."""

import numpy as np
import pytest

from pycnn.reference.cpu import loss as cpu_loss, norm, softmax as cpu_softmax
from pycnn.reference.oracle import loss, softmax
from pycnn.testing.tolerance import compare

NAN, INF = np.nan, np.inf
ROWS = [[-INF] * 3, [1, INF, 2], [1, -INF, 2], [NAN, 1, 2], [INF, INF, 0], [1e30, -1e30, 0]]
SHAPES = [((5,), 0), ((7, 3), 1), ((7, 3), 0), ((3, 5, 2, 7), 1), ((2, 0), 1), ((0, 3), 0)]
REDUCTIONS = ["none", "sum", "mean"]
DTYPES = [np.float32, np.float64]


def test_softmax_by_hand():
    x = np.log(np.array([[1.0, 2, 5], [3, 3, 2]]))
    np.testing.assert_allclose(
        softmax.softmax(x, 1), [[1 / 8, 1 / 4, 5 / 8], [3 / 8, 3 / 8, 1 / 4]]
    )
    np.testing.assert_allclose(softmax.log_softmax(x, 0)[:, 2], np.log([5 / 7, 2 / 7]))
    y, dy = np.array([0.25, 0.75]), np.array([4.0, 0.0])
    np.testing.assert_allclose(softmax.softmax_backward(dy, y, 0), [0.75, -0.75])
    np.testing.assert_allclose(softmax.log_softmax_backward(dy, np.log(y), 0), [3, -3])


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize(("shape", "axis"), SHAPES)
def test_softmax_matches_torch_and_differences(name, shape, axis, rng, torch, finite_difference):
    forward, backward = getattr(softmax, name), getattr(softmax, f"{name}_backward")
    x, dy = 4 * rng.standard_normal(shape), rng.standard_normal(shape)
    source = torch.tensor(x, requires_grad=True)
    want = getattr(torch, name)(source, axis)
    want.backward(torch.tensor(dy))
    y = forward(x, axis)
    dx = backward(dy, y, axis)
    np.testing.assert_allclose(y, want.detach().numpy(), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(dx, source.grad.numpy(), rtol=1e-12, atol=1e-12)
    numeric = finite_difference(lambda moved: float((dy * forward(moved, axis)).sum()), x)
    np.testing.assert_allclose(dx, numeric, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_softmax_of_special_values_matches_torch(row, torch):
    x = np.array([row, [1.0, 2.0, 3.0]])
    for name in ("softmax", "log_softmax"):
        want = getattr(torch, name)(torch.tensor(x), 1).numpy()
        np.testing.assert_allclose(getattr(softmax, name)(x, 1), want, rtol=1e-13)


def test_cross_entropy_by_hand():
    """Two classes of probability 1/4 and 3/4; the second row is ignored."""
    z, t = np.log(np.array([[1.0, 3], [NAN, NAN], [1, 3]])), np.array([0, 9, 1])
    w = np.array([2.0, 3.0])
    a, b = np.log(4), np.log(4 / 3)  # costs of class 0 and class 1

    def cost(reduction, smoothing=0.0):
        return loss.cross_entropy(z, t, w, 9, reduction, smoothing)

    np.testing.assert_allclose(cost("none"), [2 * a, 0, 3 * b])
    np.testing.assert_allclose(cost("sum"), 2 * a + 3 * b)
    np.testing.assert_allclose(cost("mean"), (2 * a + 3 * b) / 5)
    both = 2 * a + 3 * b
    np.testing.assert_allclose(cost("none", 0.5), [a + both / 4, 0, 1.5 * b + both / 4])
    dz = loss.cross_entropy_backward(np.array(10.0), z, t, w, 9, "mean", 0.0)
    np.testing.assert_allclose(dz, [[-3, 3], [0, 0], [1.5, -1.5]])


def logits_and_target(rng, shape):
    classes = shape[0] if len(shape) == 1 else shape[1]
    target = rng.integers(0, classes, shape[:1] + shape[2:] if len(shape) > 1 else ())
    return 3 * rng.standard_normal(shape), np.asarray(target), rng.uniform(0.5, 2, classes)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(5,), (7, 4), (3, 5, 2), (2, 3, 4, 5)])
def test_cross_entropy_matches_torch_and_differences(
    reduction, smoothing, weighted, shape, rng, torch, finite_difference
):
    z, t, w = logits_and_target(rng, shape)
    ignored = 1 if len(shape) > 1 else -100
    options = (w if weighted else None, ignored, reduction, smoothing)
    source = torch.tensor(z, requires_grad=True)
    want = torch.nn.functional.cross_entropy(
        source,
        torch.tensor(t),
        torch.tensor(w) if weighted else None,
        ignore_index=ignored,
        reduction=reduction,
        label_smoothing=smoothing,
    )
    got = loss.cross_entropy(z, t, *options)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want.detach().numpy(), rtol=1e-13, atol=1e-14)
    dy = rng.standard_normal(got.shape)
    want.backward(torch.tensor(dy))
    dz = loss.cross_entropy_backward(dy, z, t, *options)
    np.testing.assert_allclose(dz, source.grad.numpy(), rtol=1e-12, atol=1e-13)
    numeric = finite_difference(
        lambda moved: float((dy * loss.cross_entropy(moved, t, *options)).sum()), z
    )
    np.testing.assert_allclose(dz, numeric, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("rows", [0, 3], ids=["empty", "all_ignored"])
def test_cross_entropy_of_nothing_matches_torch(reduction, rows, torch):
    z, t = np.zeros((rows, 4)), np.full(rows, -100)
    source = torch.tensor(z, requires_grad=True)
    want = torch.nn.functional.cross_entropy(source, torch.tensor(t), reduction=reduction)
    got = loss.cross_entropy(z, t, None, -100, reduction, 0.0)
    np.testing.assert_array_equal(got, want.detach().numpy())
    want.sum().backward()
    dz = loss.cross_entropy_backward(np.ones(got.shape), z, t, None, -100, reduction, 0.0)
    np.testing.assert_array_equal(dz, source.grad.numpy())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_cross_entropy_of_special_values_matches_torch(row, smoothing, torch):
    z, t = np.array([row, [1.0, 2.0, 3.0]]), np.array([2, 0])
    want = torch.nn.functional.cross_entropy(
        torch.tensor(z), torch.tensor(t), reduction="none", label_smoothing=smoothing
    )
    got = loss.cross_entropy(z, t, None, -100, "none", smoothing)
    np.testing.assert_allclose(got, want.numpy(), rtol=1e-13)


def assert_close(actual, expected, dtype, reduction=1):
    assert actual.dtype == dtype
    error, allowed = compare(actual, expected, dtype, reduction)
    assert error <= allowed


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize(("shape", "axis"), [*SHAPES, ((5, 1031), -1), ((1031, 5), 0)])
def test_cpu_softmax_matches_oracle(name, shape, axis, dtype, rng):
    x = (50 * rng.standard_normal(shape)).astype(dtype)
    dy = rng.standard_normal(shape).astype(dtype)
    want = getattr(softmax, name)(x, axis)
    length = shape[axis]
    assert_close(getattr(cpu_softmax, name)(x, axis), want, dtype, length)
    # Where one element is nearly 1 its gradient cancels to nothing, and so does the tolerance.
    y = getattr(softmax, name)(x / 50, axis).astype(dtype)
    backward = f"{name}_backward"
    want_dx = getattr(softmax, backward)(dy, y, axis)
    assert_close(getattr(cpu_softmax, backward)(dy, y, axis), want_dx, dtype, length)
    in_place = x.copy()
    assert getattr(cpu_softmax, name)(in_place, axis, out=in_place) is in_place
    assert_close(in_place, want, dtype, length)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_cpu_softmax_of_special_values_matches_oracle(row):
    x = np.array([row, [1.0, 2.0, 3.0]], np.float32)
    for name in ("softmax", "log_softmax"):
        want = getattr(softmax, name)(x, 1)
        np.testing.assert_allclose(getattr(cpu_softmax, name)(x, 1), want, rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(5,), (7, 4), (3, 5, 2), (2, 3, 4, 5), (0, 3), (9, 1031)])
def test_cpu_cross_entropy_matches_oracle(reduction, smoothing, weighted, shape, dtype, rng):
    z, t, w = logits_and_target(rng, shape)
    z, w = (10 * z).astype(dtype), w.astype(dtype)
    ignored = 1 if len(shape) > 1 else -100
    options = (w if weighted else None, ignored, reduction, smoothing)
    want = loss.cross_entropy(z, t, *options)
    length = w.size + (t.size if reduction != "none" else 0)
    assert_close(cpu_loss.cross_entropy(z, t, *options), want, dtype, length)
    dy = rng.standard_normal(want.shape).astype(dtype)
    dz = cpu_loss.cross_entropy_backward(dy, z, t, *options)
    want_dz = loss.cross_entropy_backward(dy, z, t, *options)
    assert_close(dz, want_dz, dtype, w.size)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_cpu_cross_entropy_of_special_values_matches_oracle(row, smoothing):
    """The same row three times: counted, ignored, and beside a harmless one."""
    z, t = np.array([row, row, [1.0, 2.0, 3.0]], np.float32), np.array([2, -100, 0])
    options = None, -100, "none", smoothing
    got, want = (f(z, t, *options) for f in (cpu_loss.cross_entropy, loss.cross_entropy))
    np.testing.assert_allclose(got, want, rtol=1e-6)
    dy = np.array([1.0, 2.0, 3.0], np.float32)
    got, want = (
        f(dy, z, t, *options)
        for f in (cpu_loss.cross_entropy_backward, loss.cross_entropy_backward)
    )
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-7)
    assert not got[1].any()


def test_means_over_outer_axes_of_a_coarse_grid(rng):
    """Less a mean that is on no such grid, values of a 16-bit type all round to the same side."""
    x = rng.standard_normal((4321, 5)).astype(np.float16).astype(np.float32)
    off, mean = norm.centred(x, (0,))
    want = x.mean(0, np.float64)
    np.testing.assert_allclose(mean[0], want, rtol=0, atol=1e-8)
    np.testing.assert_allclose(off, x - want, rtol=0, atol=5e-7)
