"""Activations: pycnn's operations on floats, NumPy's on integers."""

from collections.abc import Callable
from typing import Any

import numpy as np

import pycnn
from pycnn.onnx.operators.arrays import is_float, scalar
from pycnn.onnx.operators.registry import operator


def _named(name: str) -> Callable[[Any], Any]:
    def apply(x: Any) -> Any:
        return getattr(pycnn, name)(x)

    apply.__doc__ = f"As `pycnn.{name}`."
    return apply


for _type, _name in (
    ("Sigmoid", "sigmoid"),
    ("Tanh", "tanh"),
    ("Softsign", "softsign"),
    ("HardSwish", "hardswish"),
    ("Mish", "mish"),
):
    operator(_type, kernels=True)(_named(_name))


@operator("Softplus", kernels=True)
def softplus(x: Any) -> Any:
    return pycnn.softplus(x, threshold=60.0)


@operator("Relu", kernels=True)
def relu(x: Any) -> Any:
    return pycnn.relu(x) if is_float(x) else np.maximum(x, x.dtype.type(0))


@operator("LeakyRelu", kernels=True)
def leaky_relu(x: Any, *, alpha: float = 0.01) -> Any:
    return pycnn.leaky_relu(x, alpha)


@operator("PRelu", kernels=True)
def prelu_of_channels(x: Any, slope: Any) -> Any:
    """Before opset 7: one slope, or one a channel."""
    return pycnn.prelu(x, slope.reshape(-1))


@operator("PRelu", since=7, kernels=True)
def prelu(x: Any, slope: Any) -> Any:
    """The operation has one slope, or one a channel; any other is broadcast here."""
    if is_float(x):
        channels = x.shape[1] if x.ndim > 1 else 1
        lead = slope.ndim - x.ndim
        one_a_channel = slope.size == channels and slope.shape[1 + lead : 2 + lead] == (channels,)
        if slope.size == 1 or (lead <= 0 and x.ndim > 1 and one_a_channel):
            return pycnn.prelu(x, slope.reshape(-1))
    return np.where(x < 0, x * slope, x).astype(x.dtype, copy=False)


@operator("Elu", kernels=True)
def elu(x: Any, *, alpha: float = 1.0) -> Any:
    return pycnn.elu(x, alpha)


@operator("Celu", kernels=True)
def celu(x: Any, *, alpha: float = 1.0) -> Any:
    return pycnn.celu(x, alpha)


@operator("Selu", kernels=True)
def selu(x: Any, *, alpha: float | None = None, gamma: float | None = None) -> Any:
    """The constants of the paper are the operation's; others are those of ELU and a factor."""
    if alpha is None and gamma is None:
        return pycnn.selu(x)
    alpha = 1.67326319217681884765625 if alpha is None else alpha
    gamma = 1.05070102214813232421875 if gamma is None else gamma
    return pycnn.elu(x, alpha) * x.dtype.type(gamma)


@operator("Gelu", kernels=True)
def gelu(x: Any, *, approximate: str = "none") -> Any:
    return pycnn.gelu(x, approximate)


@operator("Swish", kernels=True)
def swish(x: Any, *, alpha: float = 1.0) -> Any:
    if alpha == 1:
        return pycnn.silu(x)
    return pycnn.mul(x, pycnn.sigmoid(x * x.dtype.type(alpha)))


@operator("HardSigmoid", kernels=True)
def hard_sigmoid(x: Any, *, alpha: float = 0.2, beta: float = 0.5) -> Any:
    """The operation has PyTorch's slope of 1/6."""
    kind = x.dtype.type
    return pycnn.clip(x * kind(alpha) + kind(beta), 0.0, 1.0)


@operator("ThresholdedRelu")
def thresholded_relu(x: Any, *, alpha: float = 1.0) -> Any:
    return np.where(x > x.dtype.type(alpha), x, x.dtype.type(0))


@operator("Shrink")
def shrink(x: Any, *, bias: float = 0.0, lambd: float = 0.5) -> Any:
    kind = x.dtype.type
    return np.where(x < -lambd, x + kind(bias), np.where(x > lambd, x - kind(bias), kind(0)))


@operator("Clip", kernels=True)
def clip(x: Any, low: Any = None, high: Any = None, *, min: Any = None, max: Any = None) -> Any:
    """Bounds are inputs, before opset 11 attributes."""
    low, high = (
        attribute if given is None else scalar(given)
        for given, attribute in ((low, min), (high, max))
    )
    if low is None and high is None:
        return x
    if is_float(x) and (low is None or high is None or low <= high):
        return pycnn.clip(x, low, high)
    x = x if low is None else np.maximum(x, x.dtype.type(low))
    return x if high is None else np.minimum(x, x.dtype.type(high))
