"""The oracle of the activations against PyTorch and differences; what the CPU path is built on."""

import math

import numpy as np
import pytest
from op_checks import numeric_gradient

from pycnn.define.activation import ACTIVATIONS
from pycnn.reference.cpu._elementwise import BLOCK, in_blocks
from pycnn.reference.cpu._normal import normal_cdf
from pycnn.reference.oracle import activation, prelu

NAMES = [name for name in ACTIVATIONS if not name.endswith("_backward")]
NAN, INF = math.nan, math.inf
SPECIAL = [NAN, -INF, INF, -0.0, 0.0, -6, -3, -1, 1, 3, 6, -1e30, 1e30, -40, 40, 5e-324, -1e-300]
#: Bounds and slopes that the special values meet, by activation.
TRIED = {
    "clip": [(-1.0, 3.0), (-1.0, INF), (-INF, 3.0), (3.0, -1.0)],
    "hardtanh": [(-1.0, 1.0), (-3.0, 0.5)],
    "leaky_relu": [(0.01,), (-0.5,)],
    "elu": [(1.0,), (-2.0,)],
    "celu": [(1.0,), (-2.0,)],
    "softplus": [(1.0, 20.0), (2.0, 6.0), (-1.0, 2.0)],
    "gelu": [("none",), ("tanh",)],
}
EACH = [(name, settings) for name in NAMES for settings in TRIED.get(name, [()])]


def by_torch(torch, name, x, settings):
    functional = torch.nn.functional
    if name == "clip":
        low, high = (None if math.isinf(bound) else bound for bound in settings)
        return torch.clamp(x, low, high)
    if name == "gelu":
        return functional.gelu(x, approximate=settings[0])
    return getattr(functional, name)(x, *settings)


@pytest.mark.parametrize(("name", "settings"), EACH, ids=str)
def test_special_values_as_pytorch(name, settings):
    """Element by element, as on a GPU: its vectors on the CPU treat a gradient at NaN otherwise."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra torch)")
    x = [torch.tensor([v], dtype=torch.float64, requires_grad=True) for v in SPECIAL]
    y = [by_torch(torch, name, each, settings) for each in x]
    dx = torch.autograd.grad(y, x, [torch.full((1,), 7.0, dtype=torch.float64)] * len(x))
    given = np.array(SPECIAL)
    with np.errstate(all="ignore"):
        got = getattr(activation, name)(given, *settings)
        gradient = getattr(activation, f"{name}_backward")(np.full_like(given, 7), given, *settings)
    want = torch.cat(y).detach().numpy()
    np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-15)
    # PyTorch multiplies hardsigmoid's gradient by 1 / 6 rounded to float32.
    np.testing.assert_allclose(gradient, torch.cat(dx).numpy(), rtol=1e-7, atol=1e-15)


def test_sigmoid_and_silu_keep_the_smallest_results():
    """Where exp(-x) overflows, exp(x) is still a number."""
    x = np.array([-712.0])
    np.testing.assert_allclose(activation.sigmoid(x), np.exp(x), rtol=1e-12)
    np.testing.assert_allclose(activation.silu(x), x * np.exp(x), rtol=1e-12)


def test_bounds_are_not_rounded_to_the_dtype_of_x():
    x = np.array([-0.0], np.float16)
    assert activation.hardtanh_backward(x + 7, x, -1e-30, 1.0) == 7


@pytest.mark.parametrize(("name", "settings"), EACH, ids=str)
def test_gradient_by_differences(name, settings, rng):
    x = rng.uniform(-5, 5, 60)
    x = x[np.abs(x[:, None] - [-3, -1, 0, 0.5, 2.5, 3]).min(axis=1) > 1e-3]  # kinks and thresholds
    dy = rng.standard_normal(x.shape)

    def loss(moved):
        return float((getattr(activation, name)(moved, *settings) * dy).sum())

    dx = getattr(activation, f"{name}_backward")(dy, x, *settings)
    np.testing.assert_allclose(dx, numeric_gradient(loss, x), atol=2e-8)


@pytest.mark.parametrize("shape", [(), (1,), (3,)], ids=str)
def test_prelu_gradient_by_differences(shape, rng):
    x, weight = rng.standard_normal((2, 3, 5)), rng.standard_normal(shape)
    dy = rng.standard_normal(x.shape)
    dx, dweight = prelu.prelu_backward(dy, x, weight)
    by_x = numeric_gradient(lambda moved: float((prelu.prelu(moved, weight) * dy).sum()), x)
    by_weight = numeric_gradient(lambda moved: float((prelu.prelu(x, moved) * dy).sum()), weight)
    np.testing.assert_allclose(dx, by_x, atol=1e-8)
    np.testing.assert_allclose(dweight, by_weight, atol=1e-8)


@pytest.mark.parametrize(
    ("dtype", "lowest", "relative", "absolute"),
    [("float32", -12, 1e-5, 2e-7), ("float64", -30, 1e-12, 1e-15)],
)
def test_normal_distribution(dtype, lowest, relative, absolute):
    x = np.linspace(lowest, 9, 5001).astype(dtype)
    want = np.array([math.erfc(-float(v) / math.sqrt(2)) / 2 for v in x])
    got = normal_cdf(x)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, want, rtol=relative)
    assert np.abs(got - want).max() <= absolute


def test_blocks_cover_everything(rng):
    x = rng.standard_normal(2 * BLOCK + 3)
    y = in_blocks(lambda a, factor, out: np.multiply(a, factor, out=out), (x,), (3.0,), None)
    np.testing.assert_array_equal(y, 3 * x)
