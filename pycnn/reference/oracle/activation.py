"""Activations and their gradients in float64, as they are defined.

Settings have the names of the public function's arguments. Where a definition has two branches,
NaN takes the one that it takes in PyTorch.
"""

import math

import numpy as np

Array = np.ndarray

#: Constants of selu: Klambauer et al., Self-normalizing neural networks, 2017.
SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def relu(x: Array) -> Array:
    x = _wide(x)
    return np.where(x < 0, 0.0, x)


def relu_backward(dy: Array, x: Array) -> Array:
    return np.where(x <= 0, 0.0, _wide(dy))


def relu6(x: Array) -> Array:
    return np.minimum(relu(x), 6)


def relu6_backward(dy: Array, x: Array) -> Array:
    return np.where((x <= 0) | (x >= 6), 0.0, _wide(dy))


def clip(x: Array, min: float | None, max: float | None) -> Array:
    low, high = _bounds(min, max)
    return np.minimum(np.maximum(_wide(x), low), high)


def clip_backward(dy: Array, x: Array, min: float | None, max: float | None) -> Array:
    x, (low, high) = _wide(x), _bounds(min, max)
    return np.where((x >= low) & (x <= high), _wide(dy), 0.0)


def _bounds(low: float | None, high: float | None) -> tuple[float, float]:
    return -math.inf if low is None else low, math.inf if high is None else high


def hardtanh(x: Array, min_val: float, max_val: float) -> Array:
    return clip(x, min_val, max_val)


def hardtanh_backward(dy: Array, x: Array, min_val: float, max_val: float) -> Array:
    x = _wide(x)  # and so are the bounds, which in 16 bits may become zero
    return np.where((x <= min_val) | (x >= max_val), 0.0, _wide(dy))


def leaky_relu(x: Array, negative_slope: float) -> Array:
    x = _wide(x)
    return np.where(x > 0, x, negative_slope * x)


def leaky_relu_backward(dy: Array, x: Array, negative_slope: float) -> Array:
    return _wide(dy) * np.where(x > 0, 1.0, negative_slope)


def elu(x: Array, alpha: float) -> Array:
    x = _wide(x)
    return np.where(x > 0, x, alpha * np.expm1(x))


def elu_backward(dy: Array, x: Array, alpha: float) -> Array:
    x = _wide(x)
    return _wide(dy) * np.where(x <= 0, alpha * np.exp(x), 1.0)


def selu(x: Array) -> Array:
    return SELU_SCALE * elu(x, SELU_ALPHA)


def selu_backward(dy: Array, x: Array) -> Array:
    return SELU_SCALE * elu_backward(dy, x, SELU_ALPHA)


def celu(x: Array, alpha: float) -> Array:
    x = _wide(x)
    return np.where(x > 0, x, alpha * np.expm1(x / alpha))


def celu_backward(dy: Array, x: Array, alpha: float) -> Array:
    x = _wide(x)
    return _wide(dy) * np.where(x <= 0, np.exp(x / alpha), 1.0)


def sigmoid(x: Array) -> Array:
    x = _wide(x)
    small = np.exp(-np.abs(x))  # never infinite: far below 0 the result has the digits of exp(x)
    return np.where(x < 0, small, 1.0) / (1 + small)


def sigmoid_backward(dy: Array, x: Array) -> Array:
    return _wide(dy) * sigmoid(x) * sigmoid(-_wide(x))


def hardsigmoid(x: Array) -> Array:
    return np.minimum(np.maximum(_wide(x) + 3, 0), 6) / 6


def hardsigmoid_backward(dy: Array, x: Array) -> Array:
    x = _wide(x)
    return np.where((x > -3) & (x < 3), _wide(dy) / 6, 0.0)


def tanh(x: Array) -> Array:
    return np.tanh(_wide(x))


def tanh_backward(dy: Array, x: Array) -> Array:
    return _wide(dy) / np.cosh(_wide(x)) ** 2


def softplus(x: Array, beta: float, threshold: float) -> Array:
    x = _wide(x)
    return np.where(beta * x > threshold, x, np.logaddexp(0, beta * x) / beta)


def softplus_backward(dy: Array, x: Array, beta: float, threshold: float) -> Array:
    x = _wide(x)
    return _wide(dy) * np.where(beta * x > threshold, 1.0, sigmoid(beta * x))


def softsign(x: Array) -> Array:
    x = _wide(x)
    return x / (1 + np.abs(x))


def softsign_backward(dy: Array, x: Array) -> Array:
    """NaN at infinities, where softsign is."""
    x = _wide(x)
    return np.where(np.isinf(x), np.nan, _wide(dy) / (1 + np.abs(x)) ** 2)


def gelu(x: Array, approximate: str) -> Array:
    x = _wide(x)
    return x * _gelu_gate(x, approximate)


def gelu_backward(dy: Array, x: Array, approximate: str) -> Array:
    x = _wide(x)
    if approximate == "tanh":
        u, du = _gelu_inner(x)
        slope = du / 2 / np.cosh(u) ** 2
    else:
        slope = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    return _wide(dy) * (_gelu_gate(x, approximate) + x * slope)


def _gelu_gate(x: Array, approximate: str) -> Array:
    if approximate == "tanh":
        return sigmoid(2 * _gelu_inner(x)[0])  # (1 + tanh(u)) / 2
    return np.vectorize(math.erfc, otypes=[float])(-x / math.sqrt(2)) / 2


def _gelu_inner(x: Array) -> tuple[Array, Array]:
    """u of (1 + tanh(u)) / 2, and its derivative."""
    root = math.sqrt(2 / math.pi)
    return root * (x + 0.044715 * x**3), root * (1 + 3 * 0.044715 * x**2)


def silu(x: Array) -> Array:
    return _wide(x) * sigmoid(x)


def silu_backward(dy: Array, x: Array) -> Array:
    x = _wide(x)
    return _wide(dy) * (sigmoid(x) + x * sigmoid(x) * sigmoid(-x))


def hardswish(x: Array) -> Array:
    return _wide(x) * hardsigmoid(x)


def hardswish_backward(dy: Array, x: Array) -> Array:
    x = _wide(x)
    return np.where(x <= -3, 0.0, _wide(dy) * np.where(x < 3, x / 3 + 0.5, 1.0))


def mish(x: Array) -> Array:
    x = _wide(x)
    return x * np.tanh(np.logaddexp(0, x))


def mish_backward(dy: Array, x: Array) -> Array:
    x = _wide(x)
    soft = np.logaddexp(0, x)
    return _wide(dy) * (np.tanh(soft) + x * sigmoid(x) / np.cosh(soft) ** 2)


def _wide(x: Array) -> Array:
    return np.asarray(x).astype(np.float64)
